package preflight

import (
	"cmp"
	"slices"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
)

// Severity says what a finding does to a run.
type Severity string

// The severities.
const (
	Block Severity = "block" // the run does not start
	Warn  Severity = "warn"  // the run starts when the operator agrees
	Info  Severity = "info"  // worth knowing
)

func (s Severity) rank() int {
	return slices.Index([]Severity{Block, Warn, Info}, s)
}

// Input is what rules judge.
type Input struct {
	Facts cluster.Facts
	// Scan is judged where its parts were observed.
	Scan cluster.Scan
	// Waves are the nodes in the order in which every hop drains them; those of
	// one wave are drained together. Nil: not known yet.
	Waves [][]string
	// Path is the version each hop ends at.
	Path    []cluster.Version
	Catalog *catalog.Catalog
	// Now is compared with the certificates' ends.
	Now time.Time

	// Nodes are the names in the inventory; nil: there is none, and what only
	// hosts can tell is listed as unchecked instead of held against the plan.
	Nodes []string
	// PackageManager is apt, dnf or binaries.
	PackageManager string
	// CertificateRenewal and PatchesDir are the inventory's wishes for kubeadm.
	CertificateRenewal bool
	PatchesDir         string
	// Defragment is true when the plan begins with a defragmentation of etcd.
	Defragment bool
	// Drains say what the drain of a node may lose, by node; one that is not named
	// is drained with kup's defaults.
	Drains map[string]drainsim.Drain
	// IgnorePreflightErrors are the checks of kubeadm that the inventory has it
	// ignore, by name; "all" is every one.
	IgnorePreflightErrors []string
	// Accepted are the rules whose findings the operator takes the blame for, each
	// with the reason: they warn where they would block.
	Accepted map[string]string
}

// Finding is what a rule found, once per object and hop.
type Finding struct {
	Rule     string   `json:"rule"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	// Hop is the target minor of the hop it stands in the way of; empty: now.
	Hop    string `json:"hop,omitempty"`
	Object string `json:"object,omitempty"` // "node w-1", "etcd member cp-1"
	Why    string `json:"why"`              // a sentence without the object
	Fix    string `json:"fix"`              // what to do, with the command where there is one
	Source string `json:"source"`
	// Accepted is the operator's reason for letting it through; empty: it was not
	// accepted.
	Accepted string `json:"accepted,omitempty"`
}

// Rule is one thing that must hold.
type Rule struct {
	ID       string // KUP-nnn, never reused
	Title    string // what must hold
	Severity Severity
	Source   string // the statement it enforces
	// Check is pure. Its findings need no rule, title, source, nor a severity
	// where it is the rule's own.
	Check func(Input) []Finding
}

// Check applies every rule to every hop. Blocking findings come first, then in
// the order of rules, hops and objects.
func Check(in Input) []Finding {
	var out []Finding
	for _, r := range Rules() {
		for _, f := range r.Check(in) {
			f.Rule, f.Title, f.Source = r.ID, r.Title, r.Source
			if f.Severity == "" {
				f.Severity = r.Severity
			}
			f.Accepted = in.Accepted[r.ID]
			if f.Severity == Block && f.Accepted != "" {
				f.Severity = Warn
			}
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Rule, b.Rule))
	})
	return out
}

// Blocked tells whether any finding keeps the run from starting.
func Blocked(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Block })
}

// Rules is the table, in the order of ids.
func Rules() []Rule {
	return slices.Concat(versionRules(), nodeRules(), kubeadmRules(), etcdRules(), workloadRules(), hostRules(),
		startupRules(), hostStateRules(), objectRules(), storedRules(), placementRules(), admissionRules(), addonRules(), hazardRules())
}

// hop is one step of the path.
type hop struct {
	from, to cluster.Version
	name     string
}

// hops pairs the path's versions, starting at the oldest API server.
func (in Input) hops() []hop {
	var out []hop
	from, _ := in.apiServers()
	for _, to := range in.Path {
		out = append(out, hop{from, to, to.Line().String()})
		from = to
	}
	return out
}

// apiServers gives the oldest and the newest API server; what kubeadm recorded
// where none could be seen.
func (in Input) apiServers() (oldest, newest cluster.Version) {
	for i := range in.Facts.Nodes {
		pod := in.Facts.Nodes[i].Static("kube-apiserver")
		if pod == nil || pod.Version.IsZero() {
			continue
		}
		if oldest.IsZero() || pod.Version.Less(oldest) {
			oldest = pod.Version
		}
		if newest.Less(pod.Version) {
			newest = pod.Version
		}
	}
	if oldest.IsZero() {
		return in.Facts.Kubeadm.ClusterVersion, in.Facts.Kubeadm.ClusterVersion
	}
	return oldest, newest
}

// nodes are those the API server knows.
func (in Input) nodes() []*cluster.Node {
	var out []*cluster.Node
	for i := range in.Facts.Nodes {
		if in.Facts.Nodes[i].InAPI {
			out = append(out, &in.Facts.Nodes[i])
		}
	}
	return out
}
