package detached_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
	"github.com/kup-project/kup/pkg/plan"
)

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

// A shutdown terminates the command in order, and then the host is another boot: how
// far the command came is not known.
func TestShutDown(t *testing.T) {
	n := newNode(t)
	_, err := n.executor(run, 1).Run(t.Context(), n.host, execution("apply"),
		remote.Command{Argv: []string{"sh", "-c", `echo said; echo second boot >"$0"; kill $PPID; kill $$`, n.boot}}, nil)
	var lost *detached.LostError
	if !errors.As(err, &lost) || !lost.Lost() || !strings.Contains(err.Error(), "shut down") || string(lost.Stdout) != "said\n" {
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

// The systemd of CentOS 7 and its age knows neither the option nor the property that
// newer ones are given: they only tidy up, and commands run without them.
func TestOldSystemd(t *testing.T) {
	for name, refuses := range map[string]string{
		"no --collect":       `--collect) echo "systemd-run: unrecognized option '--collect'" >&2; exit 1 ;;`,
		"no RuntimeMaxSec":   `--property=RuntimeMaxSec=*) echo 'Unknown assignment RuntimeMaxSec=210.' >&2; exit 1 ;;`,
		"nor known to pid 1": `--property=RuntimeMaxSec=*) echo 'Failed to start transient service unit: Cannot set property RuntimeMaxSec, or unknown property.' >&2; exit 1 ;;`,
	} {
		t.Run(name, func(t *testing.T) {
			n, systemd := fakeSystemd(t, `for word in "$@"; do case $word in `+refuses+` esac; done`+startUnit)
			r, err := n.executor(run, 1, systemd).Run(t.Context(), n.host, execution("apply"),
				remote.Command{Argv: []string{"echo", "done"}, Timeout: 90 * time.Second}, nil)
			if err != nil || string(r.Stdout) != "done\n" {
				t.Errorf("%q, %v", r.Stdout, err)
			}
		})
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
