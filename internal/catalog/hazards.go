package catalog

import (
	"fmt"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// hazardData is what is known of releases and machines that an upgrade runs into.
type hazardData struct {
	hazards    []Hazard
	restarts   []Restart
	behaviours []behaviourRow
	kernels    []kernelRow
	runtimes   []runtimeRow
	drivers    []runtimeRow
}

// Releases are those from From on, and before Before.
type Releases struct {
	From   cluster.Version `json:"from"`
	Before cluster.Version `json:"before"`
}

// Holds tells whether v is one of them.
func (r Releases) Holds(v cluster.Version) bool { return !v.Less(r.From) && v.Less(r.Before) }

// When narrows a hazard to clusters that meet it.
type When string

// The conditions.
const (
	// Always holds.
	Always When = ""
	// WhenAggregatedAPIs: the cluster has aggregated APIs.
	WhenAggregatedAPIs When = "aggregated-apis"
	// WhenNoKubeletFlags: a node's kubeadm-flags.env has no flag, and it has no
	// instance configuration.
	WhenNoKubeletFlags When = "no-kubelet-flags"
	// WhenNoKubeletFlagsLeft: nothing is in kubeadm-flags.env but the runtime's
	// socket, which kubeadm moves away.
	WhenNoKubeletFlagsLeft When = "no-kubelet-flags-left"
	// WhenWorkerNamedOtherwise: a worker's host name is not its node's name.
	WhenWorkerNamedOtherwise When = "worker-named-otherwise"
	// WhenSingleMemberMoves: etcd has one member, and the hop changes its version.
	WhenSingleMemberMoves When = "single-member-moves"
)

// Hazard is a bug of some releases that bites during an upgrade.
type Hazard struct {
	ID        string     `json:"id"`
	Component string     `json:"component"` // kubelet, kube-apiserver, kubeadm, etcd
	When      When       `json:"when"`
	Hits      []Releases `json:"hits"`
	Severity  string     `json:"severity"` // block, warn or info
	Text      string     `json:"text"`     // a sentence that follows the release's name
	Fix       string     `json:"fix"`
	Source    string     `json:"source"`
}

// Restart is a hop at which containers restart although nothing asked for it.
type Restart struct {
	Minor  cluster.Minor `json:"minor"` // the hop's target
	Text   string        `json:"text"`
	Source string        `json:"source"`
}

func (c *Catalog) loadHazards() error {
	var file struct {
		Hazards  []Hazard  `json:"hazards"`
		Restarts []Restart `json:"restarts"`
	}
	if err := read("hazards", &file); err != nil {
		return err
	}
	known := []When{Always, WhenAggregatedAPIs, WhenNoKubeletFlags, WhenNoKubeletFlagsLeft, WhenWorkerNamedOtherwise, WhenSingleMemberMoves}
	for _, h := range file.Hazards {
		if !slices.Contains(known, h.When) {
			return fmt.Errorf("catalog: data/hazards.yaml: %s: this kup does not know the condition %q", h.ID, h.When)
		}
	}
	c.hazards, c.restarts = file.Hazards, file.Restarts
	return c.loadHazardsOfHosts()
}

// Hazards are the known bugs of a component's release.
func (c *Catalog) Hazards(component string, v cluster.Version) []Hazard {
	var out []Hazard
	for _, h := range c.hazards {
		if h.Component == component && slices.ContainsFunc(h.Hits, func(r Releases) bool { return r.Holds(v) }) {
			out = append(out, h)
		}
	}
	return out
}

// Restart tells what restarts by itself in the hop to a minor.
func (c *Catalog) Restart(to cluster.Minor) (Restart, bool) {
	for _, r := range c.restarts {
		if r.Minor == to {
			return r, true
		}
	}
	return Restart{}, false
}
