package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

// forbidden is what a host's dial gives when its sshd forwards nothing.
type forbidden struct{}

func (forbidden) Error() string              { return "cp-1: sshd forbids forwarding" }
func (forbidden) ForwardingProhibited() bool { return true }

func forbid(context.Context, string, string) (net.Conn, error) { return nil, forbidden{} }

// streamHost runs its commands here, as sshd would on the node.
type streamHost struct {
	*fakeHost
	mu      sync.Mutex
	started [][]string
}

type stream struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func (s stream) Close() error {
	err := errors.Join(s.WriteCloser.Close(), s.cmd.Process.Kill())
	_ = s.cmd.Wait() // killed
	return err
}

func (h *streamHost) Stream(_ context.Context, c remote.Command) (io.ReadWriteCloser, error) {
	h.mu.Lock()
	h.started = append(h.started, c.Argv)
	h.mu.Unlock()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return stream{out, in, cmd}, cmd.Start()
}

// TestAccess goes over the ways to one member, and the ways not to get there.
func TestAccess(t *testing.T) {
	t.Parallel()
	lab := startCluster(t, 1)
	node := lab.nodes[0]

	t.Run("relay", func(t *testing.T) {
		host := &streamHost{fakeHost: node.host}
		c, err := Connect(t.Context(), []Access{{Node: "cp-1", Host: host, Dial: forbid, Address: node.client}})
		check(t, err)
		fill(t, c, 20)
		_, err = c.Snapshot(t.Context(), t.TempDir(), "relayed.db", nil)
		check(t, err)
		check(t, c.Close())
		if len(host.started) != 1 || host.started[0][len(host.started[0])-1] != strings.Split(node.client, ":")[1] {
			t.Errorf("started: %q", host.started)
		}
	})
	t.Run("neither forwarding nor relay", func(t *testing.T) {
		_, err := Connect(t.Context(), []Access{{Node: "cp-1", Host: node.host, Dial: forbid}})
		var f *ForwardingError
		if !errors.As(err, &f) || !errors.As(err, &forbidden{}) || !strings.Contains(err.Error(), "AllowTcpForwarding") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		a := node.access()
		a.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &remote.ConnectionError{Host: "cp-1", Err: io.ErrUnexpectedEOF}
		}
		_, err := Connect(t.Context(), []Access{a})
		var way *remote.ConnectionError
		if !errors.As(err, &way) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("certificates", func(t *testing.T) { testCertificates(t, node) })
	t.Run("incomplete", func(t *testing.T) {
		for _, a := range []Access{{}, {Node: "cp-1", Host: node.host}, {Node: "cp-1", Host: node.host, Dial: forbid, Address: "127.0.0.1"}} {
			if _, err := Connect(t.Context(), []Access{a}); err == nil {
				t.Errorf("%+v was taken", a)
			}
		}
		if _, err := Connect(t.Context(), nil); err == nil {
			t.Error("no member was taken")
		}
	})
}

func testCertificates(t *testing.T, node *testNode) {
	const pki = "/etc/kubernetes/pki/etcd/"
	good := node.host.file
	ca := newAuthority(t)
	expired, expiredKey := ca.issue(t, "old", time.Now().Add(-time.Minute))
	foreign, foreignKey := ca.issue(t, "foreign", time.Now().Add(time.Hour))
	tests := map[string]struct {
		edit map[string][]byte
		want string
	}{
		"no key":         {map[string][]byte{"healthcheck-client.key": nil}, "file does not exist"},
		"no CA":          {map[string][]byte{"ca.crt": []byte("nothing")}, "holds no certificate"},
		"another key":    {map[string][]byte{"healthcheck-client.key": foreignKey}, "do not fit together"},
		"expired":        {map[string][]byte{"healthcheck-client.crt": expired, "healthcheck-client.key": expiredKey}, "kubeadm certs renew etcd-healthcheck-client"},
		"another's":      {map[string][]byte{"healthcheck-client.crt": foreign, "healthcheck-client.key": foreignKey}, "etcd on cp-1"},
		"other server's": {map[string][]byte{"ca.crt": ca.pem}, "certificate signed by unknown authority"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			host := &fakeHost{name: "cp-1", file: map[string][]byte{}}
			for path, content := range good {
				host.file[path] = content
			}
			for file, content := range tt.edit {
				if host.file[pki+file] = content; content == nil {
					delete(host.file, pki+file)
				}
			}
			a := node.access()
			a.Host = host
			_, err := Connect(t.Context(), []Access{a})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: %v; want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Error("the error holds a key")
			}
		})
	}
}
