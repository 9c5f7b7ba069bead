package detached_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
	"github.com/kup-project/kup/pkg/plan"
)

// node is a host with SSH and without systemd.
type node struct {
	t      *testing.T
	server *sshtest.Server
	host   *ssh.Host
	base   string
	boot   string
}

func newNode(t *testing.T, options ...sshtest.Option) *node {
	t.Helper()
	n := &node{t: t, server: sshtest.Start(t, options...), base: filepath.Join(t.TempDir(), "kup")}
	n.boot = n.file("boot_id")
	n.write(n.boot, "first boot\n")
	n.host = sshtest.Host(t, n.server.Config(t))
	t.Cleanup(n.endAll)
	return n
}

// file is a path outside of what the executor keeps.
func (n *node) file(name string) string { return filepath.Join(n.server.Home, name) }

func (n *node) write(file, content string) {
	n.t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) read(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

// executor is that of another kup each time.
func (n *node) executor(run string, epoch int64, options ...detached.Option) *detached.Executor {
	return detached.New(run, epoch, nil, append([]detached.Option{
		detached.BaseDirectory(n.base), detached.BootID(n.boot), detached.SystemdDirectory(n.file("no-systemd")), detached.Quick(),
	}, options...)...)
}

// endAll lets what still runs end: commands of these tests wait for the file "go".
func (n *node) endAll() {
	n.write(n.file("go"), "")
	files, _ := filepath.Glob(filepath.Join(n.base, "*", "exec", "*"))
	for _, dir := range files {
		await(n.t, func() bool {
			_, err := os.Stat(filepath.Join(dir, "status"))
			_, skip := os.Stat(filepath.Join(dir, "unattended"))
			return err == nil || skip == nil
		})
	}
}

// waiting is a command that leaves a mark, waits for the file "go" and says so.
func (n *node) waiting(name string) remote.Command {
	return remote.Command{Argv: []string{"sh", "-c",
		`echo ran >>"$0"; until [ -e "$1" ]; do sleep 0.02; done; echo went`, n.file(name), n.file("go")}}
}

func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("waited in vain")
		}
	}
}

func execution(step string) plan.Execution {
	return plan.Execution{Run: "20260101-abc", Step: "1.34/control-plane/cp-1/" + step, Attempt: 1}
}

const run = "20260101-abc"

func TestSuccess(t *testing.T) {
	n := newNode(t)
	var spans int
	e := detached.New(run, 1, func(from, to time.Time) { spans++ },
		detached.BaseDirectory(n.base), detached.BootID(n.boot), detached.SystemdDirectory("/none"))
	id := execution("apply")
	if s, err := e.Status(t.Context(), n.host, id); err != nil || s.State != detached.Absent {
		t.Errorf("before: %v, %v", s, err)
	}
	before := n.server.Execs()
	var lines []string
	r, err := e.Run(t.Context(), n.host, id, remote.Command{
		Argv:  []string{"sh", "-c", `echo "out $KUP_X $1"; cat; echo "it's $HOME" >&2; printf end`, "sh", "a 'b' $c"},
		Env:   []string{"KUP_X=x y", "HOME=/h"},
		Stdin: strings.NewReader("in\x00put\n"),
	}, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Stdout); got != "out x y a 'b' $c\nin\x00put\nend" || string(r.Stderr) != "it's /h\n" {
		t.Errorf("output %q, %q", got, r.Stderr)
	}
	if got := strings.Join(lines, "|"); got != "out x y a 'b' $c|in\x00put|it's /h|end" {
		t.Errorf("progress %q", got)
	}
	if trips := n.server.Execs() - before; trips != 1 {
		t.Errorf("a short command took %d remote commands, want 1", trips)
	}
	if s, err := e.Status(t.Context(), n.host, id); err != nil || s.String() != "exited(0)" {
		t.Errorf("after: %v, %v", s, err)
	}
	if spans != 1 {
		t.Errorf("%d spans", spans)
	}
	dirs, _ := filepath.Glob(filepath.Join(n.base, run, "exec", "*"))
	if len(dirs) != 1 || filepath.Base(dirs[0]) != "1.34%2Fcontrol-plane%2Fcp-1%2Fapply%2F1" {
		t.Errorf("directories %q", dirs)
	}
	if _, err := os.Stat(filepath.Join(dirs[0], "stdin")); err == nil {
		t.Error("the input was left behind")
	}
	for _, f := range []string{n.base, dirs[0], filepath.Join(dirs[0], "stdout")} {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
}

func TestFailure(t *testing.T) {
	n := newNode(t)
	c := remote.Command{Argv: []string{"sh", "-c", `echo out; i=0; while [ $i -lt 3000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 7`}}
	for range 2 { // the second time it is read again, not run again
		_, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"), c, nil)
		var failed *remote.ExitError
		if !errors.As(err, &failed) || failed.Code != 7 || failed.Argv[0] != "sh" || failed.Host != "node" {
			t.Fatalf("%v", err)
		}
		if got := bytes.Count(failed.Stderr, []byte("\n")); got != 3000 || string(failed.Stdout) != "out\n" {
			t.Errorf("%d lines of stderr, stdout %q", got, failed.Stdout)
		}
	}
	if _, err := n.executor(run, 1).Run(t.Context(), n.host, execution("none"), remote.Command{Argv: []string{"/no/such"}}, nil); err == nil || !strings.Contains(err.Error(), "127") {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestMuchOutput(t *testing.T) {
	n := newNode(t)
	const size = 5 << 19 // two answers and a half
	r, err := n.executor(run, 1).Run(t.Context(), n.host, execution("x"),
		remote.Command{Argv: []string{"head", "-c", fmt.Sprint(size), "/dev/zero"}}, nil)
	if err != nil || len(r.Stdout) != size {
		t.Errorf("%d bytes of %d, %v", len(r.Stdout), size, err)
	}
}

func TestConnectionDropped(t *testing.T) {
	n := newNode(t)
	var lines []string
	type end struct {
		r   remote.Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"), n.waiting("ran"), func(l string) { lines = append(lines, l) })
		ended <- end{r, err}
	}()
	for range 3 {
		await(t, func() bool { return n.read(n.file("ran")) != "" })
		n.server.Drop()
	}
	n.write(n.file("go"), "")
	e := <-ended
	if e.err != nil || string(e.r.Stdout) != "went\n" {
		t.Errorf("%q, %v", e.r.Stdout, e.err)
	}
	if got := n.read(n.file("ran")); got != "ran\n" {
		t.Errorf("the command ran %q", got)
	}
	if len(lines) < 2 || !strings.Contains(lines[0], "connection lost") {
		t.Errorf("progress %q", lines)
	}
}

func TestReplyLost(t *testing.T) {
	n := newNode(t)
	e := n.executor(run, 1)
	if err := e.Own(t.Context(), n.host); err != nil {
		t.Fatal(err)
	}
	n.server.CutNext()
	r, err := e.Run(t.Context(), n.host, execution("x"), remote.Command{Argv: []string{"sh", "-c", `echo ran >>"$0"; echo done`, n.file("ran")}}, nil)
	if err != nil || string(r.Stdout) != "done\n" || n.read(n.file("ran")) != "ran\n" {
		t.Errorf("%q, %v; ran %q", r.Stdout, err, n.read(n.file("ran")))
	}
}

func TestSecondExecutorAttaches(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := n.executor(run, 1).Run(ctx, n.host, execution("apply"), n.waiting("ran"), nil)
		ended <- err
	}()
	await(t, func() bool { return n.read(n.file("ran")) != "" })
	cancel() // the first kup is gone; its command is not
	if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "may go on") {
		t.Errorf("the first one: %v", err)
	}
	second := n.executor(run, 2)
	if s, err := second.Status(t.Context(), n.host, execution("apply")); err != nil || s.State != detached.Running {
		t.Errorf("%v, %v", s, err)
	}
	other := n.waiting("other")
	var differs *detached.OtherCommandError
	if _, err := second.Run(t.Context(), n.host, execution("apply"), other, nil); !errors.As(err, &differs) {
		t.Errorf("another command under the same id: %v", err)
	}
	n.write(n.file("go"), "")
	r, err := second.Run(t.Context(), n.host, execution("apply"), n.waiting("ran"), nil)
	if err != nil || string(r.Stdout) != "went\n" || n.read(n.file("ran")) != "ran\n" || n.read(n.file("other")) != "" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
	if _, err := second.Run(t.Context(), n.host, execution("apply"), other, nil); !errors.As(err, &differs) {
		t.Errorf("another command under the id of an ended one: %v", err)
	}
}

func TestStartedOnce(t *testing.T) {
	n := newNode(t)
	n.write(n.file("go"), "")
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			r, err := n.executor(run, int64(1+i%2)).Run(t.Context(), n.host, execution("apply"), n.waiting("ran"), nil)
			var fenced *detached.FencedError
			if err != nil && !errors.As(err, &fenced) || err == nil && string(r.Stdout) != "went\n" {
				t.Errorf("%q, %v", r.Stdout, err)
			}
		})
	}
	wg.Wait()
	if got := n.read(n.file("ran")); got != "ran\n" {
		t.Errorf("the command ran %d times", strings.Count(got, "ran"))
	}
}

func TestRefused(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]remote.Command{
		"empty":     {},
		"option":    {Argv: []string{"-c", "x"}},
		"zero byte": {Argv: []string{"echo", "a\x00b"}},
	} {
		if _, err := n.executor(run, 1).Run(t.Context(), n.host, execution("x"), c, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n.server.Execs() != 0 {
		t.Error("the host was asked")
	}
}
