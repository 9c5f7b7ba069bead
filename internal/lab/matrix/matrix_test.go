package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

func TestRepeatsAreHarmless(t *testing.T) {
	for _, r := range repeats() {
		for _, weighty := range []string{"kubeadm", "apt", "dpkg", "evict", "etcd"} {
			if strings.Contains(r, weighty) {
				t.Errorf("%q may not be repeated", r)
			}
		}
	}
	if len(repeats()) > 5 {
		t.Error("the list is to be short")
	}
}

func TestCounted(t *testing.T) {
	command := func(words ...string) hollow.Mutation { return hollow.Mutation{Host: "cp-1", Argv: words} }
	once := commands([]hollow.Mutation{
		command("kubeadm", "upgrade", "node"), command("systemctl", "daemon-reload"),
		command("tar", "/var/lib/kup/20261121-144448-b776b7/x"), command("cat", "/tmp/a.1"),
	})
	again := commands([]hollow.Mutation{
		command("kubeadm", "upgrade", "node"), command("kubeadm", "upgrade", "node"),
		command("systemctl", "daemon-reload"), command("systemctl", "daemon-reload"),
		command("tar", "/var/lib/kup/20261121-144449-000000/x"), command("cat", "/tmp/b.2"),
	})
	got := counted("given", once, again)
	if len(got) != 1 || !strings.Contains(got[0], "given 2 times, undisturbed 1: cp-1: kubeadm upgrade node") {
		t.Errorf("%q: want the second kubeadm only", got)
	}
	if got := counted("given", again, once); len(got) != 2 {
		t.Errorf("%q: want what was left out", got)
	}
}

func TestEvictedTwice(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	o := &outcome{records: []journal.Record{
		{Kind: journal.StepBefore, Step: "1.34/workers/w-1/drain", At: at(0)},
		{Kind: journal.StepBefore, Step: "1.34/workers/w-2/drain", At: at(10)},
	}}
	eviction := func(second int, granted bool) {
		o.requests = append(o.requests, hollow.Request{At: at(second), Path: "/api/v1/namespaces/shop/pods/ledger-1/eviction", Granted: granted})
	}
	eviction(1, true)
	eviction(2, false)
	eviction(11, true)
	if got := evictedTwice(o); len(got) != 0 {
		t.Errorf("two drains: %q", got)
	}
	eviction(12, true)
	if got := evictedTwice(o); len(got) != 1 {
		t.Errorf("twice in one drain: %q", got)
	}
}

func TestDifferences(t *testing.T) {
	a := &hollow.Facts{Etcd: map[string]string{"cp-1": "3.6.5"}}
	b := &hollow.Facts{Etcd: map[string]string{"cp-1": "3.5.33", "cp-2": "3.6.5"}}
	if got := differences(a, b); len(got) != 2 {
		t.Errorf("%q: want both members", got)
	}
	if got := differences(a, a); len(got) != 0 {
		t.Errorf("equal facts: %q", got)
	}
}

func TestUnderWay(t *testing.T) {
	records := []journal.Record{
		{Kind: journal.StepBefore, Step: "a"}, {Kind: journal.StepAfter, Step: "a"}, {Kind: journal.StepBefore, Step: "b"},
		{Kind: journal.StepBefore, Step: "c"}, {Kind: journal.StepAfter, Step: "c"},
	}
	if got := underWay(records); got != "b" {
		t.Errorf("%q: want b", got)
	}
	if got := underWay(records[:2]); got != "" {
		t.Errorf("%q: nothing is under way", got)
	}
}

// Which node a pod runs on is the scheduler's business; how many are stopped is not. What
// a run did that was begun anew is not held against the last one.
func TestGiven(t *testing.T) {
	stop := func(host, uid string) hollow.Mutation {
		return hollow.Mutation{Host: host, Argv: []string{"crictl", "--timeout", "2m", "stopp", "s-" + uid + "-11b3-4e6f-a3a2-f4bb2c6ac0d1"}}
	}
	fetch := func(run string) hollow.Mutation {
		return hollow.Mutation{Host: "cp-1", Argv: []string{"sh", "-euc", "fetch"}, Run: run}
	}
	want := &outcome{run: "a", facts: &hollow.Facts{}, mutations: []hollow.Mutation{fetch("a"), stop("cp-1", "03bd8bcd"), stop("cp-2", "13bd8bcd")}}
	got := &outcome{run: "c", facts: &hollow.Facts{}, mutations: []hollow.Mutation{fetch("b"), fetch("c"), stop("cp-3", "23bd8bcd"), stop("cp-1", "33bd8bcd")}}
	if found := compare(want, got); len(found) != 0 {
		t.Errorf("%q: want no difference", found)
	}
	got.mutations = append(got.mutations, fetch("c"), stop("cp-3", "43bd8bcd"))
	if found := compare(want, got); len(found) != 2 {
		t.Errorf("%q: want the second fetch and the third stop", found)
	}
}

// A rollback that was begun anew, because it had changed nothing yet, is the last one.
func TestJournalOfTheMove(t *testing.T) {
	dir := t.TempDir()
	write := func(run string, epoch int64) string {
		if err := os.Mkdir(filepath.Join(dir, run), 0o700); err != nil {
			t.Fatal(err)
		}
		j, err := journal.Create(filepath.Join(dir, run), journal.Record{Run: run, Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, run, journal.File)
	}
	up, first, second := write("up", 9), write("first", 4), write("second", 5)
	for _, files := range [][]string{{up, first, second}, {second, first, up}} {
		got, err := lastJournal(files, map[string]bool{up: true})
		if err != nil || len(got) != 1 || got[0].Run != "second" {
			t.Errorf("%+v, %v: want the second", got, err)
		}
	}
	if got, err := lastJournal([]string{up}, map[string]bool{up: true}); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v: the move has not begun", got, err)
	}
}

// A bomb goes off at each moment of its mode once; one for a single step there only.
func TestDue(t *testing.T) {
	before, after := journal.Record{Kind: journal.StepBefore, Step: "a"}, journal.Record{Kind: journal.StepAfter, Step: "a"}
	other, end := journal.Record{Kind: journal.StepAfter, Step: "b"}, journal.Record{Kind: journal.RunEnded}
	saved := journal.Record{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: "backup", Hop: "1.34", Node: "w-1"}}
	all := []journal.Record{before, after, other, saved, end}
	for _, tt := range []struct {
		mode Mode
		only string
		want []bool
	}{
		{AfterBefore, "", []bool{true, false, false, false, false}},
		{BeforeAfter, "", []bool{false, true, true, false, true}},
		{BeforeAfter, "a", []bool{false, true, false, false, false}},
		{During, "", []bool{false, false, false, false, false}},
		{Torn, "", []bool{true, true, true, true, true}},
		{"", "", []bool{false, false, false, false, false}},
	} {
		b := &Bomb{mode: tt.mode, only: tt.only}
		for i, r := range all {
			if got := b.due(r); got != tt.want[i] {
				t.Errorf("%q, only %q: %s is due: %t", tt.mode, tt.only, pointOf(r), got)
			}
		}
	}
}

// What kup was killed at is found again in the file that it was noted in.
func TestPointsAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "killed")
	points := []string{
		pointOf(journal.Record{Kind: journal.RunResumed}), pointOf(journal.Record{Kind: journal.StepBefore, Step: "a"}),
		pointOf(journal.Record{Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: "baseline", Hop: "1.34"}}),
	}
	if got := lastOf(file); got != "the beginning" {
		t.Errorf("%q before anything", got)
	}
	for _, p := range points {
		if err := mark(file, p); err != nil {
			t.Fatal(err)
		}
		if got := lastOf(file); got != p {
			t.Errorf("%q, want %q", got, p)
		}
	}
	past, err := readPast(file)
	if err != nil || len(past) != len(points) {
		t.Errorf("%v, %v", past, err)
	}
	for _, p := range points {
		if !past[p] {
			t.Errorf("%q is not among %v", p, past)
		}
	}
}

func TestCourses(t *testing.T) {
	for _, c := range Courses(hollow.Config{Name: "m", Pace: 0.5, ControlPlanes: 1}, "v1.35") {
		disturbed := 0
		for _, m := range c.Moves {
			if m.Again != nil {
				disturbed++
			}
			if m.Again != nil && m.Until != "" {
				t.Errorf("%s: %v is killed at one step and at every step", c.Name, m.Args)
			}
		}
		if disturbed == 0 || c.Cluster.Name != "m" || c.Cluster.Pace != 0.5 {
			t.Errorf("%s: %d moves are disturbed, on %+v", c.Name, disturbed, c.Cluster)
		}
	}
}

func TestTear(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(file, []byte("first line\n0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tear(file); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "first line\n01234" {
		t.Errorf("%q, %v", got, err)
	}
}

// Two runs save two snapshots: what they hold differs, where they are does not.
func TestSteady(t *testing.T) {
	rehearsal := func(run, digest, revision string) []string {
		return []string{"sh", "-euc", "script", "kup", "/var/lib/kup/" + run + "/etcd-1.35.db", digest, revision, "104", revision, "-1", "77"}
	}
	a := steady(rehearsal("20261122-124512-0a1b2c", strings.Repeat("ab", 32), "487"))
	b := steady(rehearsal("20261122-124513-0a1b2d", strings.Repeat("cd", 32), "491"))
	if a != b || !strings.HasSuffix(a, "/var/lib/kup/RUN/etcd-1.35.db CONTENT") {
		t.Errorf("%q, then %q", a, b)
	}
	if other := steady(rehearsal("20261122-124513-0a1b2d", "short", "491")); other == a {
		t.Errorf("what is no digest was cut: %q", other)
	}
	script := func(text, network, uid, digest string) string {
		return steady([]string{"sh", "-euc", text, "kup", "https://127.77." + network + ".11:2380", uid, digest})
	}
	c := script("a\nb\n", "1", "03bd8bcd-11b3-4e6f-a3a2-f4bb2c6ac0d1", strings.Repeat("01", 32))
	if d := script("a\nb\n", "12", "13bd8bcd-11b3-4e6f-a3a2-f4bb2c6ac0d2", strings.Repeat("ef", 32)); c != d {
		t.Errorf("%q, then %q in a copy of the cluster", c, d)
	}
	if d := script("a\nc\n", "1", "03bd8bcd-11b3-4e6f-a3a2-f4bb2c6ac0d1", strings.Repeat("01", 32)); c == d {
		t.Errorf("another script is %q too", d)
	}
	token := func(suffix string) string {
		return steady([]string{"etcdutl", "--initial-cluster-token", "kup-20261122-124512-0a1b2c-" + suffix, "a\nb"})
	}
	if token("1795360208") != token("1795360309") || strings.Contains(token("1795360208"), "\n") {
		t.Errorf("%q, then %q", token("1795360208"), token("1795360309"))
	}
	on := func(host string, argv ...string) hollow.Mutation { return hollow.Mutation{Host: host, Argv: argv} }
	run := "20261122-124512-0a1b2c"
	before := commands([]hollow.Mutation{on("cp-1", rehearsal(run, strings.Repeat("ab", 32), "487")...), on("cp-1", "reboot")})
	after := commands([]hollow.Mutation{on("cp-2", rehearsal(run, strings.Repeat("cd", 32), "491")...), on("cp-2", "reboot")})
	if found := counted("given", before, after); len(found) != 2 {
		t.Errorf("only the reboot of another host is a difference: %q", found)
	}
}
