package execution_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/pkg/plan"
)

const run = "20260101-abc"

func id(step string) plan.Execution {
	return plan.Execution{Run: run, Step: "1.34/control-plane/cp-1/" + step, Attempt: 1}
}

// TestExecutor has an executor work on a host of either kind.
func TestExecutor(t *testing.T) {
	tests := map[string]func(*testing.T, *host){
		"success":       testSuccess,
		"failure":       testFailure,
		"much output":   testMuchOutput,
		"connection":    testConnectionLost,
		"reply":         testReplyLost,
		"second kup":    testSecondAttaches,
		"once":          testStartedOnce,
		"fence":         testFence,
		"reboot":        testReboot,
		"killed":        testKilled,
		"terminated":    testTerminated,
		"timeout":       testTimeout,
		"removed":       testWrapperRemoved,
		"proposed only": testProposedOnly,
	}
	for kind, open := range kinds {
		for name, test := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

func testSuccess(t *testing.T, h *host) {
	e := h.executor(run, 1)
	if s, err := e.Status(t.Context(), h, id("apply")); err != nil || s.State != detached.Absent {
		t.Errorf("before: %v, %v", s, err)
	}
	var lines []string
	r, err := e.Run(t.Context(), h, id("apply"), remote.Command{
		Argv:  []string{"sh", "-c", `echo "out $KUP_X $1"; cat; echo "it's $HOME" >&2; printf end; umask >&2; pwd >&2`, "sh", "a 'b' $c"},
		Env:   []string{"KUP_X=x y", "HOME=/h"},
		Stdin: strings.NewReader("in\x00put\n"),
	}, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Stdout); got != "out x y a 'b' $c\nin\x00put\nend" || string(r.Stderr) != "it's /h\n0077\n/\n" {
		t.Errorf("output %q, %q", got, r.Stderr)
	}
	if got := strings.Join(lines, "|"); got != "out x y a 'b' $c|in\x00put|it's /h|0077|/|end" {
		t.Errorf("progress %q", got)
	}
	if s, err := e.Status(t.Context(), h, id("apply")); err != nil || s.String() != "exited(0)" {
		t.Errorf("after: %v, %v", s, err)
	}
	dir := path.Join(h.base, run, "exec", "1.34%2Fcontrol-plane%2Fcp-1%2Fapply%2F1")
	if got := h.read(path.Join(dir, "status")); got != "0 exited\n" {
		t.Errorf("status %q", got)
	}
	listed, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `cd "$0"; stat -c '%a %n' . *`, dir}})
	want := "700 .\n600 alive\n600 boot\n600 command\n600 digest\n600 launch\n600 limit\n600 pid\n700 started\n600 status\n600 stderr\n600 stdout\n600 unit\n"
	if err != nil || string(listed.Stdout) != want {
		t.Errorf("files\n%s, %v", listed.Stdout, err)
	}
}

func testFailure(t *testing.T, h *host) {
	c := remote.Command{Argv: []string{"sh", "-c", `echo out; i=0; while [ $i -lt 300 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 7`}}
	for range 2 { // the second time it is read again, not run again
		_, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), c, nil)
		var failed *remote.ExitError
		if !errors.As(err, &failed) || failed.Code != 7 || strings.Count(string(failed.Stderr), "\n") != 300 || string(failed.Stdout) != "out\n" {
			t.Fatalf("%v", err)
		}
	}
	if _, err := h.executor(run, 1).Run(t.Context(), h, id("none"), remote.Command{Argv: []string{"/no/such"}}, nil); err == nil || !strings.Contains(err.Error(), "127") {
		t.Errorf("a program that is not there: %v", err)
	}
}

func testMuchOutput(t *testing.T, h *host) {
	r, err := h.executor(run, 1).Run(t.Context(), h, id("x"), remote.Command{Argv: []string{"head", "-c", "2621440", "/dev/zero"}}, nil)
	if err != nil || len(r.Stdout) != 2621440 { // two answers and a half
		t.Errorf("%d bytes, %v", len(r.Stdout), err)
	}
}

// begin runs the waiting command and waits until it has begun.
func (h *host) begin(ctx context.Context, c remote.Command, progress func(string)) <-chan ending {
	h.t.Helper()
	ended := make(chan ending, 1)
	go func() {
		r, err := h.executor(run, 1).Run(ctx, h, id("apply"), c, progress)
		ended <- ending{r, err}
	}()
	await(h.t, func() bool { return h.read(h.file("ran")) != "" })
	return ended
}

type ending struct {
	r   remote.Result
	err error
}

func testConnectionLost(t *testing.T, h *host) {
	var lines []string
	ended := h.begin(t.Context(), h.waiting("ran"), func(l string) { lines = append(lines, l) })
	for range 3 {
		h.drop()
	}
	h.write(h.file("go"), "")
	if e := <-ended; e.err != nil || string(e.r.Stdout) != "went\n" {
		t.Errorf("%q, %v", e.r.Stdout, e.err)
	}
	if got := h.read(h.file("ran")); got != "ran\n" {
		t.Errorf("the command ran %q", got)
	}
	if len(lines) < 2 || !strings.Contains(lines[0], "connection lost") {
		t.Errorf("progress %q", lines)
	}
}

func testReplyLost(t *testing.T, h *host) {
	e := h.executor(run, 1)
	if err := e.Own(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	h.cut()
	r, err := e.Run(t.Context(), h, id("x"), remote.Command{Argv: []string{"sh", "-c", `echo ran >>"$0"; echo done`, h.file("ran")}}, nil)
	if err != nil || string(r.Stdout) != "done\n" || h.read(h.file("ran")) != "ran\n" {
		t.Errorf("%q, %v; ran %q", r.Stdout, err, h.read(h.file("ran")))
	}
}

func testSecondAttaches(t *testing.T, h *host) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := h.begin(ctx, h.waiting("ran"), nil)
	cancel() // the first kup is gone; its command is not
	if e := <-ended; !errors.Is(e.err, context.Canceled) || !strings.Contains(e.err.Error(), "may go on") {
		t.Errorf("the first one: %v", e.err)
	}
	second := h.executor(run, 2)
	if s, err := second.Status(t.Context(), h, id("apply")); err != nil || s.State != detached.Running {
		t.Errorf("%v, %v", s, err)
	}
	var differs *detached.OtherCommandError
	if _, err := second.Run(t.Context(), h, id("apply"), h.waiting("other"), nil); !errors.As(err, &differs) {
		t.Errorf("another command under the same id: %v", err)
	}
	h.write(h.file("go"), "")
	r, err := second.Run(t.Context(), h, id("apply"), h.waiting("ran"), nil)
	if err != nil || string(r.Stdout) != "went\n" || h.read(h.file("ran")) != "ran\n" || h.read(h.file("other")) != "" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
}

func testStartedOnce(t *testing.T, h *host) {
	h.write(h.file("go"), "")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			r, err := h.executor(run, int64(1+i%2)).Run(t.Context(), h, id("apply"), h.waiting("ran"), nil)
			var fenced *detached.FencedError
			if err != nil && !errors.As(err, &fenced) || err == nil && string(r.Stdout) != "went\n" {
				t.Errorf("%q, %v", r.Stdout, err)
			}
		})
	}
	wg.Wait()
	if got := h.read(h.file("ran")); got != "ran\n" {
		t.Errorf("the command ran %d times", strings.Count(got, "ran"))
	}
}

func testFence(t *testing.T, h *host) {
	ctx := t.Context()
	older, newer := h.executor("older", 3), h.executor("newer", 4)
	for _, e := range []*detached.Executor{older, older, newer, newer} {
		if err := e.Own(ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.read(path.Join(h.base, "owner")); got != "newer 4\n" {
		t.Errorf("owner %q", got)
	}
	c := remote.Command{Argv: []string{"touch", h.file("touched")}}
	step := plan.Execution{Run: "older", Step: "s", Attempt: 1}
	_, err := older.Run(ctx, h, step, c, nil)
	for name, err := range map[string]error{"own": older.Own(ctx, h), "same epoch": h.executor("third", 4).Own(ctx, h), "run": err} {
		var fenced *detached.FencedError
		if !errors.As(err, &fenced) || fenced.Owner != "newer" || fenced.OwnerEpoch != 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := older.Status(ctx, h, step); err != nil || s.State != detached.Absent {
		t.Errorf("%v, %v", s, err)
	}
	// Starting something takes the host over, too.
	if _, err := h.executor("third", 5).Run(ctx, h, plan.Execution{Run: "third", Step: "s", Attempt: 1}, c, nil); err != nil {
		t.Error(err)
	}
	if got := h.read(path.Join(h.base, "owner")); got != "third 5\n" {
		t.Errorf("owner %q", got)
	}
}

func testReboot(t *testing.T, h *host) {
	ended := h.begin(t.Context(), h.waiting("ran"), nil)
	h.write(h.boot, "second boot\n")
	var lost *detached.LostError
	if e := <-ended; !errors.As(e.err, &lost) || !strings.Contains(e.err.Error(), "restarted") {
		t.Errorf("after a restart: %v", e.err)
	}
	if s, err := h.executor(run, 1).Status(t.Context(), h, id("apply")); err != nil || s.State != detached.Lost {
		t.Errorf("%v, %v", s, err)
	}
	h.write(h.boot, "first boot\n")
	h.write(h.file("go"), "")
	if r, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), h.waiting("ran"), nil); err != nil || string(r.Stdout) != "went\n" {
		t.Errorf("a written status counts: %q, %v", r.Stdout, err)
	}
}

func testKilled(t *testing.T, h *host) {
	_, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), remote.Command{Argv: []string{"sh", "-c", `echo said; ` + h.suicide}}, nil)
	var lost *detached.LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "without having written a status") || string(lost.Stdout) != "said\n" {
		t.Errorf("%v", err)
	}
}

func testTerminated(t *testing.T, h *host) {
	for step, code := range map[string]int{"": 143, "trap 'exit 5' TERM; ": 5} {
		_, err := h.executor(run, 1).Run(t.Context(), h, id(step), remote.Command{Argv: []string{"sh", "-c", step + h.surrender}}, nil)
		var ended *detached.TerminatedError
		var failed *remote.ExitError
		if !errors.As(err, &ended) || !errors.As(err, &failed) || failed.Code != code {
			t.Errorf("%q: %v", step, err)
		}
	}
}

func testTimeout(t *testing.T, h *host) {
	_, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), remote.Command{Argv: []string{"sh", "-c", `echo began; sleep 60`}, Timeout: time.Second}, nil)
	var late *detached.TimeoutError
	if !errors.As(err, &late) || late.Err.Code != 124 || string(late.Err.Stdout) != "began\n" {
		t.Errorf("%v", err)
	}
	// A command may itself end with the code that stands for a timeout.
	_, err = h.executor(run, 1).Run(t.Context(), h, id("other"), remote.Command{Argv: []string{"sh", "-c", `exit 124`}, Timeout: time.Hour}, nil)
	var failed *remote.ExitError
	late = nil
	if errors.As(err, &late) || !errors.As(err, &failed) || failed.Code != 124 {
		t.Errorf("%v", err)
	}
}

func testWrapperRemoved(t *testing.T, h *host) {
	e := h.executor(run, 1)
	if err := e.Own(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	h.remove(h.base)
	if _, err := e.Run(t.Context(), h, id("x"), remote.Command{Argv: []string{"true"}}, nil); err != nil {
		t.Error(err)
	}
}

// What was proposed and never carried out, because the host went down between, is
// started by the next who asks for it, with the input that it was proposed with.
func testProposedOnly(t *testing.T, h *host) {
	c := remote.Command{Argv: []string{"sh", "-c", `cat >>"$0"`, h.file("ran")}, Stdin: strings.NewReader("ran\n")}
	if _, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), c, nil); err != nil {
		t.Fatal(err)
	}
	dir := path.Join(h.base, run, "exec", "1.34%2Fcontrol-plane%2Fcp-1%2Fapply%2F1")
	for _, f := range []string{"started", "status", "boot"} { // as before it was carried out
		h.remove(path.Join(dir, f))
	}
	h.write(path.Join(dir, "stdin"), "again\n")
	c.Stdin = strings.NewReader("ran\n")
	if _, err := h.executor(run, 1).Run(t.Context(), h, id("apply"), c, nil); err != nil {
		t.Fatal(err)
	}
	if got := h.read(h.file("ran")); got != "ran\nagain\n" {
		t.Errorf("ran %q", got)
	}
}
