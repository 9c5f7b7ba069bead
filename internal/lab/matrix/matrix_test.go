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
	on := func(host string, argv ...string) hollow.Mutation { return hollow.Mutation{Host: host, Argv: argv} }
	run := "20261122-124512-0a1b2c"
	before := commands([]hollow.Mutation{on("cp-1", rehearsal(run, strings.Repeat("ab", 32), "487")...), on("cp-1", "reboot")})
	after := commands([]hollow.Mutation{on("cp-2", rehearsal(run, strings.Repeat("cd", 32), "491")...), on("cp-2", "reboot")})
	if found := counted("given", before, after); len(found) != 2 {
		t.Errorf("only the reboot of another host is a difference: %q", found)
	}
}
