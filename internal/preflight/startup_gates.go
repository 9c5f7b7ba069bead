package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// gate is a feature gate as a component is told of it.
type gate struct {
	setting
	name string
	on   bool
}

// gates are those of all components but etcd, which has its own.
func (in Input) gates() []gate {
	var out []gate
	for _, s := range in.settings() {
		if s.flag.Name != "feature-gates" || s.component == "etcd" {
			continue
		}
		for word := range strings.SplitSeq(s.flag.Value, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
			if on, err := strconv.ParseBool(strings.TrimSpace(value)); err == nil {
				out = append(out, gate{s, name, on})
			}
		}
	}
	out = append(out, in.proxyGates()...)
	for _, n := range in.nodes() {
		started := in.Scan.Startup[n.Name]
		if started == nil {
			continue
		}
		for _, config := range started.Kubelet {
			s := setting{component: kubeletName, node: n.Name, now: n.Kubelet, flag: cluster.Flag{Name: "featureGates", Path: config.Path}}
			for _, name := range slices.Sorted(maps.Keys(config.FeatureGates)) {
				if !edited(n, config.Path, "field featureGates."+name+" ") && !edited(n, config.Path, "field featureGates is added") {
					out = append(out, gate{s, name, config.FeatureGates[name]})
				}
			}
		}
	}
	return out
}

const (
	proxyName = "kube-proxy"
	proxyFile = "config.conf of the ConfigMap kube-system/kube-proxy"
)

// proxyGates are kube-proxy's, which kubeadm hands on from minor to minor. What runs
// is told by its image.
func (in Input) proxyGates() []gate {
	if in.Scan.Objects == nil {
		return nil
	}
	var now cluster.Version
	for _, a := range in.Facts.Addons {
		if a.Name == proxyName {
			tag, _ := imageTag(a.Image)
			now, _ = cluster.ParseVersion(tag) // zero: not known
		}
	}
	s := setting{component: proxyName, now: now, flag: cluster.Flag{Name: "featureGates", Path: proxyFile}}
	var out []gate
	for _, name := range slices.Sorted(maps.Keys(in.Scan.Objects.ProxyGates)) {
		out = append(out, gate{s, name, in.Scan.Objects.ProxyGates[name]})
	}
	return out
}

// gateIs tells whether the component of a setting has a gate set so.
func gateIs(gates []gate, s setting, want catalog.GateSetting) bool {
	return slices.ContainsFunc(gates, func(g gate) bool {
		return g.component == s.component && g.name == want.Gate && g.on == want.Set && (g.node == "" || s.node == "" || g.node == s.node)
	})
}

func checkLostGates(in Input) []Finding {
	var found hits
	for _, g := range in.gates() {
		row, lost := in.Catalog.LostGate(g.name)
		if _, locked := in.lockBites(g); locked || !lost {
			continue // taken out for being locked, it is not there to be lost
		}
		if h, bites := in.bites(g.setting, row.In); bites {
			found.add(g.setting, Finding{
				Hop: h.name, Why: fmt.Sprintf("the feature gate %s, set in %s, is unknown to %s %s, which does not start with it", g.name, g.place(), g.component, row.In),
				Fix: in.gateFix(g),
			})
		}
	}
	return found.findings()
}

func checkLockedGates(in Input) []Finding {
	var found hits
	for _, g := range in.gates() {
		if h, bites := in.lockBites(g); bites {
			row, _ := in.Catalog.LockedGate(g.name)
			found.add(g.setting, Finding{
				Hop: h.name, Why: fmt.Sprintf("the feature gate %s is %t in %s, and from %s on it can be %t only: %s does not start with it", g.name, g.on, g.place(), row.In, row.To, g.component),
				Fix: in.gateFix(g) + "; see first that nothing needs what it switches",
			})
		}
	}
	return found.findings()
}

// lockBites gives the hop from which the gate cannot be what it is set to.
func (in Input) lockBites(g gate) (hop, bool) {
	row, locked := in.Catalog.LockedGate(g.name)
	if !locked || row.To == g.on {
		return hop{}, false
	}
	return in.bites(g.setting, row.In)
}

func (in Input) gateFix(g gate) string {
	switch {
	case g.flag.Name == "feature-gates":
		return in.fix(g.setting, fmt.Sprintf("take %s out of feature-gates", g.name))
	case g.component == proxyName:
		return fmt.Sprintf("kubectl -n kube-system edit configmap kube-proxy, and in config.conf take %s out of featureGates; then kubectl -n kube-system rollout restart daemonset kube-proxy", g.name)
	case g.flag.Path == kubeletFile:
		return fmt.Sprintf("kubectl -n kube-system edit configmap kubelet-config (before 1.24 its name ends in the minor: kubelet-config-1.23), and take %s out of featureGates; then have each node's file written from it: kubeadm upgrade node phase kubelet-config && systemctl restart kubelet", g.name)
	}
	return in.fix(g.setting, fmt.Sprintf("take %s out of featureGates", g.name))
}

// checkKubeadmGates blocks where kubeadm's upgrade stops on a gate that it does
// not know; later versions only say so.
func checkKubeadmGates(in Input) []Finding {
	args := in.clusterArgs()
	if args == nil {
		return nil
	}
	now, _ := in.apiServers()
	var found hits
	for _, name := range slices.Sorted(maps.Keys(args.FeatureGates)) {
		row, lost := in.Catalog.LostKubeadmGate(name)
		h, bites := in.firstHop(now, row.In)
		if !lost || !bites {
			continue
		}
		f := Finding{Hop: h.name, Fix: fmt.Sprintf("kubectl -n kube-system edit configmap kubeadm-config, and take %s out of featureGates", name)}
		if row.Refused {
			f.Severity, f.Why = Block, fmt.Sprintf("featureGates names %s, which kubeadm %s does not take: its upgrade stops on it", name, row.In)
		} else {
			f.Why = fmt.Sprintf("featureGates names %s, which kubeadm %s does not know: its upgrade says so and goes on, but kubeadm init phase refuses the configuration", name, row.In)
		}
		found.add(setting{component: "ConfigMap kube-system/kubeadm-config"}, f)
	}
	return found.findings()
}
