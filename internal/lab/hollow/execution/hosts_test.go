package execution_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// host is one on which questions are answered, by the script or by the model.
type host struct {
	remote.Host
	t    *testing.T
	home string // a directory that is nobody's business
	base string // what the executor keeps
	boot string // the file with the boot id

	read   func(file string) string // empty: there is none
	write  func(file, content string)
	remove func(file string)
	drop   func() // every connection
	cut    func() // the connection of the next command, after it
	// What a command says to have its own execution killed or terminated.
	suicide, surrender string

	model *execution.Model // nil: the script
	fs    *vfs.FS
	shell *shell.Shell
	sshd  *sshd.Server
}

func (h *host) file(name string) string { return h.home + "/" + name }

// kinds are the hosts that must be alike.
var kinds = map[string]func(t *testing.T) *host{"script": newScript, "model": newModel}

// newScript gives a host with real processes and wrapper.sh.
func newScript(t *testing.T) *host {
	t.Helper()
	server := sshtest.Start(t)
	h := &host{
		t: t, Host: sshtest.Host(t, server.Config(t)), home: server.Home, base: filepath.Join(t.TempDir(), "kup"),
		drop: server.Drop, cut: server.CutNext,
		read: func(file string) string { b, _ := os.ReadFile(file); return string(b) },
		write: func(file, content string) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Error(err)
			}
		},
		remove:    func(file string) { _ = os.RemoveAll(file) },
		suicide:   `kill -9 $PPID`,
		surrender: `kill $PPID; kill $$`,
	}
	h.boot = h.file("boot_id")
	h.write(h.boot, "first boot\n")
	t.Cleanup(h.settle)
	return h
}

// settle lets what still waits on a real host end, and waits for it.
func (h *host) settle() {
	h.write(h.file("go"), "")
	alive, _ := filepath.Glob(filepath.Join(h.base, "*", "exec", "*", "alive"))
	for _, file := range alive {
		if err := exec.CommandContext(context.WithoutCancel(h.t.Context()), "flock", "-w", "60", "-s", file, "true").Run(); err != nil {
			h.t.Errorf("%s is still held: %v", file, err)
		}
	}
}

// machine is a modelled one.
type machine struct {
	shell *shell.Shell
	user  string // who everybody is
}

func (m *machine) Exec(ctx context.Context, _, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	return m.shell.Exec(ctx, &shell.Process{
		Args: []string{"sh", "-c", line}, Dir: "/root", Root: m.user == "root",
		Env:   shell.Environment(map[string]string{"USER": m.user, "HOME": "/root", "PATH": "/usr/bin:/bin"}, nil),
		Stdin: stdin, Stdout: stdout, Stderr: stderr,
	})
}

func (m *machine) Dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

// newModel gives a modelled host.
func newModel(t *testing.T) *host {
	t.Helper()
	return newModelOver(t, vfs.New())
}

// newModelOver gives a modelled host that has a file system already.
func newModelOver(t *testing.T, fs *vfs.FS) *host {
	t.Helper()
	model := &execution.Model{}
	boot, err := execution.NewBoot(fs, "first boot")
	if err != nil {
		t.Fatal(err)
	}
	model.Power(boot)
	t.Cleanup(func() {
		model.Boot().End()
		model.Boot().Wait()
	})
	m := &machine{user: "root", shell: shell.New(fs, map[string]shell.Program{
		"suicide": func(ctx context.Context, _ *shell.Process) int {
			model.Kill(model.Running()[0].Dir)
			<-ctx.Done()
			return 1
		},
		"surrender": func(ctx context.Context, _ *shell.Process) int {
			model.Terminate(model.Running()[0].Dir)
			<-ctx.Done()
			return 1
		},
	})}
	m.shell.Script = model.Script
	h := &host{
		t: t, home: "/home/test", base: "/var/lib/kup", boot: execution.BootFile, suicide: "suicide", surrender: "surrender",
		model: model, fs: fs, shell: m.shell,
		read: func(file string) string { b, _ := fs.ReadFile(file); return string(b) },
		write: func(file, content string) {
			if err := fs.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Error(err)
			}
		},
		remove: func(file string) { _ = fs.RemoveAll(file) },
	}
	if err := fs.MkdirAll(h.home, 0o755); err != nil {
		t.Fatal(err)
	}
	h.serve(m)
	return h
}

// serve lets the host be reached as root over SSH.
func (h *host) serve(m sshd.Machine) {
	h.t.Helper()
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	identity, key := sshtest.NewIdentity(h.t, h.t.TempDir(), "identity", "")
	s, err := sshd.Start(h.t.Context(), m, sshd.Config{HostKey: hostKey, Users: map[string][]xssh.PublicKey{"root": {key.PublicKey()}, "ops": {key.PublicKey()}}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Close() })
	known := filepath.Join(h.t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{s.Addr().String()}, s.HostKey())+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.Host = sshtest.Host(h.t, ssh.Config{
		Name: "node", Address: "127.0.0.1", Port: s.Addr().Port, User: "root",
		Identities: []string{identity}, KnownHosts: []string{known}, Sudo: ssh.Sudo{Mode: ssh.SudoNone},
	})
	h.sshd, h.drop = s, s.CutNow
	h.cut = func() { s.CutOn(func(string) bool { return true }, sshd.After) }
}

// executor is that of another kup each time.
func (h *host) executor(run string, epoch int64) *detached.Executor {
	return detached.New(run, epoch, nil, detached.BaseDirectory(h.base), detached.BootID(h.boot), detached.SystemdDirectory(h.file("no-systemd")))
}

// waiting is a command that leaves a mark, waits for the file "go" and says so.
func (h *host) waiting(name string) remote.Command {
	return remote.Command{Argv: []string{"sh", "-c",
		`echo ran >>"$0"; until [ -e "$1" ]; do sleep 0.02; done; echo went`, h.file(name), h.file("go")}}
}

func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("waited in vain")
		}
	}
}

// wrapper is the script itself.
func wrapper(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash("../../../remote/detached/wrapper.sh"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
