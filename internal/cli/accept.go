package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kup-project/kup/internal/preflight"
)

// acceptFlag is --accept KUP-nnn=reason, given any number of times.
type acceptFlag []string

func (a *acceptFlag) add(f *pflag.FlagSet) {
	f.StringArrayVar((*[]string)(a), "accept", nil, "let what a rule found through, and say why: KUP-nnn=reason (may be repeated)")
}

const hintAccept = `--accept KUP-040="the reason, for those who read the report"`

// read gives the reasons by the rules' ids.
func (a acceptFlag) read() (map[string]string, error) {
	var out map[string]string
	for _, given := range a {
		id, reason, _ := strings.Cut(given, "=")
		rule, known := preflight.Find(id)
		if !known {
			return nil, unknownRule(id)
		}
		if reason = strings.TrimSpace(reason); reason == "" {
			return nil, &usageError{err: fmt.Errorf("--accept %s gives no reason", id), hint: hintAccept}
		}
		if _, twice := out[rule.ID]; twice {
			return nil, &usageError{err: fmt.Errorf("--accept %s is given twice", rule.ID), hint: "give one reason"}
		}
		if out == nil {
			out = map[string]string{}
		}
		out[rule.ID] = reason
	}
	return out, nil
}

// together adds what the command line accepts to what the plan was made with.
func together(planned, given map[string]string) map[string]string {
	if len(planned) == 0 {
		return given
	}
	out := maps.Clone(planned)
	maps.Copy(out, given)
	return out
}

// needless refuses acceptances of rules that found nothing: who gives one expects
// something that is not so.
func needless(given map[string]string, findings []preflight.Finding) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(findings, func(f preflight.Finding) bool { return f.Rule == id }) {
			errs = append(errs, fmt.Errorf("--accept %s: that rule found nothing", id))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &usageError{err: errors.Join(errs...), hint: "leave it out; kup plan shows what was found"}
}

// acceptances are the rules that were let through when the run began, with the
// reasons, and who did.
func (r *runRecord) acceptances() (accepted map[string]string, by string) {
	if len(r.records) == 0 {
		return r.accepted, holderIdentity()
	}
	return r.state.Accepted, r.records[0].Holder
}
