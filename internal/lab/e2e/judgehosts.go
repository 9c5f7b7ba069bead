package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/lab/node"
)

// target is the release of a minor that the lab serves: "v1.34.4" for "1.34".
func (e *env) target(minor string) (string, error) {
	for _, v := range e.lab.Served() {
		if strings.HasPrefix(v, "v"+minor+".") {
			return v, nil
		}
	}
	return "", fmt.Errorf("the lab serves no %s, only %s", minor, strings.Join(e.lab.Served(), ", "))
}

// judgeHosts asks every node what it is now and judges the hop by it.
func (h *hop) judgeHosts(ctx context.Context) error {
	after, err := h.askHosts(ctx)
	if err != nil {
		return err
	}
	states, err := h.nodesNow(ctx)
	if err != nil {
		return err
	}
	return h.judgeFacts(h.to, h.before, after, states)
}

// judgeFacts prints what every node says of itself and asserts that it is at the
// minor's release, held, Ready, schedulable, with renewed certificates.
func (h *hop) judgeFacts(minor string, before, after map[string]hostFacts, states map[string]string) error {
	want, err := h.target(minor)
	if err != nil {
		return err
	}
	rows := [][]string{{"node", "kubelet", "kubeadm", "apiserver", "controller-manager", "scheduler", "etcd", "node is", "held", "certificates renewed"}}
	for _, n := range h.lab.Nodes() {
		rows = append(rows, h.judgeHost(n, before[n.Name], after[n.Name], states[n.Name], want))
	}
	h.judgeEtcd(before, after)
	h.printTable("Nodes at "+minor+", asked themselves", rows)
	h.printTable("Nodes before", h.factRows(before))
	return nil
}

func (h *hop) judgeHost(n node.Node, before, after hostFacts, state, want string) []string {
	h.check(after.Kubelet == want, "%s: kubelet is %s, want %s", n.Name, after.Kubelet, want)
	h.check(after.Kubeadm == want, "%s: kubeadm is %s, want %s", n.Name, after.Kubeadm, want)
	h.check(state == "Ready", "node %s is %s", n.Name, state)
	for _, p := range heldPackages {
		h.check(slices.Contains(after.Held, p), "%s: package %s is not held", n.Name, p)
	}
	renewed, stale := renewal(before.Certificates, after.Certificates)
	for _, s := range stale {
		h.check(false, "%s: certificate not renewed: %s", n.Name, s)
	}
	row := []string{n.Name, after.Kubelet, after.Kubeadm}
	for _, name := range staticPods {
		version := after.Static[name]
		if n.Role == node.RoleControlPlane && name != "etcd" {
			h.check(version == want, "%s: %s is %s, want %s", n.Name, name, version, want)
		}
		row = append(row, orDash(version))
	}
	certs := "-"
	if len(before.Certificates) > 0 {
		certs = fmt.Sprintf("%d of %d", renewed, len(before.Certificates))
	}
	if n.Role == node.RoleControlPlane {
		h.check(len(before.Certificates) > 0, "%s: no certificate was found before the upgrade", n.Name)
	}
	return append(row, state, strings.Join(after.Held, " "), certs)
}

// judgeEtcd wants all members at one version, none older than it was.
func (h *hop) judgeEtcd(was, after map[string]hostFacts) {
	versions := map[string]bool{}
	for name, f := range after {
		if v := f.Static["etcd"]; v != "" {
			versions[v] = true
			before := was[name].Static["etcd"]
			h.check(compareVersions(v, before) >= 0, "%s: etcd went from %s to %s", name, before, v)
		}
	}
	h.check(len(versions) == 1, "etcd members run different versions: %v", sortedNames(versions))
}

func (h *hop) factRows(facts map[string]hostFacts) [][]string {
	rows := [][]string{{"node", "kubelet", "kubeadm", "apiserver", "controller-manager", "scheduler", "etcd", "held"}}
	for _, n := range h.lab.Nodes() {
		f := facts[n.Name]
		row := []string{n.Name, f.Kubelet, f.Kubeadm}
		for _, name := range staticPods {
			row = append(row, orDash(f.Static[name]))
		}
		rows = append(rows, append(row, strings.Join(f.Held, " ")))
	}
	return rows
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// compareVersions compares dotted numbers, "v" in front or not.
func compareVersions(a, b string) int {
	parse := func(s string) []int {
		var out []int
		for part := range strings.SplitSeq(strings.TrimPrefix(s, "v"), ".") {
			n := 0
			_, _ = fmt.Sscanf(part, "%d", &n)
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(parse(a), parse(b))
}
