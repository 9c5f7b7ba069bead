package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/kup-project/kup/pkg/plan"
)

// fakeDNS answers over pipes: by address, a function from question to reply.
type fakeDNS struct {
	pods    []string
	service string
	err     error
	servers map[string]func(dnsmessage.Message) *dnsmessage.Message
	asked   []string
}

func (f *fakeDNS) CoreDNS(context.Context) ([]string, string, error) { return f.pods, f.service, f.err }

func (f *fakeDNS) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	f.asked = append(f.asked, network+" "+address)
	answer, ok := f.servers[address]
	if !ok {
		return nil, errors.New("no route to host")
	}
	here, there := net.Pipe()
	go serve(there, answer)
	return here, nil
}

func serve(conn net.Conn, answer func(dnsmessage.Message) *dnsmessage.Message) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		var q dnsmessage.Message
		if err := q.Unpack(raw); err != nil {
			return
		}
		reply := answer(q)
		if reply == nil {
			_, _ = io.Copy(io.Discard, conn) // says nothing until the other side gives up
			return
		}
		out, err := reply.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

func reply(kind dnsmessage.Type, code dnsmessage.RCode) func(dnsmessage.Message) *dnsmessage.Message {
	return func(q dnsmessage.Message) *dnsmessage.Message {
		m := &dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: code}, Questions: q.Questions}
		if code == dnsmessage.RCodeSuccess && q.Questions[0].Type == kind && q.Questions[0].Name.String() == "kubernetes.default.svc.cluster.local." {
			h := dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: kind, Class: dnsmessage.ClassINET, TTL: 5}
			var body dnsmessage.ResourceBody = &dnsmessage.AResource{A: [4]byte{10, 96, 0, 1}}
			if kind == dnsmessage.TypeAAAA {
				body = &dnsmessage.AAAAResource{}
			}
			m.Answers = []dnsmessage.Resource{{Header: h, Body: body}}
		}
		return m
	}
}

func TestDNSAnswers(t *testing.T) {
	good := reply(dnsmessage.TypeA, dnsmessage.RCodeSuccess)
	type replies = map[string]func(dnsmessage.Message) *dnsmessage.Message
	tests := map[string]struct {
		dns    fakeDNS
		state  plan.State
		reason string
		asked  int
	}{
		"all answer":   {fakeDNS{pods: []string{"10.1.0.2", "10.1.1.2"}, service: "10.96.0.10", servers: replies{"10.1.0.2:53": good, "10.1.1.2:53": good, "10.96.0.10:53": good}}, plan.Holds, "", 3},
		"headless":     {fakeDNS{pods: []string{"10.1.0.2"}, service: "None", servers: replies{"10.1.0.2:53": good}}, plan.Holds, "", 1},
		"ipv6":         {fakeDNS{pods: []string{"fd00::2"}, servers: replies{"[fd00::2]:53": reply(dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess)}}, plan.Holds, "", 1},
		"service dead": {fakeDNS{pods: []string{"10.1.0.2"}, service: "10.96.0.10", servers: replies{"10.1.0.2:53": good}}, plan.CannotTell, "CoreDNS at 10.96.0.10 cannot be reached: no route to host", 2},
		"refuses":      {fakeDNS{pods: []string{"10.1.0.2"}, servers: replies{"10.1.0.2:53": reply(0, dnsmessage.RCodeRefused)}}, plan.NotYet, "Refused", 1},
		"no such name": {fakeDNS{pods: []string{"10.1.0.2"}, servers: replies{"10.1.0.2:53": reply(0, dnsmessage.RCodeNameError)}}, plan.NotYet, "is the cluster's DNS domain another one?", 1},
		"no address":   {fakeDNS{pods: []string{"10.1.0.2"}, servers: replies{"10.1.0.2:53": reply(0, dnsmessage.RCodeSuccess)}}, plan.NotYet, "has no address", 1},
		"wrong id": {fakeDNS{pods: []string{"10.1.0.2"}, servers: replies{"10.1.0.2:53": func(q dnsmessage.Message) *dnsmessage.Message {
			m := good(q)
			m.ID += 9
			return m
		}}}, plan.NotYet, "another question", 1},
		"no pods": {fakeDNS{service: "10.96.0.10"}, plan.NotYet, "no ready pod", 0},
		"unknown": {fakeDNS{err: errIO}, plan.CannotTell, "where CoreDNS is", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := New(Deps{DNS: &tt.dns}).Gate("dns-answers")
			if err != nil {
				t.Fatal(err)
			}
			v := g.Check(t.Context())
			if v.State != tt.state || !strings.Contains(v.Reason, tt.reason) || len(tt.dns.asked) != tt.asked {
				t.Errorf("got %s: %q, asked %v", v.State, v.Reason, tt.dns.asked)
			}
		})
	}
}

// A server that takes the question and says nothing does not hold up the gate.
func TestDNSSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(dnsmessage.Message) *dnsmessage.Message { return nil }
		dns := &fakeDNS{pods: []string{"10.1.0.2"}, servers: map[string]func(dnsmessage.Message) *dnsmessage.Message{"10.1.0.2:53": silent}}
		g, err := New(Deps{DNS: dns}).Gate("dns-answers")
		if err != nil {
			t.Fatal(err)
		}
		if v := g.Check(t.Context()); v.State != plan.NotYet || !strings.Contains(v.Reason, "does not answer") {
			t.Errorf("got %+v", v)
		}
	})
}

func FuzzHasAddress(f *testing.F) {
	q, err := question(1, "kubernetes.default.svc.cluster.local.", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q[2:])
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = hasAddress(b, 1) })
}
