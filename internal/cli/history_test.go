package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/journal"
)

func TestHistory(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	records := []journal.Record{
		{At: at, Kind: journal.RunStarted, Holder: "ann@a pid 1", Epoch: 1},
		{At: at.Add(time.Minute), Kind: journal.StepBefore, Step: "1.34/prepare/snapshot", Attempt: 1},
		{At: at.Add(2 * time.Minute), Kind: journal.StepAfter, Step: "1.34/prepare/snapshot", Attempt: 1, Outcome: journal.Failed, Error: "no\nspace"},
		{At: at.Add(2 * time.Minute), Kind: journal.RunEnded, Outcome: journal.Failed, Error: "no space"},
		{At: at.Add(10 * time.Hour), Kind: journal.RunResumed, Holder: "bob@b pid 2", Epoch: 2},
		{At: at.Add(10*time.Hour + time.Minute), Kind: journal.StepAfter, Step: "1.34/prepare/snapshot", Attempt: 2, Outcome: journal.Done},
		{At: at.Add(10*time.Hour + time.Minute), Kind: journal.ArtefactPut, Artefact: &journal.Artefact{Name: "snapshot", Hop: "1.34", Path: "/x", Digest: "sha256:1"}},
		{At: at.Add(10*time.Hour + time.Minute), Kind: journal.RunEnded, Outcome: journal.Stopped},
	}
	r := &runRecord{id: runA, where: here, plan: testPlan(t), records: records, state: journal.Replay(records)}
	p := r.past()
	if p.By != "ann@a pid 1" || p.Resumed != 1 || p.Seconds != 180 || p.Outcome != "stopped" || p.Done != 1 || p.Total != 2 || p.From != "v1.33.13" || p.To != "v1.34.4" {
		t.Errorf("%+v", p)
	}
	var out bytes.Buffer
	if err := writeHistory(&out, []pastRun{p}); err != nil || !strings.Contains(out.String(), "v1.33.13  v1.34.4  stopped  3m    1/2    1") {
		t.Errorf("%v\n%s", err, &out)
	}
	out.Reset()
	if err := writeRecords(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"begun by ann@a pid 1, epoch 1", "1.34/prepare/snapshot begins, attempt 1", "snapshot failed: no space", "resumed by bob@b", "snapshot of hop 1.34 is on the operator's machine: /x", "ended: stopped\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &out)
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != len(records)+1 {
		t.Errorf("%d lines for %d records", lines, len(records))
	}
}
