package report

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/pkg/plan"
)

// DocumentFormat is the version of what `kup plan -o json` and -o yaml print. It
// rises when a field goes or changes its meaning; new fields may come at any time.
const DocumentFormat = 1

// Document is a plan with what preflight found on its path, for every output of
// `kup plan`. docs/plan-output.md is its reference.
type Document struct {
	Format int `json:"format"` // DocumentFormat
	// Blocked is true when a finding keeps the run from starting.
	Blocked bool `json:"blocked"`
	// Plan is null when what was found lets none be made.
	Plan     *plan.Plan          `json:"plan"`
	Findings []preflight.Finding `json:"findings"`
	// Unchecked are sentences about what could not be observed, and so was not judged.
	Unchecked []string `json:"unchecked"`
}

// NewDocument puts one together; plan may be nil.
func NewDocument(p *plan.Plan, findings []preflight.Finding, unchecked []string) Document {
	d := Document{Format: DocumentFormat, Blocked: preflight.Blocked(findings), Plan: p, Findings: findings, Unchecked: unchecked}
	if d.Findings == nil {
		d.Findings = []preflight.Finding{}
	}
	if d.Unchecked == nil {
		d.Unchecked = []string{}
	}
	return d
}

// Text writes the document for people; findings in lines of at most width characters
// where words allow, 0 for no bound.
func (d Document) Text(w io.Writer, width int) error {
	if d.Plan != nil {
		if err := Plan(w, d.Plan); err != nil {
			return err
		}
	}
	if err := Findings(w, d.Findings, width); err != nil {
		return err
	}
	if d.Plan != nil { // its notices say so
		return nil
	}
	for _, u := range d.Unchecked {
		if _, err := fmt.Fprintf(w, "  not checked: %s\n", Printable(u)); err != nil {
			return err
		}
	}
	return nil
}

// JSON writes the document for programs.
func (d Document) JSON(w io.Writer) error { return writeJSON(w, d) }

// YAML writes the same as JSON.
func (d Document) YAML(w io.Writer) error {
	b, err := yaml.Marshal(d)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
