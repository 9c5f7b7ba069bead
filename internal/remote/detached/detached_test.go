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

func TestFence(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	older, newer := n.executor("older", 3), n.executor("newer", 4)
	for _, e := range []*detached.Executor{older, older, newer, newer} {
		if err := e.Own(ctx, n.host); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.read(filepath.Join(n.base, "owner")); got != "newer 4\n" {
		t.Errorf("owner %q", got)
	}
	c := remote.Command{Argv: []string{"touch", n.file("touched")}}
	var fenced *detached.FencedError
	for name, err := range map[string]error{
		"own":        older.Own(ctx, n.host),
		"same epoch": n.executor("third", 4).Own(ctx, n.host),
		"run": func() error {
			_, err := older.Run(ctx, n.host, plan.Execution{Run: "older", Step: "s", Attempt: 1}, c, nil)
			return err
		}(),
	} {
		if !errors.As(err, &fenced) || fenced.Owner != "newer" || fenced.OwnerEpoch != 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n.read(n.file("touched")) != "" {
		t.Error("a fenced run did something")
	}
	if s, err := older.Status(ctx, n.host, plan.Execution{Run: "older", Step: "s", Attempt: 1}); err != nil || s.State != detached.Absent {
		t.Errorf("%v, %v", s, err)
	}
	// Starting something takes the host over, too.
	if _, err := n.executor("third", 5).Run(ctx, n.host, plan.Execution{Run: "third", Step: "s", Attempt: 1}, c, nil); err != nil {
		t.Error(err)
	}
	if err := newer.Own(ctx, n.host); !errors.As(err, &fenced) {
		t.Errorf("after a newer one: %v", err)
	}
	n.write(filepath.Join(n.base, "owner"), "garbage\n")
	if err := newer.Own(ctx, n.host); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged owner file: %v", err)
	}
}

func TestLost(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := n.executor(run, 1).Run(ctx, n.host, execution("apply"), n.waiting("ran"), nil)
		ended <- err
	}()
	await(t, func() bool { return n.read(n.file("ran")) != "" })
	n.write(n.boot, "second boot\n")
	var lost *detached.LostError
	if err := <-ended; !errors.As(err, &lost) || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("after a restart: %v", err)
	}
	cancel()
	s, err := n.executor(run, 1).Status(t.Context(), n.host, execution("apply"))
	if err != nil || s.State != detached.Lost {
		t.Errorf("%v, %v", s, err)
	}
	n.write(n.boot, "first boot\n")
	n.write(n.file("go"), "")
	if r, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"), n.waiting("ran"), nil); err != nil || string(r.Stdout) != "went\n" {
		t.Errorf("a written status counts: %q, %v", r.Stdout, err)
	}
}

func TestKilled(t *testing.T) {
	n := newNode(t)
	// The command kills its wrapper, which therefore writes no status.
	_, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"),
		remote.Command{Argv: []string{"sh", "-c", `echo said; for d in "$0"/*/exec/*/; do touch "$d/unattended"; done; kill -9 $PPID`, n.base}}, nil)
	var lost *detached.LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "without having written a status") || string(lost.Stdout) != "said\n" {
		t.Errorf("%v", err)
	}
}

func TestTerminated(t *testing.T) {
	n := newNode(t)
	_, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"),
		remote.Command{Argv: []string{"sh", "-c", `kill $PPID; kill $$`}}, nil)
	var ended *detached.TerminatedError
	var failed *remote.ExitError
	if !errors.As(err, &ended) || !errors.As(err, &failed) || failed.Code != 143 {
		t.Errorf("%v", err)
	}
}

func TestTimeout(t *testing.T) {
	n := newNode(t)
	_, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"),
		remote.Command{Argv: []string{"sh", "-c", `echo began; sleep 60`}, Timeout: time.Second}, nil)
	var late *detached.TimeoutError
	if !errors.As(err, &late) || !strings.Contains(err.Error(), "its time of 1s was over") || string(late.Err.Stdout) != "began\n" {
		t.Errorf("%v", err)
	}
	// A command may itself end with the code that stands for a timeout.
	_, err = n.executor(run, 1).Run(t.Context(), n.host, execution("other"),
		remote.Command{Argv: []string{"sh", "-c", `exit 124`}, Timeout: time.Hour}, nil)
	var failed *remote.ExitError
	late = nil
	if errors.As(err, &late) || !errors.As(err, &failed) || failed.Code != 124 {
		t.Errorf("%v", err)
	}
}

func TestWrapperRemoved(t *testing.T) {
	n := newNode(t)
	e := n.executor(run, 1)
	if err := e.Own(t.Context(), n.host); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(n.base); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), n.host, execution("x"), remote.Command{Argv: []string{"true"}}, nil); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	n := newNode(t)
	cfg := n.server.Config(t)
	cfg.Port = 1
	h := sshtest.Host(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := n.executor(run, 1).Run(ctx, h, execution("x"), remote.Command{Argv: []string{"true"}}, nil)
	var lost *remote.ConnectionError
	if !errors.As(err, &lost) || !lost.Unsent {
		t.Errorf("%v", err)
	}
}

// fakeSystemd gives a node on which systemd seems to run, with this systemd-run.
func fakeSystemd(t *testing.T, script string) (*node, detached.Option) {
	t.Helper()
	bin := t.TempDir()
	file := filepath.Join(bin, "systemd-run")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, sshtest.Env("PATH="+bin+":"+os.Getenv("PATH"), "KUP_TEST_LOG="+filepath.Join(bin, "log")))
	return n, detached.SystemdDirectory(bin)
}

const startUnit = `
while [ "${1#-}" != "$1" ]; do echo "$1" >>"$KUP_TEST_LOG"; shift; done
setsid "$@" >/dev/null 2>&1 &
`

func TestSystemd(t *testing.T) {
	n, systemd := fakeSystemd(t, startUnit)
	r, err := n.executor(run, 1, systemd).Run(t.Context(), n.host, execution("apply"),
		remote.Command{Argv: []string{"echo", "done"}, Timeout: 90 * time.Second}, nil)
	if err != nil || string(r.Stdout) != "done\n" {
		t.Fatalf("%q, %v", r.Stdout, err)
	}
	logs, _ := filepath.Glob(filepath.Join(t.TempDir(), "..", "*", "log"))
	if len(logs) != 1 {
		t.Fatalf("logs %q", logs)
	}
	flags := n.read(logs[0])
	for _, want := range []string{"--collect\n", "--unit=kup-", "--property=RuntimeMaxSec=210\n", "--description=kup " + run} {
		if !strings.Contains(flags, want) {
			t.Errorf("systemd-run got\n%s\nwithout %q", flags, want)
		}
	}
}

// A unit that is reported as failed may yet come: then it must do nothing, and
// the same id can be started again.
func TestSystemdFails(t *testing.T) {
	n, systemd := fakeSystemd(t, `
[ ! -e "$KUP_TEST_LOG" ] || {`+startUnit+`
exit 0; }
while [ "${1#-}" != "$1" ]; do shift; done
printf '%s\n' "$@" >"$KUP_TEST_LOG"
echo 'Failed to connect to bus' >&2; exit 1`)
	c := remote.Command{Argv: []string{"sh", "-c", `echo ran >>"$0"`, n.file("ran")}}
	var failed *detached.StartError
	if _, err := n.executor(run, 1, systemd).Run(t.Context(), n.host, execution("apply"), c, nil); !errors.As(err, &failed) || !strings.Contains(err.Error(), "connect to bus") {
		t.Fatalf("%v", err)
	}
	logs, _ := filepath.Glob(filepath.Join(t.TempDir(), "..", "*", "log"))
	if len(logs) != 1 {
		t.Fatalf("logs %q", logs)
	}
	late := strings.Split(strings.TrimSpace(n.read(logs[0])), "\n")
	_, _ = n.host.Run(t.Context(), remote.Command{Argv: late}) // the unit that comes late
	if n.read(n.file("ran")) != "" {
		t.Error("a withdrawn execution was carried out")
	}
	if s, err := n.executor(run, 1, systemd).Status(t.Context(), n.host, execution("apply")); err != nil || s.State != detached.Absent {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := n.executor(run, 1, systemd).Run(t.Context(), n.host, execution("apply"), c, nil); err != nil || n.read(n.file("ran")) != "ran\n" {
		t.Errorf("the second time: %v, ran %q", err, n.read(n.file("ran")))
	}
}

// What was proposed and never carried out, because the host went down between,
// is started by the next who asks for it.
func TestProposedOnly(t *testing.T) {
	n := newNode(t)
	c := remote.Command{Argv: []string{"sh", "-c", `cat >>"$0"`, n.file("ran")}, Stdin: strings.NewReader("ran\n")}
	if _, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"), c, nil); err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob(filepath.Join(n.base, run, "exec", "*"))
	for _, f := range []string{"started", "status", "boot"} { // as before it was carried out
		if err := os.Remove(filepath.Join(dirs[0], f)); err != nil {
			t.Fatal(err)
		}
	}
	n.write(filepath.Join(dirs[0], "stdin"), "again\n")
	c.Stdin = strings.NewReader("ran\n")
	if _, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"), c, nil); err != nil {
		t.Fatal(err)
	}
	if got := n.read(n.file("ran")); got != "ran\nagain\n" {
		t.Errorf("ran %q", got)
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
