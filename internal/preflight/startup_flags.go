package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func checkLostFlags(in Input) []Finding {
	return in.lostFlags(func(component string) bool { return component != "etcd" })
}

func checkEtcdFlags(in Input) []Finding {
	return in.lostFlags(func(component string) bool { return component == "etcd" })
}

func (in Input) lostFlags(of func(component string) bool) []Finding {
	var found hits
	for _, s := range in.settings() {
		row, lost := in.Catalog.LostFlag(s.component, s.flag.Name)
		if !lost || !of(s.component) || in.kubeadmRemoves(s, row) {
			continue
		}
		h, bites := in.bites(s, row.In)
		if !bites {
			continue
		}
		do := fmt.Sprintf("take out %s", s.flag.Name)
		if row.Instead != "" {
			do += fmt.Sprintf(" (instead: %s)", row.Instead)
		}
		fix := in.fix(s, do)
		if row.Instead != "" {
			fix += in.later(h)
		}
		found.add(s, Finding{
			Hop: h.name, Why: fmt.Sprintf("--%s, in %s, is unknown to %s %s, which does not start with it", s.flag.Name, s.place(), s.component, row.In),
			Fix: fix,
		})
	}
	return found.findings()
}

// kubeadmRemoves tells whether kubeadm takes the flag out of its own file in a
// hop of this path.
func (in Input) kubeadmRemoves(s setting, row catalog.LostFlag) bool {
	return s.flag.Path == flagsEnv && slices.ContainsFunc(in.Path, func(v cluster.Version) bool { return v.Line() == row.ByKubeadm })
}

func checkFlagValues(in Input) []Finding {
	var found hits
	gates := in.gates()
	for _, s := range in.settings() {
		if s.flag.Value == "" {
			continue
		}
		for _, row := range in.Catalog.FlagValues(s.component, s.flag.Name) {
			if !row.Refuses(s.flag.Value) || row.Unless != nil && gateIs(gates, s, *row.Unless) {
				continue
			}
			h, bites := in.bites(s, row.In)
			if lost, isLost := in.Catalog.LostFlag(s.component, s.flag.Name); isLost && !h.to.Line().Less(lost.In) {
				bites = false // the flag is gone with it: KUP-070
			}
			if bites {
				found.add(s, Finding{
					Hop: h.name, Why: fmt.Sprintf("--%s=%s, in %s, is refused by %s %s, which does not start with it", s.flag.Name, s.flag.Value, s.place(), s.component, row.In),
					Fix: in.fix(s, valueFix(s, row)),
				})
				break
			}
		}
	}
	return found.findings()
}

func valueFix(s setting, row catalog.FlagValues) string {
	switch {
	case s.flag.Name == "cloud-provider":
		return "set cloud-provider to external, once the cloud's own controller manager runs (https://kubernetes.io/docs/tasks/administer-cluster/developing-cloud-controller-manager/)"
	case len(row.Only) == 1:
		return fmt.Sprintf("take out %s, or set it to %s", s.flag.Name, row.Only[0])
	}
	return fmt.Sprintf("take out %s", s.flag.Name)
}

// checkRequiredFlags judges kubelets whose command line was understood: one that
// is started in a way of its own shows no flag at all. Nodes with another runtime
// than Docker could not run without the flag.
func checkRequiredFlags(in Input) []Finding {
	var found hits
	for _, n := range in.nodes() {
		started := in.Scan.Startup[n.Name]
		if started == nil || !strings.HasPrefix(n.Runtime, "docker://") {
			continue
		}
		kubelet := started.Component(kubeletName)
		if kubelet == nil || kubelet.Flag("config") == nil {
			continue
		}
		for _, row := range in.Catalog.RequiredFlags(kubeletName) {
			s := setting{component: kubeletName, node: n.Name, now: n.Kubelet}
			h, bites := in.firstHop(s.now, row.From)
			if !bites || !row.Holds(h.to.Line()) || kubelet.Flag(row.Flag) != nil {
				continue
			}
			found.add(s, Finding{
				Hop: h.name, Why: fmt.Sprintf("it is not given --%s: %s", row.Flag, row.Why),
				Fix: fmt.Sprintf("move the node to another container runtime, and add --%s=unix:///run/containerd/containerd.sock, or that runtime's socket, to KUBELET_KUBEADM_ARGS in %s", row.Flag, flagsEnv),
			})
		}
	}
	return found.findings()
}
