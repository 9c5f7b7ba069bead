package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const etcdManifest = `spec:
  containers:
  - command:
    - etcd
    - --data-dir=/var/lib/etcd
    - --initial-cluster=cp-1=https://10.0.0.1:2380
    - --name=cp-1
    image: registry.k8s.io/etcd:3.5.24-0
`

func TestRejoinScripts(t *testing.T) {
	s := newShell(t, map[string]string{"sync": "", "sleep": ""})
	text := strings.Replace(etcdManifest, "/var/lib/etcd", s.path("var/etcd"), 1)
	s.write("etc/kubernetes/manifests/etcd.yaml", text)
	s.write("var/etcd/member/snap/db", "data")
	keep, manifest := s.path("lib/rejoin/cp-1"), s.path("etc/kubernetes/manifests/etcd.yaml")
	stop := script([]string{"common", "rejoin_stop"}, keep, "run-1", manifest, s.path("var/etcd"), "8e9e05c52164694d", "https://10.0.0.1:2380", "60")
	begun := script([]string{"rejoin_begun"}, keep)
	start := script([]string{"common", "rejoin_start"}, keep, manifest, "cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380")

	if out, _, code := s.run(begun); code != 0 || out != "" {
		t.Errorf("begun: exit code %d, %q", code, out)
	}
	hasty := slices.Clone(stop)
	hasty[len(hasty)-1] = "5"
	end := s.etcdProcess("--name=cp-1", "--data-dir="+s.path("var/etcd")+"/")
	_, stderr, code := s.run(hasty)
	if end(); code != 71 || !strings.Contains(stderr, "is the kubelet running?") || s.read("var/etcd/member/snap/db") != "data" {
		t.Errorf("etcd that goes on: exit code %d\n%s", code, stderr)
	}
	if _, stderr, code := s.run(append([]string{"flock", s.path("var/etcd/member/snap/db")}, stop...)); code != 71 || !strings.Contains(stderr, "some etcd still has ") {
		t.Errorf("something has the store open: exit code %d\n%s", code, stderr)
	}
	// Other etcds of the host are none of the member's.
	defer s.etcdProcess("--data-dir=" + s.path("var/etcd-events"))()
	defer s.etcdProcess("--name=x")()
	for range 2 {
		if out, stderr, code := s.run(stop); code != 0 {
			t.Fatalf("stop: exit code %d\n%s%s", code, out, stderr)
		}
	}
	if s.read("var/etcd/member.kup-run-1/snap/db") != "data" || s.read("etc/kubernetes/manifests/etcd.yaml") != "" {
		t.Error("the data are not aside, or the manifest is there")
	}
	if out, _, _ := s.run(begun); out != "8e9e05c52164694d https://10.0.0.1:2380\n" {
		t.Errorf("begun: %q", out)
	}
	for range 2 {
		if out, stderr, code := s.run(start); code != 0 {
			t.Fatalf("start: exit code %d\n%s%s", code, out, stderr)
		}
	}
	want := strings.Replace(text, "https://10.0.0.1:2380\n", "https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380\n    - --initial-cluster-state=existing\n", 1)
	if got := s.read("etc/kubernetes/manifests/etcd.yaml"); got != want {
		t.Errorf("manifest:\n%s", got)
	}
	if left, _ := os.ReadDir(s.path("etc/kubernetes")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if _, stderr, code := s.run(stop); code != 0 && s.read("var/etcd/member.kup-run-1/snap/db") != "data" {
		t.Errorf("stop, once started: exit code %d\n%s", code, stderr)
	}

	t.Run("refused", func(t *testing.T) {
		for name, text := range map[string]string{
			"": "is missing", "x: --wal-dir=/wal": "--wal-dir",
			"- --data-dir=" + s.path("var/etcd") + "/more\n": "does not have the member's data in",
		} {
			_ = os.RemoveAll(keep)
			_ = os.Remove(manifest)
			if name != "" {
				s.write("etc/kubernetes/manifests/etcd.yaml", name)
			}
			if _, stderr, code := s.run(stop); code != 65 || !strings.Contains(stderr, text) {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
		}
	})
}

// etcdProcess starts a process of the name etcd; the function given back ends it.
func (s *shell) etcdProcess(args ...string) (end func()) {
	s.t.Helper()
	s.write("programs/etcd", "#!/bin/sh\nread -r end\n")
	if err := os.Chmod(s.path("programs/etcd"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(s.t.Context(), s.path("programs/etcd"), args...)
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return func() {
		_ = in.Close() // it ends with that
		_ = c.Wait()
	}
}

// fakeEtcd is a cluster of members that can leave and join; what happens on the host
// of cp-1 is told to it.
type fakeEtcd struct {
	members []cluster.Member
	hashes  map[string]string // by name
	calls   []string
	fail    string // the call that fails
}

func newFakeEtcd() *fakeEtcd {
	e := &fakeEtcd{hashes: map[string]string{"cp-1": "bad", "cp-2": "good", "cp-3": "good"}}
	for i, name := range []string{"cp-1", "cp-2", "cp-3"} {
		e.members = append(e.members, cluster.Member{
			ID: fmt.Sprint(i + 1), Name: name, Node: name, PeerURL: "https://10.0.0." + fmt.Sprint(i+1) + ":2380",
			Version: cluster.MustParseVersion("v3.5.24"), Healthy: true, Leader: i == 0,
		})
	}
	return e
}

func (e *fakeEtcd) did(call string) error {
	e.calls = append(e.calls, call)
	if word, _, _ := strings.Cut(call, " "); word == e.fail {
		return errors.New("not now")
	}
	return nil
}

func (e *fakeEtcd) Members(context.Context) ([]cluster.Member, error) {
	return slices.Clone(e.members), nil
}

func (e *fakeEtcd) MoveLeader(_ context.Context, from string) error {
	for i := range e.members {
		e.members[i].Leader = e.members[i].Node == "cp-2"
	}
	return e.did("move-leader " + from)
}

func (e *fakeEtcd) Remove(_ context.Context, id string) error {
	err := e.did("remove " + id)
	e.members = slices.DeleteFunc(e.members, func(m cluster.Member) bool { return m.ID == id })
	return err
}

func (e *fakeEtcd) Add(_ context.Context, peerURL string) error {
	err := e.did("add " + peerURL)
	e.members = append(e.members, cluster.Member{ID: "9", PeerURL: peerURL, Learner: true, Problem: "never started"})
	return err
}

func (e *fakeEtcd) Promote(_ context.Context, id string) error {
	err := e.did("promote " + id)
	for i := range e.members {
		e.members[i].Learner = false
	}
	return err
}

func (e *fakeEtcd) Hashes(_ context.Context, except string) ([]MemberHash, error) {
	var out []MemberHash
	for _, m := range e.members {
		if except != "" && m.Name == except {
			continue
		}
		if m.Version.IsZero() || m.Learner {
			return nil, errors.New(m.Name + " does not answer")
		}
		out = append(out, MemberHash{Member: m.Node, Hash: e.hashes[m.Name]})
	}
	return out, nil
}

// started lets the member that was added serve, with the others' data.
func (e *fakeEtcd) started(how string) error {
	err := e.did("start " + how)
	if i := slices.IndexFunc(e.members, func(m cluster.Member) bool { return m.ID == "9" }); i >= 0 && err == nil {
		m := &e.members[i]
		m.Name, m.Node, m.Version, m.Healthy = "cp-1", "cp-1", cluster.MustParseVersion("v3.5.24"), true
		e.hashes["cp-1"] = "good"
	}
	return err
}

// host plays cp-1: what the scripts do there.
func (e *fakeEtcd) host(left *string) func(argv []string) (string, error) {
	return func(argv []string) (string, error) {
		switch name := scriptName(argv[2]); name {
		case "rejoin_begun.sh":
			return *left, nil
		case "rejoin_unit_stop.sh":
			*left = argv[7] + " " + argv[8] + "\n"
			return "", e.did("stop " + argv[5] + " " + argv[6] + " " + argv[7])
		case "rejoin_unit_start.sh":
			return "", e.started(strings.Join(argv[4:], " "))
		case "rejoin_stop.sh":
			*left = argv[8] + " " + argv[9] + "\n"
			for i := range e.members {
				if e.members[i].ID == argv[8] {
					e.members[i].Healthy, e.members[i].Version = false, cluster.Version{}
				}
			}
			return "", e.did("stop " + argv[8])
		case "rejoin_start.sh":
			return "", e.started(argv[6])
		default:
			return "", errors.New(name)
		}
	}
}

func rejoinStep() plan.Step {
	return aStep(plan.KindRejoin, map[string]string{
		"member": "cp-1", "dataDir": "/var/lib/etcd", "manifest": "/etc/kubernetes/manifests/etcd.yaml", "version": "v3.5.24",
	})
}

func rejoinWorld(t *testing.T, e *fakeEtcd, left *string) *world {
	w := newWorld(t, e.host(left))
	w.Members, w.Membership, w.Hashes = e, e, e
	return w
}

func (w *world) rejoin() *rejoin {
	r := w.runner(plan.KindRejoin).(*rejoin)
	r.every, r.patience = time.Millisecond, 50*time.Millisecond
	return r
}

func TestRejoin(t *testing.T) {
	s := rejoinStep()
	e, left := newFakeEtcd(), ""
	w := rejoinWorld(t, e, &left)
	if done, err := w.rejoin().Done(t.Context(), s); done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
	if err := w.rejoin().Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"move-leader cp-1", "stop 1", "remove 1", "add https://10.0.0.1:2380",
		"start cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380,cp-3=https://10.0.0.3:2380", "promote 9",
	}
	if !slices.Equal(e.calls, want) {
		t.Errorf("calls %q", e.calls)
	}
	if done, err := w.rejoin().Done(t.Context(), s); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
}

// A unit of systemd leaves and joins as a static pod does.
func TestRejoinOfAUnit(t *testing.T) {
	s := aStep(plan.KindRejoin, map[string]string{"member": "cp-1", "dataDir": "/var/lib/etcd", "unit": "etcd.service", "version": "v3.5.24"})
	e, left := newFakeEtcd(), ""
	w := rejoinWorld(t, e, &left)
	if err := w.rejoin().Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	run := attempt(s, 1).Run
	want := []string{
		"move-leader cp-1", "stop etcd.service /var/lib/etcd 1", "remove 1", "add https://10.0.0.1:2380",
		"start /run " + run + " etcd.service /var/lib/etcd cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380,cp-3=https://10.0.0.3:2380", "promote 9",
	}
	if !slices.Equal(e.calls, want) {
		t.Errorf("calls %q", e.calls)
	}
	s.Args["unit"] = "etcd; reboot"
	bad := new(ArgsError)
	if err := w.rejoin().Run(t.Context(), s, attempt(s, 2)); !errors.As(err, &bad) || bad.Key != "unit" {
		t.Errorf("%v", err)
	}
}

func TestRejoinScriptsOfAUnit(t *testing.T) {
	l := newEtcdLab(t)
	stop := etcdScript("rejoin_unit_stop", l.path("keep/rejoin"), "etcd.service", l.path("data"), "8e9e", "https://10.0.0.1:2380")
	start := etcdScript("rejoin_unit_start", l.path("run"), "run-1", "etcd.service", l.path("data"), "e-1=https://10.0.0.1:2380")
	l.refuses(stop, 74, "nothing was changed", "FLAGS=--config-file=/etc/etcd.yml")
	if err := os.Rename(l.path("data/member/wal"), l.path("wal")); err != nil {
		t.Fatal(err)
	}
	l.refuses(stop, 65, "has no log")
	if _, err := os.Stat(l.path("keep/rejoin/left")); err == nil || l.read("data/member/snap/db") != "old store" || strings.Contains(l.calls(), "systemctl stop") {
		t.Error("a member that was refused was touched")
	}
	if err := os.Rename(l.path("wal"), l.path("data/member/wal")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l.does(stop)
	}
	if l.read("data/member/snap/db") != "old store" {
		t.Error("the data went before the member left")
	}
	if out := l.does(script([]string{"rejoin_begun"}, l.path("keep/rejoin"))); out != "8e9e https://10.0.0.1:2380\n" {
		t.Errorf("begun: %q", out)
	}
	l.refuses(start, 71, "did not start", "REFUSES=yes")
	if env := l.read("run/kup-etcd.env"); env != "ETCD_INITIAL_CLUSTER=e-1=https://10.0.0.1:2380\nETCD_INITIAL_CLUSTER_STATE=existing\n" {
		t.Errorf("it starts with %q", env)
	}
	if unit := l.read("run/systemd/system/etcd.service.d/zz-kup.conf"); !strings.Contains(unit, "EnvironmentFile="+l.path("run/kup-etcd.env")) {
		t.Errorf("the unit reads %q", unit)
	}
	l.does(start)
	l.write("data/member/snap/db", "joined store")
	l.does(start)
	for path, want := range map[string]string{"data/member.kup-run-1/snap/db": "old store", "data/member/snap/db": "joined store", "run/kup-etcd.env": "", "run/systemd/system/etcd.service.d/zz-kup.conf": ""} {
		if got := l.read(path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

// A member that cannot start on its data joins again, one that takes its time does not.
func TestRejoinOfAMemberThatDoesNotServe(t *testing.T) {
	s := rejoinStep()
	e, left := newFakeEtcd(), ""
	e.members[0].Version, e.members[0].Healthy, e.members[0].Leader = cluster.Version{}, false, false
	w := rejoinWorld(t, e, &left)
	if done, err := w.rejoin().Done(t.Context(), s); done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
	if err := w.rejoin().Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	if len(e.calls) != 5 || e.calls[0] != "stop 1" {
		t.Errorf("calls %q", e.calls)
	}
}

func TestRejoinLeavesEqualMembersAlone(t *testing.T) {
	e, left := newFakeEtcd(), ""
	e.hashes["cp-1"] = "good"
	s := rejoinStep()
	w := rejoinWorld(t, e, &left)
	if err := w.rejoin().Run(t.Context(), s, attempt(s, 1)); err != nil || len(e.calls) > 0 {
		t.Errorf("%v, calls %q", err, e.calls)
	}
}

// Whatever call fails, having had its effect, the next attempt ends well, and no
// member is removed or added twice.
func TestRejoinFromAnyPoint(t *testing.T) {
	for _, call := range []string{"move-leader", "stop", "remove", "add", "start", "promote"} {
		t.Run(call, func(t *testing.T) {
			e, left := newFakeEtcd(), ""
			e.fail = call
			s := rejoinStep()
			w := rejoinWorld(t, e, &left)
			if err := w.rejoin().Run(t.Context(), s, attempt(s, 1)); err == nil {
				t.Fatal("it did not fail")
			}
			w.attempts[s.ID] = attempt(s, 1)
			e.fail = ""
			if done, err := w.rejoin().Done(t.Context(), s); done != (call == "promote") || err != nil {
				t.Errorf("done: %t, %v", done, err)
			}
			if err := w.rejoin().Run(t.Context(), s, attempt(s, 2)); err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"remove", "add"} {
				n := 0
				for _, c := range e.calls {
					if strings.HasPrefix(c, word) {
						n++
					}
				}
				if n != 1 {
					t.Errorf("%s was called %d times: %q", word, n, e.calls)
				}
			}
			if done, err := w.rejoin().Done(t.Context(), s); !done || err != nil {
				t.Errorf("done: %t, %v", done, err)
			}
		})
	}
}

func TestRejoinRefuses(t *testing.T) {
	tests := map[string]struct {
		prepare func(e *fakeEtcd)
		want    string
	}{
		"another is away": {func(e *fakeEtcd) { e.members[1].Healthy, e.members[1].Problem = false, "gone" }, "of the other 2 members 1 are healthy, and 2 must be; not healthy: cp-2 (gone)"},
		"one of two":      {func(e *fakeEtcd) { e.members = e.members[:2] }, "no quorum is left when it is stopped"},
		"the only one":    {func(e *fakeEtcd) { e.members = e.members[:1]; e.members[0].Version = cluster.Version{} }, "it is the only one"},
		"the last old one": {func(e *fakeEtcd) {
			e.members[1].Version, e.members[2].Version = cluster.MustParseVersion("v3.6.5"), cluster.MustParseVersion("v3.6.5")
		}, "all other members run etcd 3.6 or newer: without cp-1 they agree on that"},
		"others disagree": {func(e *fakeEtcd) { e.hashes["cp-2"] = "other" }, "the other members hold different data"},
		"no such member":  {func(e *fakeEtcd) { e.members = e.members[1:] }, "no member cp-1 is known"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, left := newFakeEtcd(), ""
			tt.prepare(e)
			s := rejoinStep()
			w := rejoinWorld(t, e, &left)
			err := w.rejoin().Run(t.Context(), s, attempt(s, 1))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(e.calls) > 0 {
				t.Errorf("%v, calls %q", err, e.calls)
			}
		})
	}
}

func TestQuorumWithout(t *testing.T) {
	member := func(id string, healthy, learner bool) cluster.Member {
		return cluster.Member{ID: id, Healthy: healthy, Learner: learner}
	}
	for _, tt := range []struct {
		others []cluster.Member
		ok     bool
	}{
		{nil, false},
		{[]cluster.Member{member("2", true, false)}, false}, // both must agree that one leaves, and it is stopped
		{[]cluster.Member{member("2", true, true)}, false},
		{[]cluster.Member{member("2", true, false), member("3", false, false)}, false},
		{[]cluster.Member{member("2", true, false), member("3", true, false), member("4", true, false), member("5", false, false)}, true},
		{[]cluster.Member{member("2", true, false), member("3", true, false), member("4", false, false), member("5", false, false)}, false},
		{[]cluster.Member{member("2", true, false), member("3", true, false), member("4", false, false)}, false}, // three of four
		{[]cluster.Member{member("2", true, false), member("3", true, false), member("4", true, true)}, true},
	} {
		if err := quorumWithout(append(tt.others, member("1", true, false)), "1"); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.others, err)
		}
	}
}
