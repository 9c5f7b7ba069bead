package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// This file has the lanes that ways back of several scopes are made of.

// Files of a node, as backups have them.
const (
	manifests  = "/etc/kubernetes/manifests/"
	pki        = "/etc/kubernetes/pki/"
	kubeletRun = "/var/lib/kubelet/"
	etcdData   = "/var/lib/etcd"
)

// components are those of a control plane that move with the version of Kubernetes.
var components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// shortestLife is how long a certificate of before must last to be put back.
const shortestLife = 7 * 24 * time.Hour

// allPackages are what a node runs of Kubernetes.
var allPackages = []string{"kubeadm", "kubelet", "kubectl"}

// kubeletBack takes a node's kubelet back to what it was before the hop: emptied,
// stopped, the packages of before, its files, started. What runs on a control plane
// besides keeps its version.
func (r *rollback) kubeletBack(stage plan.StageName, n *nodeState, packages ...string) plan.Lane {
	var guards []plan.GateID
	if n.Role == cluster.ControlPlane {
		guards = r.othersReady(n)
	}
	lane := r.emptied(stage, n, r.policy.pool(n.Pool).Drain, guards)
	// The run that is taken back may have cordoned the node: that is not how it was found.
	lane[0].Args["found"] = foundAs(n)
	if n.member {
		lane = append(lane, r.moveLeader(stage, n, "kubelet-"))
	}
	old := r.before[n.Name].kubelet
	stop := r.unit(stage, n, "stop", plan.UnitStopped)
	start := r.unit(stage, n, "start", plan.UnitRunning)
	start.Args["component"], start.Args["version"] = effectKubelet, old.String()
	ready := []plan.GateID{gate("node-ready", n.Name, old.String())}
	start = r.gated(start, nil, ready)
	var guarded []plan.GateID
	if n.Role == cluster.ControlPlane {
		// A kubelet of another minor restarts the node's static pods.
		after := append(ready, r.stays(n)...)
		after = append(after, "apiservers-ready")
		start = r.gated(start, nil, append(after, r.storeGates("etcd-healthy")...))
		guarded = append(r.othersReady(n), r.storeGates("etcd-healthy")...)
		stop = r.gated(stop, guarded, nil)
	}
	inner := append(plan.Lane{stop}, r.packagesBack(stage, n, "kubelet-packages", packages...)...)
	inner = append(inner, r.filesBack(stage, n, "kubelet-files", "files", "the kubelet's files", r.kubeletFiles(n)), start)
	if n.Role == cluster.ControlPlane {
		inner = r.aroundRestart(stage, n, "kubelet-", guarded, inner)
	}
	lane = append(lane, inner...)
	return r.uncordoned(stage, n, append(lane, r.socketBack(stage, n)...), ready)
}

// socketBack notes a node's runtime again where kubeadm of before looks for it: in an
// annotation, which kubeadm of the newer minor removes once it has a file for it.
func (r *rollback) socketBack(stage plan.StageName, n *nodeState) plan.Lane {
	was := r.undone.Plan.Facts.Node(n.Name)
	newer, known := r.catalog.Minor(r.from.Line())
	dropped := known && newer.Apply(r.from, r.options).Does(catalog.PartDropsSocket) && !r.minor.Apply(r.to, r.options).Does(catalog.PartDropsSocket)
	if was == nil || was.CRISocket == "" || !dropped {
		return nil
	}
	kubeconfig := "/etc/kubernetes/kubelet.conf"
	if n.Role == cluster.ControlPlane {
		kubeconfig = "/etc/kubernetes/admin.conf"
	}
	argv := []string{"kubectl", "--kubeconfig", kubeconfig, "annotate", "--overwrite", "node", n.Name, "kubeadm.alpha.kubernetes.io/cri-socket=" + was.CRISocket}
	return plan.Lane{r.command(stage, n.Name, "cri-socket", "annotate", argv, shortTimeout)}
}

func foundAs(n *nodeState) string {
	if n.Cordoned {
		return plan.FoundCordoned
	}
	return plan.FoundSchedulable
}

// stays asks for the components at the version that they have now.
func (r *rollback) stays(n *nodeState) []plan.GateID {
	if n.control.IsZero() {
		return nil
	}
	return []plan.GateID{gate("static-pods", n.Name, n.control.String())}
}

// componentsBack takes a control plane's components back: their manifests and, where
// they still last, the certificates of before; the kubelet starts the pods anew. Also
// are further paths of the node's backup.
func (r *rollback) componentsBack(stage plan.StageName, n *nodeState, also ...string) plan.Lane {
	old := r.before[n.Name].control
	images := r.imagesStep(stage, n, "images-back", "images-again", "check the images of before once more", withSandbox(n, slices.Clone(r.images.ControlPlane)))
	// The manifests come last: what changes them makes the kubelet start the pods.
	paths := append(r.certificateFiles(n, false), also...)
	for _, c := range components {
		paths = append(paths, manifests+c+".yaml")
	}
	files := r.filesBack(stage, n, "components", "components-back", fmt.Sprintf("the manifests of API server, controller manager and scheduler, of %s", old), paths)
	files.Args["component"], files.Args["version"] = plan.ComponentControlPlane, old.String()
	before := r.othersReady(n)
	files = r.gated(files, before, []plan.GateID{gate("static-pods", n.Name, old.String()), "apiservers-ready"})
	return append(plan.Lane{images}, r.aroundRestart(stage, n, "", before, plan.Lane{files})...)
}

// memberBack takes an etcd member back to its binary of before, on its own data. Data
// that are not the others' any more are left behind: the member joins again, empty. One
// that crossed to another minor goes back while the others agreed on none above its old.
func (r *rollback) memberBack(stage plan.StageName, n *nodeState, crossed bool) plan.Lane {
	old, raised := r.before[n.Name].etcd, r.before[n.Name].raised
	image := r.memberImage(n)
	if raised.backup.Path != "" {
		old = raised.to
	}
	images := r.imagesStep(stage, n, "etcd-images-back", "images-again", "check the etcd image of before once more", withSandbox(n, []string{image, r.images.Pause}))
	lane := plan.Lane{images}
	if r.memberHealthy(n.Name) {
		lane = append(lane, r.moveLeader(stage, n, ""))
	}
	before := r.othersReady(n)
	if crossed {
		before = append(before, agreedBelow(n.Name, old, r.hop.Etcd)...)
	}
	back := r.filesBack(stage, n, "etcd", "etcd-back", fmt.Sprintf("etcd's manifest, of %s", old), append(r.certificateFiles(n, true), manifests+"etcd.yaml"))
	if raised.backup.Path != "" {
		back.Args["archive"], back.Args["digest"] = raised.backup.Path, raised.backup.Digest
	}
	back.Args["component"], back.Args["version"] = plan.ComponentEtcd, old.String()
	after := []plan.GateID{gate("etcd-member", n.Name, old.String()), "etcd-healthy", "etcd-data-equal", "apiservers-ready"}
	if len(r.state.members()) < 2 {
		return append(lane, r.aroundRestart(stage, n, "", before, plan.Lane{r.gated(back, before, after)})...)
	}
	// A member whose data kubeadm put back from a copy may not even start: that is for
	// the rejoin to see, so nothing is asked before it.
	rejoin := r.step(plan.KindRejoin, stage, n.Name, "rejoin", "rejoin", "see to it that the member's data are those of the others; if not, it joins again, empty")
	rejoin.Args["member"], rejoin.Args["dataDir"] = n.Name, r.dataDirectory(n.Name)
	rejoin.Args["manifest"], rejoin.Args["version"] = manifests+"etcd.yaml", old.String()
	inner := plan.Lane{r.gated(back, before, nil), r.gated(rejoin, nil, after)}
	return append(lane, r.aroundRestart(stage, n, "", before, inner)...)
}

// etcdImage is the image that the member ran when the hop began, and took the hop's
// snapshot with: of the node's own pod where it was seen.
func (r *rollback) etcdImage(n *nodeState) string {
	if was := r.undone.Plan.Facts.Node(n.Name); was != nil {
		if pod := was.Static("etcd"); pod != nil && pod.Version == r.before[n.Name].etcd && pod.Image != "" {
			return pod.Image
		}
	}
	return r.images.Etcd
}

// memberImage is the image that the member goes back to on its own data: what the hop
// raised it to, where it did.
func (r *rollback) memberImage(n *nodeState) string {
	if raised := r.before[n.Name].raised; raised.backup.Path != "" {
		return raised.image
	}
	return r.etcdImage(n)
}

func (r *rollback) memberHealthy(node string) bool {
	return slices.ContainsFunc(r.facts.Etcd.Members, func(m cluster.Member) bool { return m.Node == node && m.Healthy })
}

// packagesBack puts packages of before in the place of those that are installed; they
// are kubeadm, kubelet and kubectl unless others are given. The steps have that name.
func (r *rollback) packagesBack(stage plan.StageName, n *nodeState, name string, packages ...string) plan.Lane {
	var lane plan.Lane
	for i, group := range r.groups(n, packages) {
		s := r.step(plan.KindPackages, stage, n.Name, numbered(name, i), "package-back", "go back to "+group.title())
		s.Args = r.pinArgs(n, group)
		s.Args["downgrade"] = "true"
		s.WayBack = plan.WayBackNode
		lane = append(lane, s)
	}
	return lane
}

// fetchBack downloads the packages of before.
func (r *rollback) fetchBack(stage plan.StageName, n *nodeState, packages ...string) plan.Lane {
	var lane plan.Lane
	for i, group := range r.groups(n, packages) {
		s := reads(r.step(plan.KindFetch, stage, n.Name, numbered("fetch", i), "fetch", "download "+group.title()))
		s.Args = r.pinArgs(n, group)
		s.Args["downgrade"] = "true"
		lane = append(lane, s)
	}
	return lane
}

func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

// packageGroup are packages of one version: an installation proves one version of its
// binaries.
type packageGroup struct {
	version cluster.Version
	pins    []string // name=revision
	held    bool
}

func (g packageGroup) title() string { return strings.ReplaceAll(strings.Join(g.pins, ", "), "=", " ") }

func (r *rollback) groups(n *nodeState, names []string) []packageGroup {
	if len(names) == 0 {
		names = allPackages
	}
	byVersion := map[cluster.Version]packageGroup{}
	for _, name := range names {
		p, known := r.before[n.Name].packages[name]
		pinned := name + "=" + p.revision
		g := byVersion[p.version]
		if !known || slices.Contains(g.pins, pinned) {
			continue
		}
		g.version, g.held = p.version, g.held || p.held
		g.pins = append(g.pins, pinned)
		byVersion[p.version] = g
	}
	return slices.SortedFunc(maps.Values(byVersion), func(a, b packageGroup) int { return b.version.Compare(a.version) })
}

// pinArgs are what fetch and packages have in common, as in packageArgs.
func (r *rollback) pinArgs(n *nodeState, g packageGroup) map[string]string {
	of := *r.hopBuilder
	of.to = g.version
	args := of.packageArgs(n)
	args["packages"] = strings.Join(g.pins, "\n")
	delete(args, "hold")
	if g.held {
		args["hold"] = "true"
	}
	return args
}

// unit starts or stops the kubelet.
func (r *rollback) unit(stage plan.StageName, n *nodeState, name, want string) plan.Step {
	s := r.step(plan.KindUnit, stage, n.Name, name, "unit", name+" the kubelet")
	s.Args["unit"], s.Args["want"] = "kubelet", want
	s.WayBack = plan.WayBackNode
	return s
}

// filesBack puts files of the node's backup back.
func (r *rollback) filesBack(stage plan.StageName, n *nodeState, name, estimate, what string, paths []string) plan.Step {
	s := r.step(plan.KindFiles, stage, n.Name, name, estimate, "put back "+what)
	backup := r.before[n.Name].backup
	s.Args["archive"], s.Args["digest"] = backup.Path, backup.Digest
	s.Args["paths"] = strings.Join(paths, "\n")
	s.WayBack = plan.WayBackNode
	return s
}

// kubeletFiles are the paths that say how the kubelet is started, and where its packages
// come from. What else the backup has is for whoever repairs the node by hand.
func (r *rollback) kubeletFiles(n *nodeState) []string {
	paths := kubeletPaths()
	if file := r.policy.Packages.RepositoryFile; file != "" {
		paths = append(paths, file)
	}
	if r.unrenewed(n, "kubelet.conf") {
		paths = append(paths, "/etc/kubernetes/kubelet.conf")
	}
	return paths
}

// unrenewed tells whether a certificate, as far as it is known, ends when it ended
// before the hop.
func (r *rollback) unrenewed(n *nodeState, name string) bool {
	was, known := r.before[n.Name].certificates[name]
	is := n.certificate(name)
	return !known || is == nil || is.NotAfter.Equal(was)
}

// certificateFiles are the certificates of before that still last: etcd's own, or all
// others.
func (r *rollback) certificateFiles(n *nodeState, ofEtcd bool) []string {
	var out []string
	was := r.before[n.Name].certificates
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if was[name].Before(r.policy.Now.Add(shortestLife)) || name == "kubelet.conf" || r.ofEtcd(name) != ofEtcd {
			continue
		}
		if now := n.certificate(name); now != nil && now.External {
			continue
		}
		out = append(out, certificatePaths(name)...)
	}
	return out
}

// ofEtcd tells whether kubeadm renews a certificate with etcd.
func (r *rollback) ofEtcd(name string) bool {
	return slices.Contains(r.catalog.EtcdCertificates(), name)
}

// certificatePaths are where kubeadm has a certificate, by the name that `kubeadm
// certs check-expiration` gives it.
func certificatePaths(name string) []string {
	if strings.HasSuffix(name, ".conf") {
		return []string{"/etc/kubernetes/" + name}
	}
	file := pki + name
	if rest, etcd := strings.CutPrefix(name, "etcd-"); etcd {
		file = pki + "etcd/" + rest
	}
	return []string{file + ".crt", file + ".key"}
}

// reopen records in the run that is taken back what no longer stands: those steps, or,
// without any, the whole run.
func (r *rollback) reopen(steps []string) plan.Step {
	title := fmt.Sprintf("record in run %s that %d of its steps no longer stand", r.undone.Run, len(steps))
	if len(steps) == 0 {
		title = fmt.Sprintf("record in run %s that it was rolled back", r.undone.Run)
	}
	s := reads(r.step(plan.KindReopen, plan.WorkloadStage, "", "reopen", "reopen", title))
	s.Args["run"], s.Args["steps"] = r.undone.Run, strings.Join(steps, "\n")
	return s
}

// baselineNow records the workloads as the rollback finds them.
func (r *rollback) baselineNow() plan.Step {
	s := reads(r.step(plan.KindBaseline, plan.Prepare, "", "baseline", "baseline", "record workloads, pods and restarts as they are now"))
	s.Args["hop"] = r.to.Line().String()
	return s
}

// notice adds a sentence about the rollback.
func (r *rollback) notice(consent bool, format string, args ...any) {
	r.notices = append(r.notices, plan.Notice{Consent: consent, Text: fmt.Sprintf(format, args...)})
}
