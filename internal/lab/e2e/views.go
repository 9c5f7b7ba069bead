package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// sarifLog is what a reader of SARIF 2.1.0 takes from one.
// Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type sarifLog struct {
	Version string
	Runs    []struct {
		Tool struct {
			Driver struct{ Rules []struct{ ID string } }
		}
		Results []struct {
			RuleID    string
			RuleIndex int
			Level     string
			Locations []struct {
				LogicalLocations []struct{ FullyQualifiedName string }
			}
		}
	}
}

// levels are SARIF's, by severity.
var levels = map[string]string{"block": "error", "warn": "warning", "info": "note"}

// compareViews plans again for those who read no JSON of kup's own: what a change
// ticket and a code scanner are told must be what was found.
func (p *preflightRun) compareViews(ctx context.Context, found []finding) error {
	sarif, err := p.kup.run(ctx, nil, p.arguments("sarif")...)
	if err != nil {
		return err
	}
	var log sarifLog
	if err := json.Unmarshal(sarif.stdout, &log); err != nil {
		return fmt.Errorf("kup plan -o sarif: %w", err)
	}
	if !p.check(log.Version == "2.1.0" && len(log.Runs) == 1, "kup plan -o sarif: version %q, %d runs", log.Version, len(log.Runs)) {
		return nil
	}
	run, told := log.Runs[0], map[string]bool{}
	for _, r := range run.Results {
		indexed := r.RuleIndex >= 0 && r.RuleIndex < len(run.Tool.Driver.Rules) && run.Tool.Driver.Rules[r.RuleIndex].ID == r.RuleID
		p.check(indexed, "kup plan -o sarif: %s is not the rule at index %d", r.RuleID, r.RuleIndex)
		for _, l := range r.Locations {
			for _, o := range l.LogicalLocations {
				told[r.RuleID+" "+r.Level+" "+o.FullyQualifiedName] = true
			}
		}
	}
	markdown, err := p.kup.run(ctx, nil, p.arguments("markdown")...)
	if err != nil {
		return err
	}
	for _, f := range found {
		seen := false
		for key := range told {
			seen = seen || strings.HasPrefix(key, f.Rule+" "+levels[f.Severity]+" ") && strings.HasSuffix(key, f.Object)
		}
		p.check(seen, "kup plan -o sarif does not tell of %s %s %s", f.Severity, f.Rule, f.Object)
		p.check(strings.Contains(string(markdown.stdout), f.Rule), "kup plan -o markdown does not tell of %s", f.Rule)
	}
	p.check(sarif.code == markdown.code, "kup plan: exit code %d with -o sarif, %d with -o markdown", sarif.code, markdown.code)
	p.printf("-o sarif and -o markdown tell of the same %d findings", len(found))
	return nil
}
