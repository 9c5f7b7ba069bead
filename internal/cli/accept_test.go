package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/internal/report"
)

func TestAcceptReadsIDsAndReasons(t *testing.T) {
	got, err := acceptFlag{"KUP-040= restored aside = fine ", "kup-24=known"}.read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"KUP-040": "restored aside = fine", "KUP-024": "known"}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []acceptFlag{{"KUP-040"}, {"KUP-040="}, {"KUP-999=x"}, {"=x"}, {""}, {"KUP-040=x", "KUP-40=y"}} {
		if _, err := bad.read(); !is[*usageError](err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAcceptanceThatNothingAsksForIsRefused(t *testing.T) {
	found := []preflight.Finding{{Rule: "KUP-040", Severity: preflight.Warn}}
	if err := needless(map[string]string{"KUP-040": "x"}, found); err != nil {
		t.Error(err)
	}
	err := needless(map[string]string{"KUP-040": "x", "KUP-041": "y", "KUP-024": "z"}, found)
	if code, _ := classify(err); code != exitUsage || !strings.Contains(err.Error(), "KUP-024") || !strings.Contains(err.Error(), "KUP-041") || strings.Contains(err.Error(), "KUP-040") {
		t.Errorf("%d: %v", code, err)
	}
	if diff := cmp.Diff(map[string]string{"KUP-040": "now", "KUP-041": "then"}, together(map[string]string{"KUP-040": "then", "KUP-041": "then"}, map[string]string{"KUP-040": "now"})); diff != "" {
		t.Error(diff)
	}
}

// The journal is what every machine has that goes on with a run, so it is where
// acceptances are: they are told of after a resumption, from its copy alone.
func TestAcceptancesAreInTheJournal(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	sys, _, _ := testSystem(strings.NewReader(""))
	s := &session{sys: sys}
	reasons := map[string]string{"KUP-040": "restored aside\x1b[2J on Friday"}
	r := &runRecord{id: "20260102-030405-abcdef", plan: testPlan(t), accepted: reasons}
	may := func(context.Context) error { return nil }
	m, err := s.remember(r, 1, may)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.journal.Close(); err != nil {
		t.Fatal(err)
	}
	known, err := lastRun(testUID)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = s.remember(known, 2, may); err != nil {
		t.Fatal(err)
	}
	if err := m.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if known, err = lastRun(testUID); err != nil {
		t.Fatal(err)
	}
	accepted, by := known.acceptances()
	if diff := cmp.Diff(reasons, accepted); diff != "" || by != holderIdentity() {
		t.Errorf("by %q %s", by, diff)
	}
	var out bytes.Buffer
	if err := known.stand().write(&out, true); err != nil {
		t.Fatal(err)
	}
	result := &report.Result{Outcome: "done", Began: time.Now(), Accepted: accepted, AcceptedBy: by}
	if err := report.WriteResult(&out, result); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "accepted: KUP-040, by "+by+": restored aside"); n != 2 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("status and report say %q", out.String())
	}
	if said := sentence(known.records[0]); !strings.Contains(said, "KUP-040 accepted: restored aside") {
		t.Errorf("the history says %q", said)
	}
}
