package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// ResultFile is the result's name in a run's directory.
const ResultFile = "report.json"

// Result is a run as it ended, for programs.
type Result struct {
	Run     string `json:"run"`
	Plan    string `json:"plan"`
	Outcome string `json:"outcome"` // done, failed, stopped, rolled-back
	Error   string `json:"error,omitempty"`
	// Undoes is the run that this one took back, and Scope how far; empty: it was an
	// upgrade.
	Undoes string    `json:"undoes,omitempty"`
	Scope  string    `json:"scope,omitempty"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"`
	// Where the wall time went, in seconds; see Spent for how it is counted.
	WallSeconds    float64 `json:"wallSeconds"`
	RemoteSeconds  float64 `json:"remoteSeconds"`
	WaitSeconds    float64 `json:"waitSeconds"`
	SustainSeconds float64 `json:"sustainSeconds"`
	RestSeconds    float64 `json:"restSeconds"`
	// Snapshots say of each hop's snapshot with which etcd its restore was rehearsed,
	// one sentence each.
	Snapshots []string `json:"snapshots,omitempty"`
	// Workloads are what the comparison with the baselines found, one sentence each.
	Workloads []string `json:"workloads,omitempty"`
	// Deprecated are API versions that clients still ask for.
	Deprecated []string `json:"deprecated,omitempty"`
	// Accepted are the preflight rules that were let through, with the reasons, and
	// AcceptedBy who did.
	Accepted   map[string]string `json:"accepted,omitempty"`
	AcceptedBy string            `json:"acceptedBy,omitempty"`
	// Unready says how long each API server was not ready while its etcd member
	// was replaced, in seconds, by node.
	Unready map[string]float64 `json:"unreadySeconds,omitempty"`
}

// Account copies a split into the result.
func (r *Result) Account(s Split) {
	r.WallSeconds, r.RemoteSeconds = s.Wall.Seconds(), s.Remote.Seconds()
	r.WaitSeconds, r.SustainSeconds, r.RestSeconds = s.Wait.Seconds(), s.Sustain.Seconds(), s.Rest.Seconds()
}

// Encode gives the result as it is stored.
func (r *Result) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// WriteResult writes the end of a run for people.
func WriteResult(w io.Writer, r *Result) error {
	var b strings.Builder
	switch r.Outcome {
	case "done":
		fmt.Fprintf(&b, "\nDone: %s → %s in %s\n", r.From, r.To, seconds(r.WallSeconds))
	case "rolled-back":
		fmt.Fprintf(&b, "\nRolled back (scope %s): %s → %s in %s\n", r.Scope, r.From, r.To, seconds(r.WallSeconds))
	case "stopped":
		fmt.Fprintf(&b, "\nStopped after %s\n", seconds(r.WallSeconds))
	default:
		fmt.Fprintf(&b, "\nFailed after %s\n", seconds(r.WallSeconds))
	}
	fmt.Fprintf(&b, "  remote commands %s, eviction and readiness %s, sustained gates %s, kup itself %s\n",
		seconds(r.RemoteSeconds), seconds(r.WaitSeconds), seconds(r.SustainSeconds), seconds(r.RestSeconds))
	for _, id := range sortedKeys(r.Accepted) {
		fmt.Fprintf(&b, "  accepted: %s, by %s: %s\n", id, r.AcceptedBy, Printable(r.Accepted[id]))
	}
	for _, s := range r.Snapshots {
		fmt.Fprintf(&b, "  snapshot: %s\n", Printable(s))
	}
	for _, s := range r.Workloads {
		fmt.Fprintf(&b, "  workload: %s\n", s)
	}
	for _, s := range r.Deprecated {
		fmt.Fprintf(&b, "  deprecated API in use: %s\n", s)
	}
	for _, node := range sortedKeys(r.Unready) {
		fmt.Fprintf(&b, "  API server on %s not ready for %s while its etcd member was replaced\n", node, seconds(r.Unready[node]))
	}
	_, err := io.WriteString(w, printableLines(b.String()))
	return err
}

func seconds(s float64) string { return Duration(time.Duration(s * float64(time.Second))) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
