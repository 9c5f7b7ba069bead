package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/engine"
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

func TestHearsNamesNodeAndTitle(t *testing.T) {
	var heard []engine.Event
	p := testPlan(t)
	h := newHears(observerFunc(func(e engine.Event) { heard = append(heard, e) }), p)
	h.Note("1.34/prepare/snapshot", "half way")
	h.Note("no such step", "x")
	from := time.Unix(1, 0)
	h.Spent(engine.SpentEviction, from, from.Add(time.Second))
	if len(heard) != 3 || heard[0].Title != "snapshot" || heard[0].Text != "half way" || heard[1].Title != "" ||
		heard[2].Kind != engine.TimeSpent || heard[2].Text != engine.SpentEviction || heard[2].To.Sub(heard[2].From) != time.Second {
		t.Errorf("%+v", heard)
	}
}

type observerFunc func(engine.Event)

func (f observerFunc) Event(e engine.Event) { f(e) }

func TestDNSWithoutControlPlanesIsAnError(t *testing.T) {
	conn, err := dns{hosts: &hosts{}}.DialContext(t.Context(), "tcp", "192.0.2.1:53")
	if conn != nil || err == nil {
		t.Errorf("%v %v", conn, err)
	}
	if _, err := (&hosts{}).Host("w-1"); err == nil || !strings.Contains(err.Error(), "kup.yaml") || errors.Unwrap(err) != nil {
		t.Errorf("%v", err)
	}
}
