package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// FormatError is a plan file that this kup cannot read.
type FormatError struct {
	// Format is what the file says; 0 when it says nothing.
	Format int
	// Err is the cause when the format is the right one and the content is not.
	Err error
}

func (e *FormatError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("plan file: %v; make a new one with `kup plan`", e.Err)
	case e.Format == 0:
		return "plan file: no format field: this is not a plan of kup"
	default:
		return fmt.Sprintf("plan file: format %d, but this kup reads format %d; use the kup that wrote it, or make a new plan with `kup plan`", e.Format, Format)
	}
}

// Unwrap gives the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Encode writes the plan as JSON, indented, with a final newline. Equal plans
// give equal bytes.
func Encode(p *Plan) ([]byte, error) {
	if p.Format != Format {
		return nil, &FormatError{Format: p.Format}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return b.Bytes(), nil
}

// EncodeYAML writes the plan as YAML, for people. Decode reads JSON only.
func EncodeYAML(p *Plan) ([]byte, error) {
	b, err := Encode(p)
	if err != nil {
		return nil, err
	}
	out, err := yaml.JSONToYAML(b)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return out, nil
}

// Decode reads what Encode wrote. An unknown field, another format or anything
// after the plan is a *[FormatError]. Decode proves neither that the plan is
// untouched nor that it is sound: see [Verify] and [Validate].
func Decode(b []byte) (*Plan, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, &FormatError{Err: err}
	}
	if head.Format != Format {
		return nil, &FormatError{Format: head.Format}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p Plan
	if err := d.Decode(&p); err != nil {
		return nil, &FormatError{Format: Format, Err: err}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &FormatError{Format: Format, Err: errors.New("data after the plan")}
	}
	return &p, nil
}
