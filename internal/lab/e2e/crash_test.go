package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

const oneJournal = `{"seq":1,"kind":"run-started","plan":"p","run":"r","epoch":3,"sum":"a"}
{"seq":2,"kind":"step-before","step":"1.34/prepare/snapshot","attempt":1,"sum":"b"}
{"seq":3,"kind":"step-after","step":"1.34/prepare/snapshot","attempt":1,"outcome":"done","sum":"c"}
{"seq":4,"kind":"step-before","step":"1.34/control-plane/cp-1/apply","attempt":1,"sum":"d"}
{"seq":5,"kind":"step-after","step":"1.34/control-plane/cp-1/apply","attempt":1,"outcome":"failed","error":"x","sum":"e"}
{"seq":6,"kind":"run-resumed","epoch":4,"sum":"f"}
{"seq":7,"kind":"step-before","step":"1.34/control-plane/cp-1/apply","attempt":2,"sum":"g"}
`

func TestParseJournal(t *testing.T) {
	for cut := range len(oneJournal) {
		lines, err := parseJournal([]byte(oneJournal[:cut]))
		if want := strings.Count(oneJournal[:cut], "\n"); err != nil || len(lines) != want {
			t.Fatalf("cut at %d: %d lines, want %d: %v", cut, len(lines), want, err)
		}
	}
	lines, err := parseJournal([]byte(oneJournal))
	if err != nil {
		t.Fatal(err)
	}
	now := standing(lines)
	for what, got := range map[string][2]string{
		"open, without the hop":    {now.open("control-plane/cp-1/apply"), "1.34/control-plane/cp-1/apply"},
		"open, by its stage":       {now.open("control-plane/*/apply"), "1.34/control-plane/cp-1/apply"},
		"over, with the hop":       {now.over("1.34/prepare/*"), "1.34/prepare/snapshot"},
		"over and not open":        {now.open("prepare/snapshot"), ""},
		"failed once, taken again": {now.over("control-plane/cp-1/apply"), ""},
		"of another hop":           {now.open("1.35/control-plane/cp-1/apply"), ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, want %q", what, got[0], got[1])
		}
	}
	if epochOf(lines) != 4 {
		t.Errorf("epoch %d", epochOf(lines))
	}
	if _, err := parseJournal([]byte("{}\nnonsense\n{}\n")); err == nil {
		t.Error("nonsense in the middle passed")
	}
}

// fakeKup is a binary that is a shell script; its state directory is that of a run.
func fakeKup(t *testing.T, script string) (b *binary, run string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := newBinary(t.Context(), dir, path)
	if err != nil {
		t.Fatal(err)
	}
	run = filepath.Join(b.state, "kup", "uid", "20261121-000000-aaaaaa")
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	return b, run
}

func writeJournal(t *testing.T, run string, steps ...string) {
	t.Helper()
	var text strings.Builder
	for _, s := range steps {
		kind, step, _ := strings.Cut(s, " ")
		outcome := map[string]string{"step-after": `,"outcome":"done"`}[kind]
		fmt.Fprintf(&text, `{"kind":%q,"step":%q,"attempt":1%s}`+"\n", kind, step, outcome)
	}
	if err := os.WriteFile(filepath.Join(run, "journal.jsonl"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func testEnv(t *testing.T, b *binary) *env {
	t.Helper()
	return &env{kup: b, lab: &node.Lab{}, dir: t.TempDir(), out: &lockedWriter{w: t.Output()}}
}

func TestAwait(t *testing.T) {
	yes := func() bool { return true }
	no := func() bool { return false }
	sees := func(context.Context, string) (string, error) { return "kubeadm 7 (3 s)", nil }
	forEver := func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	b, run := fakeKup(t, "")
	e := testEnv(t, b)
	writeJournal(t, run, "step-before 1.34/workers/w-1/drain")
	s, err := e.await(t.Context(), b, yes, moment{step: "workers/w-1/drain", holds: sees})
	if err != nil || s.node != "w-1" || s.seen == "" || s.step != "1.34/workers/w-1/drain" {
		t.Errorf("%+v, %v", s, err)
	}
	writeJournal(t, run, "step-before 1.34/workers/w-1/drain", "step-after 1.34/workers/w-1/drain")
	if _, err := e.await(t.Context(), b, yes, moment{step: "workers/w-1/drain"}); !errors.Is(err, errMissed) {
		t.Errorf("a step that is over: %v", err)
	}
	if s, err := e.await(t.Context(), b, yes, moment{step: "workers/w-1/drain", after: true}); err != nil || s.node != "w-1" {
		t.Errorf("after a step: %+v, %v", s, err)
	}
	if _, err := e.await(t.Context(), b, no, moment{step: "workers/w-2/drain"}); !errors.Is(err, errMissed) {
		t.Errorf("a kup that ended: %v", err)
	}
	first := []moment{{step: "workers/w-1/drain"}, {step: "workers/*/drain", after: true}}
	if s, err := e.awaitFirst(t.Context(), b, yes, first); err != nil || s.step == "" {
		t.Errorf("the second of two: %+v, %v", s, err)
	}
	// The step ends while its condition is still waited for.
	writeJournal(t, run, "step-before 1.34/workers/w-1/drain")
	end := func(ctx context.Context, node string) (string, error) {
		writeJournal(t, run, "step-before 1.34/workers/w-1/drain", "step-after 1.34/workers/w-1/drain")
		return forEver(ctx, node)
	}
	if _, err := e.await(t.Context(), b, yes, moment{step: "workers/w-1/drain", holds: end}); !errors.Is(err, errMissed) {
		t.Errorf("a condition that was not seen: %v", err)
	}
}

func TestKupIsKilledAndTheJournalProvesIt(t *testing.T) {
	b, run := fakeKup(t, "echo at work\nexec sleep 600\n")
	c := &crash{hop: newHop(testEnv(t, b))}
	writeJournal(t, run, "step-before 1.34/etcd/cp-2/etcd")
	p, err := b.start(t.Context(), nil, "apply")
	if err != nil {
		t.Fatal(err)
	}
	k := kill{
		name:    "it all",
		moments: []moment{{step: "etcd/cp-2/etcd"}},
		look:    func(context.Context, string) (string, error) { return "etcd 9 (1 s)", nil },
	}
	struck, err := c.strike(t.Context(), p, k)
	if err != nil || !struck || c.dead != 1 || len(c.failed) > 0 {
		t.Fatalf("struck %t, dead %d, failed %v: %v", struck, c.dead, c.failed, err)
	}
	if o, err := p.wait(); err != nil || o.code != -1 {
		t.Errorf("killed: code %d, %v", o.code, err)
	}
	// A kup that has ended by itself is not struck, and that is a failure.
	if struck, err := c.strike(t.Context(), p, kill{name: "more", moments: []moment{{step: "addons/cp-1/coredns"}}}); struck || err != nil || len(c.failed) != 1 {
		t.Errorf("struck %t, failed %v: %v", struck, c.failed, err)
	}
}

func TestProcess(t *testing.T) {
	b, _ := fakeKup(t, "echo out; echo err >&2; exit 4\n")
	p, err := b.start(t.Context(), nil, "apply")
	if err != nil {
		t.Fatal(err)
	}
	o, err := p.wait()
	if err != nil || o.code != 4 || string(o.stdout) != "out\n" || string(o.stderr) != "err\n" || !p.ended() {
		t.Errorf("%+v, %v", o, err)
	}
	if said := p.said.String(); !strings.Contains(said, "out\n") || !strings.Contains(said, "err\n") || p.said.since(p.said.size()) != "" {
		t.Errorf("said %q", said)
	}
	if err := p.kill(); err != nil {
		t.Errorf("kill what has ended: %v", err)
	}
	frozen, _ := fakeKup(t, "exec sleep 600\n")
	if p, err = frozen.start(t.Context(), nil, "apply"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.freeze(), p.thaw(), p.kill()); err != nil {
		t.Error(err)
	}
}

// The names and commands are written as kup writes them.
func TestExecutionsAreCounted(t *testing.T) {
	script := "\tset -e\n\tkubectl annotate node\n\"$@\""
	line := func(step string, attempt int, started bool, argv ...string) string {
		return fmt.Sprintf("run/exec/%s\t%s\t0 exited\texec %s\n", strings.ReplaceAll(fmt.Sprintf("%s/%d", step, attempt), "/", "%2F"),
			map[bool]string{true: "yes", false: "no"}[started], strings.NewReplacer("\n", " ", "\t", " ").Replace(remote.Quote(argv)))
	}
	const apply = "1.34/control-plane/cp-1/apply"
	text := line(apply, 1, true, "sh", "-uc", script, "kup", "cp-1", "unix:///x", "kubeadm", "upgrade", "apply", "v1.34.4", "--yes") +
		line("1.34/control-plane/cp-1/kubeadm", 1, true, "sh", "-euc", "kubeadm version -o short", "kup", "kubeadm=1.34.4-1.1") +
		line("1.34/workers/w-1/node", 1, false, "kubeadm", "upgrade", "node") +
		line("1.34/workers/w-1/node", 2, true, "kubeadm", "upgrade", "node") +
		"run/exec/x%2F1.gone.AbCdEf\tyes\t\texec true\n"
	got, err := parseExecutions(text)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d executions, %v", len(got), err)
	}
	if x := got[0]; x.Step != apply || x.Attempt != 1 || !x.Started || x.Status != "0 exited" || x.Run != "run" {
		t.Errorf("%+v", x)
	}
	if diff := cmp.Diff(map[string]int{apply: 1, "1.34/workers/w-1/node": 1}, timesRun(map[string][]execution{"n": got})); diff != "" {
		t.Error(diff)
	}
	if _, err := parseExecutions("run/exec/a%2Fb\tyes\t\texec true\n"); err == nil {
		t.Error("a name without an attempt passed")
	}
	if _, err := parseExecutions("nonsense\n"); err == nil {
		t.Error("nonsense passed")
	}
}

func TestKubeadmStepsOfAPlan(t *testing.T) {
	raw, err := os.ReadFile("../../planner/testdata/3+2-1.33-1.34.plan.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	steps := kubeadmSteps(p)
	// Three control planes: apply or node, kubelet-config, etcd. Two workers: node. Two add-ons.
	if len(steps) != 3*3+2+2 || steps["1.34/control-plane/cp-1/apply"] != "cp-1" || steps["1.34/workers/w-2/node"] != "w-2" {
		t.Errorf("%d: %v", len(steps), steps)
	}
	for _, k := range (&crash{hop: newHop(&env{})}).kills() {
		for _, m := range k.moments {
			found := false
			p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
				found = found || strings.HasSuffix(s.ID, "/"+m.step)
				return !found
			})
			if !found {
				t.Errorf("%s: a plan has no step %s", k.name, m.step)
			}
		}
	}
}

func TestExecutionsScriptReadsWhatIsThere(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "run", "exec", "1.34%2Fworkers%2Fw-1%2Fnode%2F1")
	if err := os.MkdirAll(filepath.Join(dir, "started"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"command": "exec kubeadm upgrade \\\n\tnode\n", "status": "0 exited\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(executionsScript, "/var/lib/kup", base)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseExecutions(string(out))
	if err != nil || len(got) != 1 || got[0].Step != "1.34/workers/w-1/node" || !got[0].Started || got[0].Status != "0 exited" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWaitScript(t *testing.T) {
	file := filepath.Join(t.TempDir(), "there")
	run := func(limit string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", waitScript("f="+file, `[ -e "$f" ]`), "sh", limit).CombinedOutput()
		return string(out), err
	}
	if out, err := run("0"); err == nil || !strings.Contains(out, "not seen") {
		t.Errorf("%q, %v", out, err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{restarting, upgradesAPIServer}, {restarting, upgradesEtcd}, {"", kubeadmRuns}, {"", dpkgInstalls}, {"", aptInstalls}, {oldKubelet, kubeletSwapped}} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", "-c", waitScript(c[0], c[1])).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c[1], err, out)
		}
	}
	if out, err := run("600"); err != nil {
		t.Errorf("%q, %v", out, err)
	}
	absent := waitScript(restarting, "restarting no-such-program")
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", absent, "sh", "600").CombinedOutput(); err != nil {
		t.Errorf("a program that is not there does not restart: %q, %v", out, err)
	}
	if got := processes("kubeadm 4711 12, etcd 3 600,,"); got != "kubeadm 4711 (12 s), etcd 3 (600 s)" {
		t.Errorf("%q", got)
	}
}

func TestLeaving(t *testing.T) {
	now, yes := metav1.Now(), true
	pod := func(name, owner string, asked *metav1.Time) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, DeletionTimestamp: asked}}
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: owner, Controller: &yes}}
		}
		return p
	}
	if got := leaving([]corev1.Pod{pod("stays", "ReplicaSet", nil), pod("tidy", "Job", &now)}); got != "" {
		t.Errorf("%q", got)
	}
	if got := leaving([]corev1.Pod{pod("web", "ReplicaSet", &now), pod("bare", "", &now)}); got != "being evicted: shop/web, shop/bare" {
		t.Errorf("%q", got)
	}
}
