package report

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/preflight"
)

// The types below are the part of SARIF 2.1.0 that kup writes; their JSON names
// are the standard's. Reference:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri,omitempty"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string        `json:"id"`
		ShortDescription sarifText     `json:"shortDescription"`
		Help             *sarifText    `json:"help,omitempty"`
		HelpURI          string        `json:"helpUri,omitempty"`
		Default          sarifSeverity `json:"defaultConfiguration"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifSeverity struct {
		Level string `json:"level"`
	}
	sarifInvocation struct {
		// ExecutionSuccessful says that kup could look; not that nothing was found.
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations,omitempty"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Properties   map[string]string  `json:"properties,omitempty"`
	}
	sarifLocation struct {
		Logical []sarifLogical `json:"logicalLocations"`
	}
	sarifLogical struct {
		Name string `json:"name"`
		Full string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
)

const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// SARIF writes the findings as a SARIF 2.1.0 log with one run: every rule with its
// page as help, every finding as a result whose logical location is its object.
// What the operator accepted is suppressed with the reason as justification. The
// cluster's name leads every location.
func (d Document) SARIF(w io.Writer, version string) error {
	run := sarifRun{
		Tool:        sarifTool{Driver: sarifDriver{Name: "kup", Version: version, InformationURI: "https://github.com/kup-project/kup"}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: true}},
		Results:     []sarifResult{},
	}
	rules := preflight.Rules()
	for _, r := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifOf(r))
	}
	for _, u := range d.Unchecked {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications,
			sarifNotification{Level: "note", Message: sarifText{Text: "not checked: " + u}})
	}
	times := map[string]int{}
	for _, f := range d.Findings {
		i := slices.IndexFunc(rules, func(r preflight.Rule) bool { return r.ID == f.Rule })
		result := d.sarifResult(f, i)
		print := fingerprint(f)
		if times[print]++; times[print] > 1 { // several of one object
			print += "/" + strconv.Itoa(times[print])
		}
		result.Fingerprints = map[string]string{"kup/v1": print}
		run.Results = append(run.Results, result)
	}
	return writeJSON(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifOf(r preflight.Rule) sarifRule {
	out := sarifRule{ID: r.ID, ShortDescription: sarifText{Text: r.Title}, Default: sarifSeverity{sarifLevel(r.Severity)}}
	if page, ok := r.Page(); ok {
		out.Help = &sarifText{Text: page, Markdown: page}
	}
	if strings.HasPrefix(r.Source, "https://") && !strings.ContainsAny(r.Source, " ;") {
		out.HelpURI = r.Source
	}
	return out
}

func sarifLevel(s preflight.Severity) string {
	switch s {
	case preflight.Block:
		return "error"
	case preflight.Warn:
		return "warning"
	default:
		return "note"
	}
}

// fingerprint tells a finding from others and stays the same from plan to plan,
// while what is said of the object may change.
func fingerprint(f preflight.Finding) string {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Hop + "\x00" + f.Object))
	return hex.EncodeToString(sum[:16])
}

func (d Document) sarifResult(f preflight.Finding, rule int) sarifResult {
	object := f.Object
	if object == "" {
		object = "cluster"
	}
	full := object
	if d.Plan != nil && d.Plan.Facts.Identity.Name != "" {
		full = d.Plan.Facts.Identity.Name + "/" + object
	}
	out := sarifResult{
		RuleID: f.Rule, RuleIndex: rule, Level: sarifLevel(f.Severity),
		Message:    sarifText{Text: object + ": " + f.Why + ". Fix: " + f.Fix},
		Locations:  []sarifLocation{{Logical: []sarifLogical{{Name: object, Full: full, Kind: "resource"}}}},
		Properties: map[string]string{"source": f.Source, "fix": f.Fix},
	}
	if f.Hop != "" {
		out.Properties["hop"] = f.Hop
	}
	if f.Accepted != "" {
		out.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: f.Accepted}}
	}
	return out
}
