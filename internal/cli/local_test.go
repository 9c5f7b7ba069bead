package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/pkg/plan"
)

func TestLocalRunsWithoutAShell(t *testing.T) {
	var lines []string
	err := local{}.Run(t.Context(), []string{"printf", `%s\n`, "a b", "$HOME; exit 3"}, func(l string) { lines = append(lines, l) })
	if diff := cmp.Diff([]string{"a b", "$HOME; exit 3"}, lines); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := (local{}).Run(t.Context(), []string{"sh", "-c", "echo away >&2; exit 7"}, func(l string) { lines = append(lines, l) }); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v", err)
	}
	if lines[len(lines)-1] != "away" {
		t.Errorf("stderr is not heard: %q", lines)
	}
	if err := (local{}).Run(t.Context(), []string{"/no/such/program"}, func(string) {}); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("%v", err)
	}
}

// A line that never ends does not keep the command waiting for a reader.
func TestLocalSurvivesALongLine(t *testing.T) {
	if err := (local{}).Run(t.Context(), []string{"head", "-c", "1000000", "/dev/zero"}, func(string) {}); err != nil {
		t.Error(err)
	}
}

// What a command leaves running in the background does not keep the run waiting once
// the command itself was ended.
func TestLocalIsEndedWithWhatItStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- local{}.Run(ctx, []string{"sh", "-c", "sleep 60 & echo started; wait"}, func(string) { cancel() })
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a command that was ended ended well")
		}
	case <-time.After(30 * time.Second):
		t.Error("the run still waits for a command that was ended")
	}
}

// A command is the one beside kup.yaml, wherever kup was started; that it is not there
// is told before the first step.
func TestLocalBeginsAtTheInventory(t *testing.T) {
	dir := t.TempDir()
	p := testPlan(t)
	steps := 0
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if steps++; steps == 1 {
			s.Kind, s.Args = plan.KindLocal, map[string]string{"argv": plan.JoinArgv("./lb", "drain", "cp-1")}
		}
		return true
	})
	l := local{dir: dir}
	none := func(string) bool { return false }
	err := l.usable(p, none)
	code, hint := classify(err)
	if code != exitUsage || !strings.Contains(err.Error(), "./lb drain cp-1") || !errors.Is(err, os.ErrNotExist) || !strings.Contains(hint, "loadBalancer") {
		t.Errorf("not there: %v: %d %q", err, code, hint)
	}
	if err := l.usable(p, func(string) bool { return true }); err != nil {
		t.Errorf("the step is done: %v", err)
	}
	file := filepath.Join(dir, "lb")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho \"$@\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.usable(p, none); !errors.Is(err, os.ErrPermission) {
		t.Errorf("no program: %v", err)
	}
	if err := os.Chmod(file, 0o700); err != nil {
		t.Fatal(err)
	}
	var lines []string
	err = errors.Join(l.usable(p, none), l.Run(t.Context(), []string{"./lb", "drain", "cp-1"}, func(line string) { lines = append(lines, line) }))
	if diff := cmp.Diff([]string{"drain cp-1"}, lines); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
