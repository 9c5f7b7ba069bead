package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func sample() *plan.Plan {
	step := func(node, title string, d time.Duration) plan.Step {
		return plan.Step{Node: node, Title: title, Estimate: d, WayBack: plan.WayBackNode}
	}
	last := step("cp-2", "replace etcd 3.5.33 by 3.6.5", 70*time.Second)
	last.WayBack = plan.WayBackNone
	worker := func(n string) plan.Lane {
		return plan.Lane{step(n, "cordon", time.Second), step(n, "drain "+n, time.Minute)}
	}
	return &plan.Plan{
		ID: "sha256:abc",
		Facts: cluster.Facts{
			Identity: cluster.Identity{Name: "lab", Endpoint: "https://10.0.0.1:6443"},
			Kubeadm:  cluster.Kubeadm{ClusterVersion: cluster.MustParseVersion("v1.33.13")},
			Nodes:    []cluster.Node{{Name: "cp-1", Role: cluster.ControlPlane}, {Name: "w-1", Role: cluster.Worker}, {Name: "w-2", Role: cluster.Worker}},
			Etcd:     cluster.Etcd{Topology: "stacked", Members: []cluster.Member{{Version: cluster.MustParseVersion("3.5.33")}}},
		},
		Hops: []plan.Hop{{
			From: cluster.MustParseVersion("v1.33.13"), To: cluster.MustParseVersion("v1.34.4"), Etcd: cluster.MustParseVersion("3.6.5"),
			Stages: []plan.Stage{
				{Name: plan.Prepare, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{step("", "etcd snapshot", 40*time.Second)}}}}},
				{Name: plan.EtcdStage, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{step("cp-1", "replace etcd 3.5.33 by 3.6.5", 70*time.Second)}, {last}}}}},
				{Name: plan.Workers, Waves: []plan.Wave{{Parallel: 2, Lanes: []plan.Lane{worker("w-1"), worker("w-2")}}}},
			},
		}},
		Notices: []plan.Notice{{Consent: true, Hop: "1.34", Text: "etcd cannot go back"}, {Text: "no load balancer commands"}},
	}
}

func TestPlanText(t *testing.T) {
	var b bytes.Buffer
	if err := Plan(&b, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.txt", b.Bytes())
}

func TestLinesAndJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []engine.Event{
		{Kind: engine.RunStarted, Text: "r1"},
		{Kind: engine.HopStarted, Hop: "v1.34.4"},
		{Kind: engine.StepStarted, Step: "s", Node: "cp-1", Title: "drain"},
		{Kind: engine.StepNote, Step: "s", Node: "cp-1", Title: "drain", Text: "evicting shop/web-1"},
		{Kind: engine.TimeSpent, Step: "s", Text: engine.SpentEviction, From: at, To: at.Add(time.Minute)},
		{Kind: engine.StepDone, Step: "s", Node: "cp-1", Title: "drain", From: at, To: at.Add(90 * time.Second)},
		{Kind: engine.StepFailed, Step: "t", Title: "compare", Err: errors.New("boom")},
	}
	var lines, objects bytes.Buffer
	fan := Fan{NewLines(&lines), NewJSON(&objects)}
	for _, e := range events {
		e.At = at.Local()
		fan.Event(e)
	}
	golden(t, "events.txt", bytes.ReplaceAll(lines.Bytes(), []byte(at.Local().Format(time.TimeOnly)), []byte("HH:MM:SS")))
	golden(t, "events.json", objects.Bytes())
}

func TestSplitCountsEachMomentOnce(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	var s Spent
	s.Event(engine.Event{Kind: engine.RunStarted, At: t0})
	for _, e := range []struct {
		on       string
		from, to int
	}{
		{engine.SpentRemote, 10, 30},
		{engine.SpentRemote, 20, 40},    // two hosts at once
		{engine.SpentReadiness, 35, 60}, // 5 s of it under a command
		{engine.SpentEviction, 70, 80},
		{engine.SpentSustain, 55, 65}, // 5 s of it while another gate was not ready
	} {
		s.Event(engine.Event{Kind: engine.TimeSpent, Text: e.on, From: at(e.from), To: at(e.to)})
	}
	s.Event(engine.Event{Kind: engine.RunEnded, At: at(100)})
	want := Split{Wall: 100 * time.Second, Remote: 30 * time.Second, Wait: 30 * time.Second, Sustain: 5 * time.Second, Rest: 35 * time.Second}
	if diff := cmp.Diff(want, s.Split()); diff != "" {
		t.Error(diff)
	}
}

// The live view erases exactly what it drew, so what scrolled by stays.
func TestLiveLeavesOnlyWhatEnded(t *testing.T) {
	var screen bytes.Buffer
	l := NewLive(&screen, func() (int, int) { return 60, 24 })
	l.Event(engine.Event{Kind: engine.StepStarted, At: time.Now(), Step: "a", Node: "cp-1", Title: "drain"})
	l.Event(engine.Event{Kind: engine.StepNote, Step: "a", Title: "drain", Text: "evicting a pod whose name is far longer than the terminal is wide"})
	l.Event(engine.Event{Kind: engine.StepDone, Step: "a", Node: "cp-1", Title: "drain"})
	l.Close()
	if got, want := render(screen.Bytes()), "  ✓ cp-1       drain 0s"; got != want {
		t.Errorf("screen shows %q, want %q", got, want)
	}
}

// Whatever the terminal's height, the lower part stays on the screen, so that it can
// be taken back; also when the terminal becomes smaller meanwhile.
func TestLiveStaysOnTheScreen(t *testing.T) {
	for _, height := range []int{0, 1, 2, 3, 5, 24, 100} {
		synctest.Test(t, func(t *testing.T) { stayOnScreen(t, height) }) // nothing is redrawn between two events
	}
}

func stayOnScreen(t *testing.T, height int) {
	t.Helper()
	var screen bytes.Buffer
	var width atomic.Int64
	width.Store(60)
	l := NewLive(&screen, func() (int, int) { return int(width.Load()), height })
	for i := range 14 {
		l.Event(engine.Event{Kind: engine.StepStarted, At: time.Now(), Step: fmt.Sprint(i), Node: fmt.Sprintf("w-%d", i), Title: "a title that takes most of the line"})
	}
	room := height - 1
	if height == 0 {
		room = 23 // it does not say
	}
	room = max(1, min(room, mostActive))
	if height == 24 {
		width.Store(30) // each line takes two rows now
		l.Event(engine.Event{Kind: engine.StepDone, Step: "0", Node: "w-0", Title: "x"})
	}
	l.Close()
	if got := highest(screen.String()); got > room {
		t.Errorf("height %d: %d lines at once", height, got)
	}
	if height != 24 {
		return
	}
	if before, _, found := strings.Cut(screen.String(), "✓"); found {
		last := before[strings.LastIndexByte(before, '\n')+1:]
		if ups := strings.Count(last, lineUp); ups < 20 || ups > height-1 {
			t.Errorf("went up %d rows for 12 lines that took two each", ups)
		}
	}
}

// highest is how many lines were on the screen at most before they were taken back.
func highest(drawn string) int {
	most, lines := 0, 0
	for s := drawn; s != ""; {
		switch {
		case strings.HasPrefix(s, lineUp):
			lines, s = lines-1, s[len(lineUp):]
		case s[0] == '\n':
			lines, s = lines+1, s[1:]
		default:
			s = s[1:]
		}
		most = max(most, lines)
	}
	return most
}

// What concerns the run and no step is said once, above.
func TestLiveTellsOfTheRun(t *testing.T) {
	var screen bytes.Buffer
	l := NewLive(&screen, func() (int, int) { return 60, 24 })
	l.Event(engine.Event{Kind: engine.StepNote, Text: "not mirrored on cp-2"})
	l.Close()
	if got := render(screen.Bytes()); !strings.Contains(got, "not mirrored on cp-2") {
		t.Errorf("screen shows %q", got)
	}
}

// What hosts write steers no terminal and breaks no line.
func TestHostsCannotSteerTheTerminal(t *testing.T) {
	note := engine.Event{Kind: engine.StepNote, At: time.Now(), Step: "a", Node: "cp-1", Title: "pull", Text: "50%\r\x1b[2J\x1b]0;owned\afine\nnext"}
	failed := engine.Event{Kind: engine.StepFailed, At: time.Now(), Step: "a", Node: "cp-1", Title: "pull", Err: errors.New("said \x1b[2J\nmore")}
	var lines, screen bytes.Buffer
	live := NewLive(&screen, func() (int, int) { return 80, 24 })
	live.Event(engine.Event{Kind: engine.StepStarted, At: time.Now(), Step: "a", Node: "cp-1", Title: "pull"})
	for _, o := range []engine.Observer{NewLines(&lines), live} {
		o.Event(note)
		o.Event(failed)
	}
	live.Close()
	for _, out := range []string{lines.String(), screen.String()} {
		for _, bad := range []string{"\x1b[2J", "\a", "\x1b]"} {
			if strings.Contains(out, bad) {
				t.Errorf("%q reached the terminal: %q", bad, out)
			}
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 {
		t.Errorf("%d lines for 2 events: %q", n, &lines)
	}
}

// render interprets the few control sequences that Live uses.
func render(b []byte) string {
	var lines [][]rune
	row := 0
	line := func() { // makes sure the row exists
		for len(lines) <= row {
			lines = append(lines, nil)
		}
	}
	for s := []rune(string(b)); len(s) > 0; {
		line()
		switch text := string(s); {
		case bytes.HasPrefix([]byte(text), []byte(lineUp)):
			row, s = row-1, s[len(lineUp):]
		case bytes.HasPrefix([]byte(text), []byte(eraseLine)):
			lines[row], s = nil, s[len(eraseLine):]
		case s[0] == '\x1b':
			for s[0] != 'm' {
				s = s[1:]
			}
			s = s[1:]
		case s[0] == '\n':
			row, s = row+1, s[1:]
		case s[0] == '\r':
			s = s[1:]
		default:
			lines[row] = append(lines[row], s[0])
			s = s[1:]
		}
	}
	var out string
	for _, l := range lines {
		if len(l) > 0 {
			out += string(l)
		}
	}
	return out
}

// What a plan quotes of hosts and kubeconfigs does not steer a terminal.
func TestPlanIsPrintable(t *testing.T) {
	p := &plan.Plan{
		Facts:   cluster.Facts{Identity: cluster.Identity{Name: "prod\x1b[2J"}},
		Hops:    []plan.Hop{{Stages: []plan.Stage{{Name: plan.Prepare, Waves: []plan.Wave{{Parallel: 1, Lanes: []plan.Lane{{{Title: "do\x07it", Node: "w-1"}}}}}}}}},
		Notices: []plan.Notice{{Text: "not checked: w-1: \x1b]0;mine\x07"}},
	}
	var out bytes.Buffer
	if err := Plan(&out, p); err != nil || strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
