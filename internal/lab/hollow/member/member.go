package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/kup-project/kup/pkg/cluster"
)

// ErrStopped says that a member does not run.
var ErrStopped = errors.New("it does not run")

// Member is one member of the cluster, running or not. It is safe for concurrent
// use.
type Member struct {
	node    Node
	cluster *Cluster
	at      int // its place in the cluster
	gate    *gate

	turn sync.Mutex // one start or stop at a time
	mu   sync.Mutex // guards what follows; held for a moment only
	etcd *embed.Etcd
	runs cluster.Version // what etcd claims to be
	// joins is the cluster that it joins when it starts next; empty: its data say it.
	joins string
}

// Name is the node's name.
func (m *Member) Name() string { return m.node.Name }

// Address is where clients reach the member.
func (m *Member) Address() string { return hostPort(m.node.IP, clientPort) }

// Version is what the member runs, or ran last, such as "3.5.24".
func (m *Member) Version() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.cluster.state.Members[m.at].Version.Bare()
}

// Running tells whether the process runs; it need not serve.
func (m *Member) Running() bool { return m.server() != nil }

// Start starts the process as a version; empty means that of the last time. It
// does not wait until the member serves, see Ready. It fails as etcd would: with
// a [*RefusedError] for a version that cannot run on these data, and when
// certificates are missing on the host. A running member is left alone.
func (m *Member) Start(ctx context.Context, version string) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.Running() {
		return nil
	}
	v, err := m.cluster.version(m, version)
	if err != nil {
		return err
	}
	if err := m.Certify(); err != nil {
		return err
	}
	m.clear()
	if err := checkFree(ctx, m.node.Name, m.node.IP); err != nil {
		return err
	}
	m.mu.Lock()
	m.runs = v
	m.mu.Unlock()
	m.gate.open()
	e, err := embed.StartEtcd(m.config())
	if err != nil {
		return fmt.Errorf("member: start etcd of %s: %w", m.node.Name, err)
	}
	m.mu.Lock()
	m.etcd, m.joins = e, ""
	m.mu.Unlock()
	return m.cluster.started(m, v)
}

// Empty sets the data of a member that does not run aside, for good. It starts next as
// a new one that joins, which etcd must have been told of; initialCluster is etcd's
// argument.
func (m *Member) Empty(initialCluster string) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.Running() {
		return fmt.Errorf("member: etcd of %s runs", m.node.Name)
	}
	m.clear()
	aside, err := os.MkdirTemp(m.dir(), "aside-*")
	if err == nil {
		err = os.Rename(m.data(), filepath.Join(aside, "data"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("member: set the data of %s aside: %w", m.node.Name, err)
	}
	m.mu.Lock()
	m.joins = initialCluster
	m.mu.Unlock()
	return nil
}

// Ready waits until the member serves: until it is one of a quorum.
func (m *Member) Ready(ctx context.Context) error {
	e := m.process()
	if e == nil {
		return fmt.Errorf("member: etcd of %s: %w", m.node.Name, ErrStopped)
	}
	select {
	case <-e.Server.ReadyNotify():
		return nil
	case <-e.Server.StopNotify():
		return fmt.Errorf("member: etcd of %s ended before it served: %w", m.node.Name, ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("member: etcd of %s does not serve yet: %w", m.node.Name, ctx.Err())
	}
}

// Restart stops the member and starts it again as a version, on its own data, and
// waits until it serves. This is an upgrade.
func (m *Member) Restart(ctx context.Context, version string) error {
	if err := m.Stop(ctx); err != nil {
		return err
	}
	if err := m.Start(ctx, version); err != nil {
		return err
	}
	return m.Ready(ctx)
}

// Stop ends the process as SIGTERM does: a leader hands over first. When ctx is
// done it ends at once, and the error says so. It returns when all of it has
// ended.
func (m *Member) Stop(ctx context.Context) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	e := m.process()
	if e == nil {
		return nil
	}
	if m.gate.closed() || !isReady(e) { // it hangs, or is alone: it hands nothing over
		m.gate.open()
		e.Server.HardStop()
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		e.Close()
	}()
	var err error
	select {
	case <-closed:
	case <-ctx.Done():
		err = fmt.Errorf("member: etcd of %s was cut short: %w", m.node.Name, ctx.Err())
		e.Server.HardStop()
		<-closed
	}
	m.forget()
	return err
}

// Kill ends the process as SIGKILL does: nothing is handed over.
func (m *Member) Kill() {
	m.turn.Lock()
	defer m.turn.Unlock()
	e := m.process()
	if e == nil {
		return
	}
	m.gate.open()
	e.Server.PauseSending()
	e.Server.HardStop()
	e.Close()
	m.forget()
}

// Pause makes the member hang: it is there, and answers neither its clients nor
// its peers. Stop and Kill end it all the same.
func (m *Member) Pause() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.etcd != nil {
		m.gate.shut()
		m.etcd.Server.PauseSending()
	}
}

// Resume ends a Pause.
func (m *Member) Resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.etcd != nil && m.gate.closed() {
		m.etcd.Server.ResumeSending()
		m.gate.open()
	}
}

// Certify gives the process the certificates that now lie on the host, as it
// reads them anew for each connection. Starting does the same.
func (m *Member) Certify() error {
	if err := copyCertificates(m.node.FS, m.pki()); err != nil {
		return fmt.Errorf("member: etcd of %s: %w", m.node.Name, err)
	}
	return nil
}

// server gives the process if it runs.
func (m *Member) server() *embed.Etcd {
	e := m.process()
	if e == nil {
		return nil
	}
	select {
	case <-e.Server.StopNotify():
		return nil // it ended by itself
	default:
		return e
	}
}

// process is the one that was started last, until it was stopped.
func (m *Member) process() *embed.Etcd {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.etcd
}

func isReady(e *embed.Etcd) bool {
	select {
	case <-e.Server.ReadyNotify():
		return true
	default:
		return false
	}
}

// clear frees the ports of a process that ended by itself.
func (m *Member) clear() {
	if e := m.process(); e != nil {
		e.Close()
		m.forget()
	}
}

func (m *Member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.etcd = nil
}

func (m *Member) dir() string  { return filepath.Join(m.cluster.dir, m.node.Name) }
func (m *Member) data() string { return filepath.Join(m.dir(), "data") }
func (m *Member) pki() string  { return filepath.Join(m.dir(), "pki") }
