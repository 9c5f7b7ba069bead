package matrix

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/lab/hollow"
)

//go:embed repeats.txt
var repeatsFile string

// repeats are the commands that may be given once more.
func repeats() []string {
	var out []string
	for line := range strings.Lines(repeatsFile) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func mayRepeat(command string) bool {
	return slices.ContainsFunc(repeats(), func(prefix string) bool { return strings.HasPrefix(command, prefix) })
}

// compare says how a disturbed upgrade differs from the undisturbed one.
func compare(want, got *outcome) []string {
	out := differences(want.facts, got.facts)
	out = append(out, counted("given", commands(want.given()), commands(got.given()))...)
	out = append(out, evictedTwice(got)...)
	if len(want.artefacts) != len(got.artefacts) {
		out = append(out, fmt.Sprintf("%d artefacts, not %d", len(got.artefacts), len(want.artefacts)))
	}
	return out
}

// differences are those of two values' JSON, by path.
func differences(want, got any) []string {
	a, b := flat(want), flat(got)
	var out []string
	for _, at := range slices.Sorted(maps.Keys(merged(a, b))) {
		if a[at] != b[at] {
			out = append(out, fmt.Sprintf("facts: %s is %s, undisturbed %s", at, orNone(b[at]), orNone(a[at])))
		}
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "not there"
	}
	return s
}

func merged[V any](a, b map[string]V) map[string]V {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

// flat gives every scalar of a value's JSON by its path.
func flat(v any) map[string]string {
	content, err := json.Marshal(v)
	if err != nil {
		return map[string]string{"": err.Error()}
	}
	var tree any
	if err := json.Unmarshal(content, &tree); err != nil {
		return map[string]string{"": err.Error()}
	}
	out := map[string]string{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(at+"/"+k, e)
			}
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s/%d", at, i), e)
			}
		default:
			out[at] = fmt.Sprint(v)
		}
	}
	walk("", tree)
	return out
}

// given is what was done to the hosts, but for what runs did that were begun anew: they
// had changed nothing, and only looked and fetched.
func (o *outcome) given() []hollow.Mutation {
	return slices.DeleteFunc(slices.Clone(o.mutations), func(m hollow.Mutation) bool { return m.Run != "" && m.Run != o.run })
}

// commands counts what was done to the hosts.
func commands(log []hollow.Mutation) map[string]int {
	out := map[string]int{}
	for _, m := range log {
		out[where(m)+": "+steady(m.Argv)]++
	}
	return out
}

// where a command was given. A restore is rehearsed beside a member that does not lead,
// and each copy of a cluster elects its own leader and places its own pods.
func where(m hollow.Mutation) string {
	switch line := strings.Join(m.Argv, " "); {
	case content.MatchString(line):
		return "beside a follower"
	case stopsPod.MatchString(line):
		return "where a pod runs"
	}
	return m.Host
}

// counted says what was done more or less often than in the undisturbed run.
func counted(verb string, want, got map[string]int) []string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(merged(want, got))) {
		_, command, _ := strings.Cut(what, ": ")
		switch n, m := got[what], want[what]; {
		case n < m:
			out = append(out, fmt.Sprintf("%s %d times, undisturbed %d: %s", verb, n, m, what))
		case n > m && !mayRepeat(command):
			out = append(out, fmt.Sprintf("%s %d times, undisturbed %d: %s", verb, n, m, what))
		}
	}
	return out
}

// What is new every time: a run's name, a temporary directory, what a snapshot holds
// (its digest, revision, keys and hash), what any other file does, the uids of objects,
// and the addresses of a copy of a cluster.
var (
	runName   = regexp.MustCompile(`\b\d{8}-\d{6}-[0-9a-f]{6}(-\d{10})?\b`) // in etcd's token with a time
	temporary = regexp.MustCompile(`/tmp/[^ ]*`)
	content   = regexp.MustCompile(`(/etcd-[0-9.]+\.db) [0-9a-f]{64}( -?[0-9]+)+`)
	digests   = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	uid       = regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
	stopsPod  = regexp.MustCompile(`^crictl .*\bstopp? `)
	network   = regexp.MustCompile(`\b127\.77\.\d+\.`)
)

// steady is a command without what is new every time. Of a script its digest is enough.
func steady(argv []string) string {
	if len(argv) > 2 && argv[0] == "sh" && strings.Contains(argv[2], "\n") {
		argv = slices.Clone(argv)
		argv[2] = fmt.Sprintf("script-%x", sha256.Sum256([]byte(argv[2])))[:len("script-")+8]
	}
	line := runName.ReplaceAllString(strings.Join(argv, " "), "RUN")
	line = content.ReplaceAllString(line, "$1 CONTENT")
	line = digests.ReplaceAllString(line, "DIGEST")
	line = uid.ReplaceAllString(line, "UID")
	line = network.ReplaceAllString(line, "NETWORK.")
	return strings.ReplaceAll(temporary.ReplaceAllString(line, "/tmp/…"), "\n", " ")
}

// evictedTwice are the pods whose eviction was granted more than once in one
// drain. The name of a StatefulSet's pod comes back, but not to a node that is
// being drained.
func evictedTwice(o *outcome) []string {
	granted := map[string]int{}
	for _, r := range o.requests {
		if r.Granted && strings.HasSuffix(r.Path, "/eviction") {
			granted[drainAt(o.records, r.At)+": "+r.Path]++
		}
	}
	var out []string
	for _, pod := range slices.Sorted(maps.Keys(granted)) {
		if granted[pod] > 1 {
			out = append(out, fmt.Sprintf("evicted %d times: %s", granted[pod], pod))
		}
	}
	return out
}

// drainAt is the drain that was begun last before a time.
func drainAt(records []journal.Record, at time.Time) string {
	step := ""
	for _, r := range records {
		if r.Kind == journal.StepBefore && path.Base(r.Step) == "drain" && !r.At.After(at) {
			step = r.Step
		}
	}
	return step
}
