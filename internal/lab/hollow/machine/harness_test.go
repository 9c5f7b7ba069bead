package machine_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

const endpoint = "127.77.9.3:6443"

// process stands for what is behind a static pod. It remembers how it was started.
type process struct {
	mu      sync.Mutex
	version string
	started []string
	failing map[string]string
	refuse  error
	joins   []string // initial clusters
	renewed int
}

func (p *process) Start(_ context.Context, version string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	if p.version == "" {
		p.version = version
		p.started = append(p.started, version)
	}
	return nil
}

func (p *process) Restore([]byte, int64, string, string) error { return nil }

func (p *process) Ready(context.Context) error { return nil }

func (p *process) Stop(context.Context) error {
	p.Kill()
	return nil
}

func (p *process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version = ""
}

func (p *process) Certify() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewed++
	return nil
}

func (p *process) Empty(initialCluster string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joins = append(p.joins, initialCluster)
	return nil
}

func (p *process) SetFailing(checks map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = checks
}

func (p *process) runs() (version string, starts []string, failing int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version, slices.Clone(p.started), len(p.failing)
}

// site is what machines of a test share.
type site struct {
	t          *testing.T
	known      *catalog.Catalog
	store      *apiserver.Store
	authority  *pki.Authority
	repository *debian.Repository
	registry   *machine.Registry
	config     *manifest.Config

	mu        sync.Mutex
	down      error // the API does not answer
	mutations []string
}

func newSite(t *testing.T, at cluster.Version, releases ...string) *site {
	t.Helper()
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, known: known, store: apiserver.NewStore(), authority: authority,
		repository: debian.NewRepository("https://pkgs.hollow.test/core:/stable:/v{minor}/deb/"), registry: machine.NewRegistry("web:1"),
		config: manifest.NewConfig("test", endpoint, "10.244.0.0/16", at),
	}
	for _, text := range append([]string{at.String()}, releases...) {
		v := version(text)
		machine.Publish(s.repository, v)
		if err := s.registry.AddRelease(known, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := machine.UploadConfig(s.store, s.config, at.Line()); err != nil {
		t.Fatal(err)
	}
	return s
}

func version(s string) cluster.Version { return cluster.MustParseVersion(s) }

func (s *site) api() (machine.Objects, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	return s.store, nil
}

func (s *site) setDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *site) mutated(host string, argv []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mutations = append(s.mutations, host+": "+strings.Join(argv, " "))
}

// host is a machine with its processes.
type host struct {
	*machine.Machine
	server, etcd *process
}

// add makes a machine that is up, with a node in the API.
func (s *site) add(name string, role cluster.Role, ip string) *host {
	s.t.Helper()
	h := s.off(name, role, ip)
	if err := h.Join(s.store); err != nil {
		s.t.Fatal(err)
	}
	if err := h.Resume(); err != nil {
		s.t.Fatal(err)
	}
	return h
}

func (s *site) settings(name string, role cluster.Role, ip string) machine.Config {
	return machine.Config{
		Name: name, Role: role, IP: ip, PodCIDR: netip.MustParsePrefix("10.244.1.0/24"), Pace: 0.001, Catalog: s.known,
		Repository: s.repository, Registry: s.registry, API: s.api, Authority: s.authority, Mutation: s.mutated,
	}
}

// off makes a machine with its files, off.
func (s *site) off(name string, role cluster.Role, ip string) *host {
	s.t.Helper()
	h := &host{}
	c := s.settings(name, role, ip)
	if role == cluster.ControlPlane {
		h.server, h.etcd = &process{}, &process{}
		c.APIServer, c.Etcd = h.server, h.etcd
	}
	h.Machine = machine.New(c)
	s.t.Cleanup(h.Close)
	if err := h.Provision(machine.Provisioning{Config: s.config, First: true, Users: []string{"ops"}}); err != nil {
		s.t.Fatal(err)
	}
	return h
}

// run runs a line as root and gives the exit code and what it printed.
func (h *host) run(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = h.Exec(ctx, "root", line, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// must is run for a line that has to succeed.
func (h *host) must(t *testing.T, line string) string {
	t.Helper()
	code, stdout, stderr := h.run(t, line)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", line, code, stdout, stderr)
	}
	return stdout
}

// refuses is run for a line that has to fail with these words.
func (h *host) refuses(t *testing.T, line, words string) {
	t.Helper()
	code, stdout, stderr := h.run(t, line)
	if code == 0 || !strings.Contains(stdout+stderr, words) {
		t.Errorf("%s: exit code %d, want one that is not 0, and %q in\n%s%s", line, code, words, stdout, stderr)
	}
}

// eventually waits for something that is under way.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// connection is a host as kup sees it, without SSH.
type connection struct{ *host }

var _ remote.Host = connection{}

func (c connection) String() string { return c.Name() }

func (c connection) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	user := "ops"
	if cmd.Sudo {
		user = "root"
	}
	stdin := cmd.Stdin
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	var out, errs bytes.Buffer
	code := c.Exec(ctx, user, remote.Quote(cmd.Argv), stdin, &out, &errs)
	if code != 0 {
		return remote.Result{}, &remote.ExitError{Host: c.Name(), Argv: cmd.Argv, Code: code, Stdout: out.Bytes(), Stderr: errs.Bytes()}
	}
	return remote.Result{Stdout: out.Bytes(), Stderr: errs.Bytes()}, nil
}

func (c connection) ReadFile(_ context.Context, path string) ([]byte, error) {
	return c.FS().ReadFile(path)
}

func (c connection) WriteFile(_ context.Context, path string, content []byte, perm fs.FileMode) error {
	return c.FS().WriteFile(path, content, perm)
}

var errDown = errors.New("dial tcp 127.77.9.3:6443: connect: connection refused")
