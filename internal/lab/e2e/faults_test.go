package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kup-project/kup/pkg/plan"
)

// noDocker answers as docker would whose machines boot, and notes what it is asked.
func noDocker(t *testing.T) (asked func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "asked")
	text := "#!/bin/sh\necho \"$1 $2 $3 $4\" >>" + log + "\ncase \"$*\" in\n*boot_id) wc -l <" + log + " ;;\n*is-system-running) echo running ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
}

func TestTrialsStrikeInOrderAndAreJudged(t *testing.T) {
	asked := noDocker(t)
	b, run := fakeKup(t, "")
	tr := &trials{hop: newHop(testEnv(t, b)), away: &away{}}
	writeJournal(t, run, "step-before 1.34/control-plane/cp-2/node", "step-after 1.34/control-plane/cp-3/images")
	list := []trial{
		{
			fault: "refused", what: "SSH is cut", at: moment{step: "control-plane/cp-2/node"},
			lasts: func(_ context.Context, t *trials, from int) error {
				_, _ = t.said.Write([]byte("cp-2: connecting again\n"))
				if t.nothingWrong(context.Background()) == nil || from != 0 {
					return errors.New("nothing is wrong while a fault lasts")
				}
				return nil
			},
			says: []string{"connecting again"},
		},
		{
			fault: "host-off", what: "no power", away: true, says: []string{"cp-3: waiting"},
			at: moment{step: "control-plane/cp-3/images", after: true},
		},
	}
	if err := tr.run(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if !tr.away.has("cp-3") || tr.away.has("cp-2") || tr.nothingWrong(t.Context()) != nil || len(tr.failed) > 0 {
		t.Errorf("away %v, failed %v", tr.away.names, tr.failed)
	}
	calls := asked()
	for _, pair := range [][2]string{{"exec kup-lab--cp-2 sh", "exec kup-lab--cp-2 sh"}, {"kill kup-lab--cp-3", "start kup-lab--cp-3"}} {
		if i, j := strings.Index(calls, pair[0]), strings.LastIndex(calls, pair[1]); i < 0 || j <= i {
			t.Errorf("no %q and then %q in:\n%s", pair[0], pair[1], calls)
		}
	}
	if err := tr.judgeTrials(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(tr.failed) != 1 || !strings.Contains(tr.failed[0], "no power") {
		t.Errorf("kup said nothing of the second fault; failed: %v", tr.failed)
	}
}

func TestStopsAreResumed(t *testing.T) {
	b, _ := fakeKup(t, `case $* in
*--rollback-on-failure=never*) ;;
*) exit 5 ;;
esac
case $* in
*--resume*) echo done ;;
*) echo "kup: step 1.34/prepare/cp-1/fetch: repository has no kubeadm" >&2; echo "hint: kup apply --resume" >&2; exit 4 ;;
esac
`)
	tr := &trials{hop: newHop(testEnv(t, b)), away: &away{}}
	if err := tr.resumeUntilDone(t.Context(), 3); err != nil || tr.applied.code != exitDone || len(tr.failed) > 0 {
		t.Errorf("code %d, failed %v: %v", tr.applied.code, tr.failed, err)
	}
	silent, _ := fakeKup(t, "exit 4\n")
	tr = &trials{hop: newHop(testEnv(t, silent)), away: &away{}}
	if err := tr.resumeUntilDone(t.Context(), 2); err != nil || tr.applied.code != exitStopped || len(tr.failed) != 2 {
		t.Errorf("a kup that always stops without a hint: code %d, failed %v: %v", tr.applied.code, tr.failed, err)
	}
}

func TestUntilSaid(t *testing.T) {
	tr := &trials{hop: newHop(&env{})}
	if err := untilSaid("never", time.Millisecond)(t.Context(), tr, 0); err == nil || !strings.Contains(err.Error(), "never") {
		t.Errorf("%v", err)
	}
	tr.end()
	if err := untilSaid("never", time.Hour)(t.Context(), tr, 0); err == nil {
		t.Error("waits for a kup that has ended")
	}
}

func TestFaultsStrikeStepsOfAPlan(t *testing.T) {
	raw, err := os.ReadFile("../../planner/testdata/3+2-1.33-1.34.plan.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		order = append(order, s.ID)
		return true
	})
	last := -1
	for _, tr := range (&trials{hop: newHop(&env{to: "1.34"})}).faultTrials() {
		at := -1
		for i, id := range order {
			if at < 0 && (steps{id: {Kind: "step-before"}}).open(tr.at.step) != "" {
				at = i
			}
		}
		if at <= last {
			t.Errorf("%s: step %s is at %d of the plan, the one before at %d", tr.what, tr.at.step, at, last)
		}
		last = at
		if len(tr.says) == 0 || tr.fault == "" {
			t.Errorf("%s: incomplete", tr.what)
		}
		for _, text := range tr.says {
			if text != strings.ToLower(text) {
				t.Errorf("%s: %q is never found", tr.what, text)
			}
		}
	}
}

func TestBudgets(t *testing.T) {
	b := budgets{fake.NewClientset()}
	ctx := t.Context()
	if err := b.ForbidEvictions(ctx, "shop", "lonely"); err != nil {
		t.Fatal(err)
	}
	got, err := b.client.PolicyV1().PodDisruptionBudgets("shop").Get(ctx, blockingBudget, metav1.GetOptions{})
	if err != nil || got.Spec.MaxUnavailable.IntValue() != 0 || got.Spec.Selector.MatchLabels["app"] != "lonely" {
		t.Errorf("%+v, %v", got, err)
	}
	for range 2 { // allowing twice does no harm
		if err := b.AllowEvictions(ctx, "shop", "lonely"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.PolicyV1().PodDisruptionBudgets("shop").Get(ctx, blockingBudget, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the budget is there still: %v", err)
	}
}

func TestLineWith(t *testing.T) {
	text := "one\n  CP-3: waiting: etcd\nthree " + strings.Repeat("x", 300) + "\n"
	if got := lineWith(text, "nothing", "cp-3: waiting"); got != "CP-3: waiting: etcd" {
		t.Errorf("%q", got)
	}
	if got := lineWith(text, "three"); len([]rune(got)) != 161 {
		t.Errorf("%d characters", len([]rune(got)))
	}
	if lineWith(text, "four") != "" {
		t.Error("found what is not there")
	}
}
