package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/pkg/plan"
)

// found is a bit of everything, as preflight orders it: blocking first.
func found() []preflight.Finding {
	f := func(rule string, s preflight.Severity, hop, object, why, fix string) preflight.Finding {
		return preflight.Finding{Rule: rule, Title: "title of " + rule, Severity: s, Hop: hop, Object: object, Why: why, Fix: fix, Source: "https://example.org/" + rule}
	}
	out := []preflight.Finding{
		f("KUP-023", preflight.Block, "", "node w-1", "it is not Ready", "kubectl describe node w-1"),
		f("KUP-040", preflight.Block, "1.34", "etcd", "it goes from v3.5.24 to v3.6.5, and before 3.6 it must be at v3.5.26 or newer: removed members can come back as voters after the move to 3.6, and the cluster then loses its quorum", "pin the tag | then\x1b[2J go on"),
	}
	accepted := f("KUP-024", preflight.Warn, "", "node w-9", "it is cordoned", "kubectl uncordon w-9")
	accepted.Accepted = "waits for a new disk"
	out = append(out, accepted)
	for i := range 8 {
		out = append(out, f("KUP-050", preflight.Warn, "", fmt.Sprintf("PodDisruptionBudget shop/b-%d", i), fmt.Sprintf("%d of %d pods must stay", i+2, i+2), "add a replica"))
	}
	for i := range 12 {
		node := fmt.Sprintf("w-%d", i+1)
		out = append(out, f("KUP-062", preflight.Info, "", "node "+node, "kubeadm can be moved by any system upgrade", "apt-mark hold kubeadm on "+node))
	}
	again := f("KUP-053", preflight.Warn, "1.9", "", "clients ask for it", "move them")
	return append(out, again, again)
}

func document() Document {
	p := sample()
	p.CreatedAt, p.KupVersion = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), "v1.0.0"
	p.Hops[0].Stages[1].Waves[0].Lanes[1][0].ID = "1.34/etcd/cp-2/etcd"
	p.Hops[0].Stages[2].Waves[0].Lanes[0][1].Kind = plan.KindDrain
	p.Hops[0].Stages[2].Waves[0].Lanes[1][1].Kind = plan.KindDrain
	p.Measured = &plan.Measured{Runs: 3, Steps: 2}
	return NewDocument(p, found(), []string{"etcd was not reached"})
}

func TestFindingsText(t *testing.T) {
	var b bytes.Buffer
	if err := Findings(&b, found(), 100); err != nil {
		t.Fatal(err)
	}
	golden(t, "findings.txt", b.Bytes())
	for _, line := range strings.Split(b.String(), "\n") {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a finding steers the terminal")
	}
	b.Reset()
	if err := Findings(&b, found(), 0); err != nil || !strings.Contains(b.String(), "removed members can come back as voters after the move to 3.6, and the cluster then loses its quorum\n") {
		t.Errorf("without a bound lines are wrapped: %s", b.String())
	}
	b.Reset()
	if err := Findings(&b, nil, 100); err != nil || b.Len() > 0 {
		t.Errorf("nothing was found, and %q is said of it", b.String())
	}
}

// Every object is named or counted, whatever is folded.
func TestFoldingLosesNoObject(t *testing.T) {
	findings := found()
	n := 0
	for _, s := range byHop(findings) {
		for _, f := range fold(s.findings) {
			n += 1 + len(f.also) + f.more
		}
	}
	if n != len(findings) {
		t.Errorf("%d of %d findings are accounted for", n, len(findings))
	}
}

func TestDocumentOutputs(t *testing.T) {
	d := document()
	for name, write := range map[string]func(io.Writer) error{
		"document.md":    d.Markdown,
		"document.sarif": func(w io.Writer) error { return trimmedSARIF(d, w) },
		"blocked.md":     NewDocument(nil, found()[:1], []string{"no host was surveyed"}).Markdown,
		"document.txt":   func(w io.Writer) error { return d.Text(w, 100) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// trimmedSARIF leaves the rules out, whose pages change with their own tests.
func trimmedSARIF(d Document, w io.Writer) error {
	var b bytes.Buffer
	if err := d.SARIF(&b, "v1.0.0"); err != nil {
		return err
	}
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		return err
	}
	log.Runs[0].Tool.Driver.Rules = nil
	for i := range log.Runs[0].Results {
		log.Runs[0].Results[i].RuleIndex = 0
	}
	log.Runs[0].Results = append(log.Runs[0].Results[:4:4], log.Runs[0].Results[len(log.Runs[0].Results)-1])
	return writeJSON(w, log)
}

func TestJSONDocumentIsStable(t *testing.T) {
	var b bytes.Buffer
	if err := NewDocument(nil, nil, nil).JSON(&b); err != nil {
		t.Fatal(err)
	}
	const want = "{\n  \"format\": 1,\n  \"blocked\": false,\n  \"plan\": null,\n  \"findings\": [],\n  \"unchecked\": []\n}\n"
	if b.String() != want {
		t.Errorf("an empty document is %s", b.String())
	}
	b.Reset()
	if err := document().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Document
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !back.Blocked || back.Format != DocumentFormat || len(back.Findings) != len(found()) || back.Findings[2].Accepted == "" || back.Unchecked[0] != "etcd was not reached" {
		t.Errorf("back comes %+v", back)
	}
}

// TestSARIF holds the log to what the schema of SARIF 2.1.0 requires and to the
// values it allows.
func TestSARIF(t *testing.T) {
	var b bytes.Buffer
	if err := document().SARIF(&b, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	object := func(v any, keys ...string) any {
		for _, k := range keys {
			v = v.(map[string]any)[k]
		}
		return v
	}
	if log["version"] != "2.1.0" || !strings.HasSuffix(log["$schema"].(string), "sarif-schema-2.1.0.json") {
		t.Errorf("version %v, schema %v", log["version"], log["$schema"])
	}
	run := log["runs"].([]any)[0]
	if object(run, "tool", "driver", "name") != "kup" {
		t.Error("the driver has no name")
	}
	rules := object(run, "tool", "driver", "rules").([]any)
	seen := map[any]bool{}
	for _, r := range rules {
		id, uri := object(r, "id"), object(r, "helpUri")
		if id == "" || seen[id] || object(r, "shortDescription", "text") == "" {
			t.Errorf("rule %v is incomplete or twice", id)
		}
		if s, ok := uri.(string); ok && (!strings.HasPrefix(s, "https://") || strings.ContainsAny(s, " ;")) {
			t.Errorf("%v: helpUri %q is no URI", id, s)
		}
		seen[id] = true
	}
	levels := map[any]bool{"none": true, "note": true, "warning": true, "error": true}
	prints := map[any]bool{}
	results := object(run, "results").([]any)
	for _, r := range results {
		index := int(object(r, "ruleIndex").(float64))
		if object(r, "message", "text") == "" || !levels[object(r, "level")] || object(rules[index], "id") != object(r, "ruleId") {
			t.Errorf("result %v", r)
		}
		print := object(r, "partialFingerprints", "kup/v1")
		if print == "" || prints[print] {
			t.Errorf("fingerprint %v is empty or twice", print)
		}
		prints[print] = true
	}
	if len(results) != len(found()) || object(run, "invocations").([]any)[0].(map[string]any)["executionSuccessful"] != true {
		t.Errorf("%d results", len(results))
	}
}
