package execution_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/pkg/plan"
)

// The model is of one text. Who changes wrapper.sh changes the model with it.
func TestWrapperPinned(t *testing.T) {
	sum := sha256.Sum256([]byte(wrapper(t)))
	if got := hex.EncodeToString(sum[:]); got != execution.WrapperSum {
		t.Errorf("wrapper.sh is now %s: %s", got, execution.Mend)
	}
}

func TestAnotherWrapper(t *testing.T) {
	h := newModel(t)
	file := h.file("wrapper-0123456789ab.sh")
	h.write(file, wrapper(t)+"# changed\n")
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", file, h.base, h.boot, "/none", "own", "a", "1"}})
	var failed *remote.ExitError
	if !errors.As(err, &failed) || failed.Code != 70 || !strings.Contains(string(failed.Stderr), execution.Mend) {
		t.Errorf("%v", err)
	}
	// Other scripts are none of its business.
	h.write(h.file("other.sh"), "echo fine\n")
	if r, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", h.file("other.sh")}}); err != nil || string(r.Stdout) != "fine\n" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
}

// log gathers what the model tells.
type log struct {
	mu      sync.Mutex
	entries []string
}

func (l *log) add(entry string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

func TestHooks(t *testing.T) {
	h, told := newModel(t), &log{}
	h.model.Started = func(x execution.Execution) {
		told.add("started " + x.Run + " " + x.Step + " " + strings.Join(x.Argv, "|") + " " + x.Limit.String())
	}
	h.model.Ended = func(x execution.Execution, o execution.Outcome) { told.add("ended " + x.Step + " " + o.How) }
	h.model.Around = func(ctx context.Context, x execution.Execution, run func() int) int {
		told.add("around " + x.Step)
		switch x.Step {
		case "fails before":
			return 1
		case "vanishes before":
			return execution.Vanish
		case "vanishes after":
			run()
			return execution.Vanish
		case "hangs":
			<-ctx.Done()
			return 1
		}
		return run()
	}
	var failed *remote.ExitError
	var lost *detached.LostError
	var late *detached.TimeoutError
	for step, fits := range map[string]func(error) bool{
		"it's fine":       func(err error) bool { return err == nil },
		"fails before":    func(err error) bool { return errors.As(err, &failed) && failed.Code == 1 },
		"vanishes before": func(err error) bool { return errors.As(err, &lost) },
		"vanishes after":  func(err error) bool { return errors.As(err, &lost) },
		"hangs":           func(err error) bool { return errors.As(err, &late) },
	} {
		c := remote.Command{Argv: []string{"touch", h.file(step), ""}, Timeout: time.Hour}
		if step == "hangs" {
			c.Timeout = time.Second
		}
		c.Argv = c.Argv[:2]
		if _, err := h.executor(run, 1).Run(t.Context(), h, plan.Execution{Run: run, Step: step, Attempt: 2}, c, nil); !fits(err) {
			t.Errorf("%s: %v", step, err)
		}
		ran := step == "it's fine" || step == "vanishes after"
		if _, err := h.fs.Stat(h.file(step)); (err == nil) != ran {
			t.Errorf("%s: ran: %v", step, err)
		}
	}
	got := told.all()
	for _, want := range []string{
		"started " + run + " it's fine touch|" + h.file("it's fine") + " 1h0m0s", "around it's fine", "ended it's fine exited",
		"around fails before", "ended vanishes after exited",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, none := range []string{"started fails", "ended fails", "started " + run + " vanishes before"} {
		if strings.Contains(strings.Join(got, "\n"), none) {
			t.Errorf("%q is in\n%s", none, strings.Join(got, "\n"))
		}
	}
}

// reboot ends the boot, by end, and starts the next. The network goes first.
func (h *host) reboot(end func(*execution.Boot)) {
	h.t.Helper()
	h.sshd.Refuse()
	h.sshd.CutNow()
	defer h.sshd.Restore()
	old := h.model.Boot()
	end(old)
	old.Wait()
	boot, err := execution.NewBoot(h.fs, old.ID+" again")
	if err != nil {
		h.t.Fatal(err)
	}
	h.model.Power(boot)
}

func TestPowerCut(t *testing.T) {
	h := newModel(t)
	ended := h.begin(t.Context(), h.waiting("ran"), nil)
	h.reboot(func(b *execution.Boot) {
		b.End()
		b.Wait()
		h.write(h.file("go"), "") // too late
	})
	var lost *detached.LostError
	if e := <-ended; !errors.As(e.err, &lost) || !strings.Contains(e.err.Error(), "restarted") {
		t.Errorf("%v", e.err)
	}
	dir := path.Join(h.base, run, "exec", "1.34%2Fcontrol-plane%2Fcp-1%2Fapply%2F1")
	if got := h.read(path.Join(dir, "status")) + h.read(path.Join(dir, "stdout")); got != "" {
		t.Errorf("what was killed wrote %q", got)
	}
	again := id("apply")
	again.Attempt++
	if _, err := h.executor(run, 1).Run(t.Context(), h, again, h.waiting("ran"), nil); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	h := newModel(t)
	ended := h.begin(t.Context(), h.waiting("ran"), nil)
	h.reboot((*execution.Boot).Shutdown)
	if e := <-ended; e.err == nil {
		t.Error("a command that a shutdown ended succeeded")
	}
	dir := path.Join(h.base, run, "exec", "1.34%2Fcontrol-plane%2Fcp-1%2Fapply%2F1")
	if got := h.read(path.Join(dir, "status")); got != "143 terminated\n" {
		t.Errorf("status %q", got)
	}
}

// A command may pull the plug itself.
func TestCommandEndsBoot(t *testing.T) {
	h := newModel(t)
	h.model.Around = func(ctx context.Context, _ execution.Execution, run func() int) int {
		h.model.Boot().End()
		return run()
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := h.executor(run, 1).Run(ctx, h, id("x"), remote.Command{Argv: []string{"touch", h.file("ran")}}, nil)
		gone <- err
	}()
	<-h.model.Boot().Context().Done()
	h.model.Boot().Wait()
	cancel()
	if err := <-gone; err == nil || h.read(path.Join(h.base, run, "exec", "1.34%2Fcontrol-plane%2Fcp-1%2Fx%2F1", "status")) != "" {
		t.Errorf("%v", err)
	}
}

// A host that was saved and loaded knows nothing of what ran, but that it ran.
func TestSaved(t *testing.T) {
	h := newModel(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := h.begin(ctx, h.waiting("ran"), nil)
	saved, err := json.Marshal(h.fs)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	fs := vfs.New()
	if err := json.Unmarshal(saved, fs); err != nil {
		t.Fatal(err)
	}
	loaded := newModelOver(t, fs)
	if s, err := loaded.executor(run, 2).Status(t.Context(), loaded, id("apply")); err != nil || s.State != detached.Lost {
		t.Errorf("%v, %v", s, err)
	}
}

func TestDiskFull(t *testing.T) {
	h := newModel(t)
	e := h.executor(run, 1)
	if err := e.Own(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	h.fs.SetFree(0)
	var refused *detached.StartError
	c := remote.Command{Argv: []string{"touch", h.file("ran")}}
	if _, err := e.Run(t.Context(), h, id("x"), c, nil); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	h.fs.SetFree(-1)
	if s, err := e.Status(t.Context(), h, id("x")); err != nil || s.State != detached.Absent {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := e.Run(t.Context(), h, id("x"), c, nil); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestNotRoot(t *testing.T) {
	h := newModel(t)
	h.serve(&machine{shell: h.shell, user: "ops"})
	h.write(h.file("wrapper-0123456789ab.sh"), wrapper(t))
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", h.file("wrapper-0123456789ab.sh"), h.base, h.boot, "/none", "own", "a", "1"}})
	var failed *remote.ExitError
	if !errors.As(err, &failed) || failed.Code != 70 || !strings.Contains(string(failed.Stderr), "ermission denied") {
		t.Errorf("%v", err)
	}
}
