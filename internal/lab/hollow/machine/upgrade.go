package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// How long kubeadm's own doings take on a real machine.
const (
	preflightTime = 10 * time.Second
	uploadTime    = 2 * time.Second
	configTime    = 3 * time.Second
	addonTime     = 5 * time.Second
	certTime      = 2 * time.Second
)

// upgrade is what kubeadm knows of the cluster and the node that it upgrades.
type upgrade struct {
	api          Objects
	config       *manifest.Config
	to           cluster.Version // of the control plane
	images       catalog.Images
	controlPlane bool // this node is one
	socket       string
}

// phases of kubeadm upgrade, in order, with the minor that has them for apply and
// for node.
var (
	applyPhases = []string{"preflight", "control-plane", "upload-config", "kubeconfig", "kubelet-config", "bootstrap-token", "addon", "post-upgrade"}
	nodePhases  = []string{"preflight", "control-plane", "kubeconfig", "kubelet-config", "addon", "post-upgrade"}
)

var (
	phasesSplit = minor(32) // kubeadm that has phases of apply, and addon as one of node
	addonsLast  = minor(28) // kubeadm that leaves the add-ons to the last control plane
	localMode   = minor(33) // kubeadm that points a control plane's kubelet to its own API server
)

// skipped are the phases to be left out; an error for one that does not exist.
func (r *kubeadmRun) skipped(phases []string) ([]string, error) {
	skip := r.list("skip-phases")
	for _, name := range skip {
		whole, _, _ := strings.Cut(name, "/")
		if !slices.Contains(phases, whole) || r.line().Less(phasesSplit) && (whole == "addon" || whole == "post-upgrade") {
			return nil, fmt.Errorf("invalid phase name: %s", name)
		}
	}
	return skip, nil
}

// load reads the cluster's configuration, as every upgrade does first.
func (r *kubeadmRun) load() (*upgrade, error) {
	if dir := r.flags["patches"]; dir != "" {
		if err := r.checkPatches(dir); err != nil {
			return nil, err
		}
	}
	api, err := r.m.cfg.API()
	if err != nil {
		return nil, fmt.Errorf("[upgrade] FATAL: failed to get config map: %w", err)
	}
	r.say("[upgrade/config] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...")
	stored, err := get[corev1.ConfigMap](api, resourceConfigMaps, systemNamespace, kubeadmConfigMap)
	if apierrors.IsNotFound(err) {
		return nil, errors.New("[upgrade] FATAL: the ConfigMap \"kubeadm-config\" in the \"kube-system\" namespace was not found")
	}
	if err != nil {
		return nil, fmt.Errorf("[upgrade] FATAL: failed to get config map: %w", err)
	}
	u := &upgrade{api: api}
	if u.config, err = manifest.ReadConfig(stored.Data[clusterConfigKey]); err != nil {
		return nil, fmt.Errorf("[upgrade] FATAL: %w", err)
	}
	if u.to, err = u.config.Version(); err != nil {
		return nil, fmt.Errorf("[upgrade] FATAL: %w", err)
	}
	if u.to.Line().Next().Less(r.line()) {
		return nil, fmt.Errorf("[upgrade] FATAL: this version of kubeadm only supports deploying clusters with the control plane version >= %d.%d.0. Current version: %s", r.line().Major, r.line().Minor-1, u.to)
	}
	if _, err := r.p.FS.Stat(manifest.Dir + "/" + apiServer + ".yaml"); err == nil {
		u.controlPlane = true
	}
	if u.socket, err = r.socket(api); err != nil {
		return nil, fmt.Errorf("[upgrade] FATAL: failed to get node registration: %w", err)
	}
	return u, r.retarget(u, u.to)
}

// retarget has the upgrade go to a version.
func (r *kubeadmRun) retarget(u *upgrade, to cluster.Version) (err error) {
	u.to, u.config = to, u.config.At(to)
	u.images, err = u.config.Images(r.m.cfg.Catalog, r.line())
	return err
}

// checkPatches: kubeadm wants the directory; the model applies no patches.
func (r *kubeadmRun) checkPatches(dir string) error {
	entries, err := r.p.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("could not list patch files for path %q: %w", dir, err)
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("hollow kubeadm applies no patches, and %s has some", dir)
	}
	return nil
}

// socket finds where the runtime listens: in the node's annotation or, for a kubeadm
// that knows of it, in the node's own file.
func (r *kubeadmRun) socket(api Objects) (string, error) {
	n, err := get[corev1.Node](api, resourceNodes, "", r.m.cfg.Name)
	if err != nil {
		return "", fmt.Errorf("failed to get corresponding node: %w", err)
	}
	if _, err := r.p.FS.Stat(manifest.KubeletInstance); err == nil && !r.line().Less(manifest.LocalSocket) {
		return manifest.Socket, nil
	}
	socket, there := n.Annotations[annotationSocket]
	if !there {
		return "", fmt.Errorf("node %s doesn't have %s annotation", r.m.cfg.Name, annotationSocket)
	}
	return socket, nil
}

// writer writes the manifests that the upgrade brings.
func (r *kubeadmRun) writer(u *upgrade) *manifest.Writer {
	return &manifest.Writer{Kubeadm: r.line(), Config: u.config, Images: u.images, Node: r.m.cfg.Name, IP: r.m.cfg.IP}
}

// apply is kubeadm upgrade apply.
func (r *kubeadmRun) apply(ctx context.Context) error {
	skip, err := r.skipped(applyPhases)
	if err != nil {
		return err
	}
	to, err := cluster.ParseVersion(r.words[0])
	if err != nil {
		return fmt.Errorf("couldn't parse Kubernetes version %q", r.words[0])
	}
	u, err := r.load()
	if err != nil {
		return err
	}
	from := u.to
	if err := r.retarget(u, to); err != nil {
		return err
	}
	if !u.controlPlane {
		return fmt.Errorf("manifest files not found: [%s/%s.yaml]", manifest.Dir, apiServer)
	}
	if err := r.preflightApply(ctx, u, from, slices.Contains(skip, "preflight")); err != nil {
		return err
	}
	if r.on("dry-run", false) {
		r.say("[upgrade/successful] Finished dryrunning successfully!")
		return nil
	}
	r.m.mutated(r.p.Args)
	for _, phase := range applyPhases[1:] {
		if slices.Contains(skip, phase) {
			continue
		}
		if err := r.phase(ctx, u, phase); err != nil {
			return err
		}
	}
	r.say("\n[upgrade] SUCCESS! A control plane node of your cluster was upgraded to %q.\n", to)
	return nil
}

// node is kubeadm upgrade node.
func (r *kubeadmRun) node(ctx context.Context) error {
	skip, err := r.skipped(nodePhases)
	if err != nil {
		return err
	}
	u, err := r.load()
	if err != nil {
		return err
	}
	if !slices.Contains(skip, "preflight") {
		if err := r.preflightNode(ctx, u); err != nil {
			return err
		}
	}
	if !r.on("dry-run", false) {
		r.m.mutated(r.p.Args)
	}
	for _, phase := range nodePhases[1:] {
		if slices.Contains(skip, phase) {
			continue
		}
		if err := r.phase(ctx, u, phase); err != nil {
			return err
		}
	}
	r.say("[upgrade] The configuration for this node was successfully updated!\n[upgrade] Now you should go ahead and upgrade the kubelet package using your package manager.")
	return nil
}

// phase runs one phase of apply or node.
func (r *kubeadmRun) phase(ctx context.Context, u *upgrade, name string) error {
	switch name {
	case "control-plane":
		return r.upgradeControlPlane(ctx, u)
	case "upload-config":
		return r.uploadConfig(ctx, u)
	case "kubeconfig":
		return r.kubeconfig(ctx, u)
	case "kubelet-config":
		return r.kubeletConfig(ctx, u)
	case "addon":
		return r.addons(ctx, u, "coredns", "kube-proxy")
	}
	return nil // bootstrap-token and post-upgrade leave nothing that is modelled
}

// single runs one phase of node as a command of its own.
func (r *kubeadmRun) single(run func(u *upgrade) error) error {
	u, err := r.load()
	if err != nil {
		return err
	}
	if !r.on("dry-run", false) {
		r.m.mutated(r.p.Args)
	}
	return run(u)
}

func (r *kubeadmRun) phaseControlPlane(ctx context.Context) error {
	return r.single(func(u *upgrade) error { return r.upgradeControlPlane(ctx, u) })
}

func (r *kubeadmRun) phaseKubeletConfig(ctx context.Context) error {
	return r.single(func(u *upgrade) error { return r.kubeletConfig(ctx, u) })
}

func (r *kubeadmRun) phaseCoreDNS(ctx context.Context) error {
	return r.single(func(u *upgrade) error { return r.addons(ctx, u, "coredns") })
}

func (r *kubeadmRun) phaseKubeProxy(ctx context.Context) error {
	return r.single(func(u *upgrade) error { return r.addons(ctx, u, "kube-proxy") })
}

func (r *kubeadmRun) phaseAddons(ctx context.Context) error {
	return r.single(func(u *upgrade) error { return r.addons(ctx, u, "coredns", "kube-proxy") })
}
