package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// finding is a failed check of kubeadm's preflight.
type finding struct {
	check string
	err   error
}

// verdict is the error of findings that are not to be ignored; nil without any.
func (r *kubeadmRun) verdict(findings []finding) error {
	ignored := r.list("ignore-preflight-errors")
	var lines []string
	for _, f := range findings {
		fold := func(name string) bool { return strings.EqualFold(name, f.check) || strings.EqualFold(name, "all") }
		if slices.ContainsFunc(ignored, fold) {
			_, _ = fmt.Fprintf(r.p.Stderr, "\t[WARNING %s]: %v\n", f.check, f.err)
			continue
		}
		lines = append(lines, fmt.Sprintf("\t[ERROR %s]: %v\n", f.check, f.err))
	}
	if len(lines) == 0 {
		return nil
	}
	return &kubeadmError{kubeadmPreflight, fmt.Errorf("[preflight] Some fatal errors occurred:\n%s[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`", strings.Join(lines, ""))}
}

// preflightApply is the preflight of apply: the cluster's health, the versions, and
// the images.
func (r *kubeadmRun) preflightApply(ctx context.Context, u *upgrade, from cluster.Version, skip bool) error {
	if skip {
		return nil
	}
	r.say("[upgrade/preflight] Running preflight checks\n[upgrade] Running cluster health checks")
	if err := r.m.wait(ctx, preflightTime); err != nil {
		return err
	}
	nodes, err := list[corev1.Node](u.api, resourceNodes, "", nil)
	if err != nil {
		return fmt.Errorf("could not list nodes: %w", err)
	}
	if err := r.verdict(r.health(nodes)); err != nil {
		return err
	}
	r.say("[upgrade/preflight] You have chosen to upgrade the cluster version to %q", u.to)
	mandatory, skippable := r.skew(u.to, from, nodes)
	if len(mandatory) > 0 {
		return fmt.Errorf("the version argument is invalid due to these fatal errors:\n\n%s\nPlease fix the misalignments highlighted above and try upgrading again", bullets(mandatory))
	}
	if len(skippable) > 0 && !r.on("force", r.on("f", false)) {
		return fmt.Errorf("the version argument is invalid due to these errors:\n\n%s\nCan be bypassed if you pass the --force flag", bullets(skippable))
	}
	if !r.on("yes", r.on("y", false)) && !r.on("force", r.on("f", false)) {
		return errors.New("[upgrade] Are you sure you want to proceed? [y/N]: won't proceed; the user didn't answer (Y|y) in order to continue")
	}
	return r.pullControlPlane(ctx, u)
}

// health looks at what must be well before an upgrade.
func (r *kubeadmRun) health(nodes []*corev1.Node) []finding {
	var out []finding
	var notReady []string
	open, ready := 0, 0
	for _, n := range nodes {
		_, controls := n.Labels[labelControlPlane]
		isReady := nodeIsReady(n)
		if controls && !isReady {
			notReady = append(notReady, n.Name)
		}
		if !n.Spec.Unschedulable {
			open++
			if isReady {
				ready++
			}
		}
	}
	if open > 0 && ready == 0 {
		out = append(out, finding{"CreateJob", errors.New("Job \"upgrade-health-check\" in the namespace \"kube-system\" did not complete in 15s: no condition of type Complete")}) //nolint:staticcheck,revive // kubeadm's words
	}
	if len(notReady) > 0 {
		out = append(out, finding{"ControlPlaneNodesReady", fmt.Errorf("there are NotReady control-planes in the cluster: %v", notReady)})
	}
	var missing []string
	for _, component := range manifest.Components() {
		file := manifest.Dir + "/" + component + ".yaml"
		if _, err := r.p.FS.Stat(file); err != nil {
			missing = append(missing, file)
		}
	}
	if len(missing) > 0 {
		out = append(out, finding{"StaticPodManifest", fmt.Errorf("manifest files not found: %v", missing)})
	}
	return out
}

func nodeIsReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// skew is kubeadm's version policy: what cannot be forced, and what can.
func (r *kubeadmRun) skew(to, from cluster.Version, nodes []*corev1.Node) (mandatory, skippable []string) {
	r.say("[upgrade/versions] Cluster version: %s\n[upgrade/versions] kubeadm version: %s", from, r.version)
	const atOnce = 1
	if to.Line().Minor > from.Line().Minor+atOnce {
		mandatory = append(mandatory, fmt.Sprintf("Specified version to upgrade to %q is too high; kubeadm can upgrade only %d minor version at a time", to, atOnce))
	}
	if to.Line().Minor+atOnce < from.Line().Minor {
		mandatory = append(mandatory, fmt.Sprintf("Specified version to downgrade to %q is too low; kubeadm can downgrade only %d minor version at a time", to, atOnce))
	}
	switch {
	case r.line().Less(to.Line()):
		mandatory = append(mandatory, fmt.Sprintf("Specified version to upgrade to %q is at least one minor release higher than the kubeadm minor release (%d > %d). Such an upgrade is not supported", to, to.Line().Minor, r.line().Minor))
	case r.version.Less(to):
		skippable = append(skippable, fmt.Sprintf("Specified version to upgrade to %q is higher than the kubeadm version %q. Upgrade kubeadm first using the tool you used to install kubeadm", to, r.version))
	case to.Line().Less(r.line()):
		skippable = append(skippable, fmt.Sprintf("Kubeadm version %s can only be used to upgrade to Kubernetes version %s", r.version, r.line()))
	}
	behind := uint64(1)
	if row, ok := r.m.cfg.Catalog.Minor(r.line()); ok {
		behind = row.KubeletBehind()
	}
	var old, ahead []string
	for _, n := range nodes {
		v, err := cluster.ParseVersion(n.Status.NodeInfo.KubeletVersion)
		if err != nil {
			continue
		}
		if to.Line().Minor > v.Line().Minor+behind && !slices.Contains(old, v.String()) {
			old = append(old, v.String())
		}
		if to.Line().Less(v.Line()) && !slices.Contains(ahead, v.String()) {
			ahead = append(ahead, v.String())
		}
	}
	if len(old) > 0 {
		skippable = append(skippable, fmt.Sprintf("There are kubelets in this cluster that are too old that have these versions %v", old))
	}
	if len(ahead) > 0 {
		skippable = append(skippable, fmt.Sprintf("the kubelet version is higher than the control plane version. This is not a supported version skew and may lead to a malfunctional cluster. Kubelet versions: %v Control plane version: %q", ahead, to))
	}
	return mandatory, skippable
}

func bullets(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("\t- " + line + "\n")
	}
	return b.String()
}

// preflightNode is the preflight of node.
func (r *kubeadmRun) preflightNode(ctx context.Context, u *upgrade) error {
	r.say("[upgrade/preflight] Running pre-flight checks")
	if !u.controlPlane {
		r.say("[upgrade/preflight] Skipping prepull. Not a control plane node.")
		return nil
	}
	if err := r.m.wait(ctx, preflightTime); err != nil {
		return err
	}
	return r.pullControlPlane(ctx, u)
}

// pullControlPlane pulls the images of a control plane.
func (r *kubeadmRun) pullControlPlane(ctx context.Context, u *upgrade) error {
	if r.on("dry-run", false) {
		r.say("[dryrun] Would pull the required images (like 'kubeadm config images pull')")
		return nil
	}
	r.say("[upgrade/preflight] Pulling images required for setting up a Kubernetes cluster")
	var findings []finding
	for _, image := range imagesOf(u.images) {
		if err := r.m.pull(ctx, image); err != nil {
			if ctx.Err() != nil {
				return err
			}
			findings = append(findings, finding{"ImagePull", fmt.Errorf("failed to pull image %s: %w", image, err)})
		}
	}
	return r.verdict(findings)
}
