package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/pkg/plan"
)

func TestWindowFlags(t *testing.T) {
	zone := time.FixedZone("x", 2*3600)
	now := time.Date(2026, 11, 21, 23, 30, 0, 0, zone)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, zone) }
	for name, tt := range map[string]struct {
		o    windowOptions
		want time.Time
		bad  string
	}{
		"none":                   {},
		"tonight":                {o: windowOptions{until: "23:45"}, want: at(21, 23, 45)},
		"after midnight":         {o: windowOptions{until: "04:00"}, want: at(22, 4, 0)},
		"this very minute":       {o: windowOptions{until: "23:30"}, want: at(22, 23, 30)},
		"RFC 3339":               {o: windowOptions{until: "2026-11-22T02:00:00Z"}, want: at(22, 4, 0)},
		"duration":               {o: windowOptions{most: 150 * time.Minute}, want: at(22, 2, 0)},
		"the earlier of both":    {o: windowOptions{until: "04:00", most: time.Hour}, want: at(22, 0, 30)},
		"the earlier, again":     {o: windowOptions{until: "00:10", most: time.Hour}, want: at(22, 0, 10)},
		"over":                   {o: windowOptions{until: "2026-11-20T02:00:00Z"}, bad: "is over"},
		"no time":                {o: windowOptions{until: "tomorrow"}, bad: "want a time of day"},
		"no time of day":         {o: windowOptions{until: "25:00"}, bad: "want a time of day"},
		"a duration of the past": {o: windowOptions{most: -time.Hour}, bad: "is over before it begins"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := tt.o.window(now, 0)
			if tt.bad != "" {
				if code, _ := classify(err); code != exitUsage || !strings.Contains(err.Error(), tt.bad) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !w.end.Equal(tt.want) || (w.engine() == nil) != tt.want.IsZero() {
				t.Errorf("ends %s, want %s: %v", w.end, tt.want, err)
			}
		})
	}
}

// A laptop that sleeps in the middle of a run has the window pass by: its end is a
// time of day, and not one by the clock that stands still meanwhile.
func TestWindowPassesWhileTheMachineSleeps(t *testing.T) {
	w, err := (&windowOptions{most: time.Hour}).window(time.Now(), 0)
	if err != nil || w.end != w.end.Round(0) {
		t.Errorf("the window ends %s by the machine's uptime: %v", w.end, err)
	}
}

// windowPlan has one step of ten minutes, then three nodes, two at once, each with
// two steps of five minutes.
func windowPlan() *plan.Plan {
	minutes := func(id string, n int) plan.Step {
		return plan.Step{ID: id, Title: "work on " + id, Estimate: time.Duration(n) * time.Minute}
	}
	var lanes []plan.Lane
	for i := range 3 {
		lanes = append(lanes, plan.Lane{minutes(fmt.Sprintf("w-%d/cordon", i+1), 5), minutes(fmt.Sprintf("w-%d/uncordon", i+1), 5)})
	}
	return &plan.Plan{Hops: []plan.Hop{{Stages: []plan.Stage{
		{Name: plan.Prepare, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{minutes("snapshot", 10)}}}}},
		{Name: plan.Workers, Waves: []plan.Wave{{Parallel: 2, Lanes: lanes}}},
	}}}}
}

func TestForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			has  time.Duration
			pace float64
			done []string
			want string // empty: it all fits
		}{
			"all of it fits":             {has: 30 * time.Minute},
			"not the third node":         {has: 29 * time.Minute, want: "about 30m: the run would end before w-3/cordon"},
			"no node at all":             {has: 15 * time.Minute, want: "before w-1/cordon"},
			"nothing":                    {has: time.Minute, want: "before snapshot"},
			"what is done takes no time": {has: 20 * time.Minute, done: []string{"snapshot"}},
			"a node half done":           {has: 14 * time.Minute, done: []string{"snapshot", "w-1/cordon"}, want: "about 15m: the run would end before w-3/cordon"},
			"clocks that run faster":     {has: time.Minute, pace: 0.02},
		} {
			var out bytes.Buffer
			done := func(id string) bool {
				for _, d := range tt.done {
					if d == id {
						return true
					}
				}
				return false
			}
			w := window{end: time.Now().Add(tt.has), pace: tt.pace}
			if err := w.forecast(&out, windowPlan(), done); err != nil {
				t.Fatal(err)
			}
			if (tt.want == "") != (out.Len() == 0) || !strings.Contains(out.String(), tt.want) {
				t.Errorf("%s: %q, want …%s…", name, out.String(), tt.want)
			}
		}
		var out bytes.Buffer
		if err := (window{}).forecast(&out, windowPlan(), untouched); err != nil || out.Len() > 0 {
			t.Errorf("without an end: %q %v", out.String(), err)
		}
	})
}

func TestClosedWindowSaysWhatRemains(t *testing.T) {
	done := func(id string) bool { return id == "snapshot" || strings.HasPrefix(id, "w-1/") }
	w := window{end: time.Now()}
	err := w.explain(&engine.WindowError{Step: "w-2/cordon", Title: "cordon w-2", Needs: 10 * time.Minute, Lane: true}, windowPlan(), done)
	code, hint := classify(&begunError{err: err})
	if code != exitStopped || !strings.Contains(hint, "kup apply --resume") {
		t.Errorf("exit code %d, hint %q", code, hint)
	}
	for _, want := range []string{"before step w-2/cordon", "10m0s", "4 of 7 steps are left, about 10m"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if w.explain(nil, windowPlan(), done) != nil {
		t.Error("a run that ended well was closed")
	}
}
