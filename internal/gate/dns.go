package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/kup-project/kup/pkg/plan"
)

// DNS is the cluster's own name service and a way to reach it, through a node.
type DNS interface {
	// CoreDNS gives the addresses of its ready pods and of its service.
	CoreDNS(ctx context.Context) (addresses []string, serviceIP string, err error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// dnsAnswers asks every CoreDNS pod and the service, over TCP.
func (d *Deps) dnsAnswers(ctx context.Context) plan.Verdict {
	pods, service, err := d.DNS.CoreDNS(ctx)
	if err != nil {
		return cannotTell("where CoreDNS is: %v", err)
	}
	if len(pods) == 0 {
		return notYet("CoreDNS has no ready pod")
	}
	servers := pods
	if service != "" && service != "None" {
		servers = append(append([]string{}, pods...), service)
	}
	name := "kubernetes.default.svc." + strings.TrimSuffix(d.ClusterDomain, ".") + "."
	for _, server := range servers {
		if v := d.askDNS(ctx, server, name); v.State != plan.Holds {
			return v
		}
	}
	return holds()
}

func (d *Deps) askDNS(ctx context.Context, server, name string) plan.Verdict {
	conn, err := d.DNS.DialContext(ctx, "tcp", net.JoinHostPort(server, "53"))
	if err != nil {
		return cannotTell("CoreDNS at %s cannot be reached: %v", server, err)
	}
	defer conn.Close() //nolint:errcheck // all was read
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	// An IPv6-only cluster has no A record.
	for i, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		found, err := lookup(conn, uint16(i+1), name, kind)
		if err != nil {
			return notYet("CoreDNS at %s does not answer for %s: %v", server, name, err)
		}
		if found {
			return holds()
		}
	}
	return notYet("CoreDNS at %s has no address for %s", server, name)
}

// lookup asks one question over a stream and tells whether an address came back.
func lookup(conn io.ReadWriter, id uint16, name string, kind dnsmessage.Type) (bool, error) {
	q, err := question(id, name, kind)
	if err != nil {
		return false, err
	}
	if _, err := conn.Write(q); err != nil {
		return false, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return false, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return false, err
	}
	return hasAddress(reply, id)
}

// question is a query with its length before it, as TCP wants it.
func question(id uint16, name string, kind dnsmessage.Type) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("name %s: %w", name, err)
	}
	b := dnsmessage.NewBuilder(make([]byte, 2, 514), dnsmessage.Header{ID: id, RecursionDesired: true})
	err = errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET}))
	msg, finishErr := b.Finish()
	if err = errors.Join(err, finishErr); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-2))
	return msg, nil
}

// hasAddress reads a reply. A name that does not exist, or any other failure, is
// an error.
func hasAddress(reply []byte, id uint16) (bool, error) {
	var p dnsmessage.Parser
	h, err := p.Start(reply)
	switch {
	case err != nil:
		return false, err
	case h.ID != id || !h.Response:
		return false, errors.New("the reply is to another question")
	case h.RCode == dnsmessage.RCodeNameError:
		return false, errors.New("there is no such name; is the cluster's DNS domain another one?")
	case h.RCode != dnsmessage.RCodeSuccess:
		return false, errors.New(strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	if err := p.SkipAllQuestions(); err != nil {
		return false, err
	}
	for {
		a, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if a.Type == dnsmessage.TypeA || a.Type == dnsmessage.TypeAAAA {
			return true, nil
		}
		if err := p.SkipAnswer(); err != nil {
			return false, err
		}
	}
}
