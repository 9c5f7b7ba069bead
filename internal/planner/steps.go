package planner

import (
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// kubeadm gives itself five minutes for each component it restarts; these are
// beyond the sum of what each command may take by kubeadm's own time-outs.
const (
	upgradeTimeout = 30 * time.Minute
	shortTimeout   = 10 * time.Minute
)

// id names a step: minor/stage/node/name, without the node for cluster steps.
func (h *hopBuilder) id(stage plan.StageName, node, name string) string {
	parts := []string{h.to.Line().String(), string(stage)}
	if node != "" {
		parts = append(parts, node)
	}
	return strings.Join(append(parts, name), "/")
}

// step makes a step; estimate is the name of the catalog's row.
func (h *hopBuilder) step(kind plan.Kind, stage plan.StageName, node, name, estimate, title string) plan.Step {
	if node != "" {
		h.touched[node] = true
	}
	s := plan.Step{
		ID: h.id(stage, node, name), Kind: kind, Node: node, Title: title,
		Args: map[string]string{}, WayBack: plan.WayBackNothing, Mutates: true,
		Estimate: h.catalog.Estimate(estimate),
	}
	if took, known := h.policy.took(s.ID); known {
		s.Estimate = took
	}
	return s
}

// reads marks a step that leaves the running cluster as it is.
func reads(s plan.Step) plan.Step {
	s.Mutates = false
	return s
}

// gated sets the gates and adds the time they must hold: gates of one side are
// asked side by side. A duration that was measured has the gates after the step.
func (h *hopBuilder) gated(s plan.Step, before, after []plan.GateID) plan.Step {
	s.Before, s.After = before, after
	if len(before) > 0 {
		s.Estimate += h.policy.GateSustain
	}
	if _, known := h.policy.took(s.ID); len(after) > 0 && !known {
		s.Estimate += h.policy.GateSustain
	}
	return s
}

func gate(name, subject, version string) plan.GateID {
	id := name
	if subject != "" || version != "" {
		id += ":" + subject
	}
	if version != "" {
		id += "@" + version
	}
	return plan.GateID(id)
}

// atMost is a wave of lanes of which so many go side by side; none where there are no
// lanes.
func atMost(width int, lanes ...plan.Lane) []plan.Wave {
	lanes = slices.DeleteFunc(lanes, func(l plan.Lane) bool { return len(l) == 0 })
	if len(lanes) == 0 {
		return nil
	}
	return []plan.Wave{{Parallel: min(width, len(lanes)), Lanes: lanes}}
}

// one is a wave of lanes that go one at a time; none where there are no lanes.
func one(lanes ...plan.Lane) []plan.Wave { return atMost(1, lanes...) }

// staged gives a stage, none where there are no waves.
func staged(name plan.StageName, waves ...[]plan.Wave) []plan.Stage {
	all := slices.Concat(waves...)
	if len(all) == 0 {
		return nil
	}
	return []plan.Stage{{Name: name, Waves: all}}
}

// command runs argv on the node. Done is the execution's own record: every one
// of these commands may be run again when its record was lost.
func (h *hopBuilder) command(stage plan.StageName, node, name, estimate string, argv []string, timeout time.Duration) plan.Step {
	s := h.step(plan.KindCommand, stage, node, name, estimate, strings.Join(argv, " "))
	s.Args["argv"] = plan.JoinArgv(argv...)
	s.Args["done"] = plan.DoneExecution
	s.Args["timeout"] = timeout.String()
	s.WayBack = plan.WayBackNode
	return s
}

// packageArgs are what fetch and packages have in common.
func (h *hopBuilder) packageArgs(n *nodeState, names ...string) map[string]string {
	p := h.policy.Packages
	var pins []string
	for _, name := range names {
		pins = append(pins, name+"="+h.revision)
	}
	args := map[string]string{
		"manager":  p.Manager,
		"packages": strings.Join(pins, "\n"),
		"version":  h.to.String(),
	}
	if p.Manager == "binaries" {
		r := strings.NewReplacer("{version}", h.to.String(), "{arch}", n.Arch, "{minor}", h.to.Line().String(), "{url}", p.BinaryURL)
		args["url"] = r.Replace(p.BinaryURL)
		args["checksumURL"] = r.Replace(r.Replace(p.ChecksumURL))
		return args
	}
	args["repository"] = strings.ReplaceAll(p.Repository, "{minor}", h.to.Line().String())
	args["repositoryFile"] = p.RepositoryFile
	args["signingKey"] = p.SigningKey
	args["lockTimeout"] = p.LockTimeout.String()
	if p.Hold {
		args["hold"] = "true"
	}
	return args
}

// kubeadmPackage is the step that brings kubeadm of the target, none when the
// node has it.
func (h *hopBuilder) kubeadmPackage(stage plan.StageName, n *nodeState) plan.Lane {
	if h.equipped[n.Name] {
		return nil
	}
	h.equipped[n.Name] = true
	s := h.step(plan.KindPackages, stage, n.Name, "kubeadm", "package-kubeadm", "install kubeadm "+h.revision)
	s.Args = h.packageArgs(n, "kubeadm")
	s.WayBack = plan.WayBackNode
	return plan.Lane{s}
}

// kubeletPackages is the swap: kubelet and kubectl, and the kubelet restarted.
func (h *hopBuilder) kubeletPackages(stage plan.StageName, n *nodeState) plan.Step {
	s := h.step(plan.KindPackages, stage, n.Name, "kubelet", "package-kubelet", "install kubelet and kubectl "+h.revision+", restart the kubelet")
	s.Args = h.packageArgs(n, "kubelet", "kubectl")
	s.Args["restart"] = "kubelet"
	s.WayBack = plan.WayBackNode
	return s
}

func (h *hopBuilder) imagesStep(stage plan.StageName, n *nodeState, name, estimate, title string, images []string) plan.Step {
	s := h.step(plan.KindImages, stage, n.Name, name, estimate, title)
	s.Args["images"] = strings.Join(images, "\n")
	s.Args["socket"] = n.CRISocket
	return reads(s)
}

// nodeImages are what the node needs during and after the hop.
func (h *hopBuilder) nodeImages(n *nodeState) []string {
	i := h.images
	var out []string
	if n.Role == cluster.ControlPlane {
		out = append(out, i.ControlPlane...)
		if n.member {
			out = append(out, i.Etcd)
		}
	}
	out = append(out, i.KubeProxy, i.CoreDNS, i.Pause)
	return withSandbox(n, out)
}

// withSandbox adds the runtime's own sandbox image, without which no pod starts.
func withSandbox(n *nodeState, images []string) []string {
	if n.Host == nil || n.Host.SandboxImage == "" {
		return images
	}
	for _, image := range images {
		if image == n.Host.SandboxImage {
			return images
		}
	}
	return append(images, n.Host.SandboxImage)
}

// balancer is the load balancer's command before or after an API server's
// restart; nothing when none is configured.
func (h *hopBuilder) balancer(stage plan.StageName, n *nodeState, name, title string, argv []string, before []plan.GateID) plan.Lane {
	if len(argv) == 0 {
		return nil
	}
	s := h.step(plan.KindLocal, stage, n.Name, name, "local", title)
	r := strings.NewReplacer("{node}", n.Name, "{address}", n.Address)
	var out []string
	for _, word := range argv {
		out = append(out, r.Replace(word))
	}
	s.Args["argv"] = plan.JoinArgv(out...)
	return plan.Lane{h.gated(s, before, nil)}
}

// balanced puts an API server back into the load balancer.
func (h *hopBuilder) balanced(stage plan.StageName, n *nodeState, prefix string) plan.Lane {
	return h.balancer(stage, n, prefix+"lb-restore", "put the API server of "+n.Name+" back into the load balancer", h.policy.LoadBalancer.Restore, nil)
}

// aroundRestart puts the steps that restart an API server between the load
// balancer's commands.
func (h *hopBuilder) aroundRestart(stage plan.StageName, n *nodeState, prefix string, before []plan.GateID, inner plan.Lane) plan.Lane {
	lane := h.balancer(stage, n, prefix+"lb-drain", "take the API server of "+n.Name+" out of the load balancer", h.policy.LoadBalancer.Drain, before)
	lane = append(lane, inner...)
	return append(lane, h.balanced(stage, n, prefix)...)
}

// emptied is cordon and drain.
func (h *hopBuilder) emptied(stage plan.StageName, n *nodeState, d Drain, before []plan.GateID) plan.Lane {
	cordon := h.gated(h.step(plan.KindCordon, stage, n.Name, "cordon", "cordon", "cordon "+n.Name), before, nil)
	drain := h.step(plan.KindDrain, stage, n.Name, "drain", "drain", "drain "+n.Name)
	drain.Args = map[string]string{
		"timeout":            d.Timeout.String(),
		"gracePeriod":        d.GracePeriod.String(),
		"deleteEmptyDirData": boolean(d.DeleteEmptyDirData),
		"force":              boolean(d.Force),
	}
	return plan.Lane{cordon, drain}
}

// uncordoned ends a lane: the node takes pods again, unless it took none before
// kup came. Gates go on whichever step is the last.
func (h *hopBuilder) uncordoned(stage plan.StageName, n *nodeState, lane plan.Lane, after []plan.GateID) plan.Lane {
	if n.Cordoned {
		last := &lane[len(lane)-1]
		last.After = append(last.After, after...)
		return lane
	}
	s := h.step(plan.KindUncordon, stage, n.Name, "uncordon", "uncordon", "uncordon "+n.Name)
	return append(lane, h.gated(s, nil, after))
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
