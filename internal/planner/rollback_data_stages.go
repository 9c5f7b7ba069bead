package planner

import (
	"fmt"
	"maps"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// etcdPort is where kubeadm's members listen for clients, apiPort where its API servers
// do unless they say otherwise.
const (
	etcdPort = "2379"
	apiPort  = "6443"
	// podGrace is how many seconds the containers of a pod that ends get: Kubernetes'
	// own default.
	podGrace = "30"
)

// prepare brings everything to the nodes while all still runs, or at least while
// nothing was stopped: whoever cannot go back is found out here.
func (d *dataBuilder) prepare() []plan.Wave {
	// One at a time: unpacking images starves etcd beside it.
	controlPlanes := one(lanesOf(d.state.controlPlanes(), d.prepareNode)...)
	return append(controlPlanes, atMost(maxPrepare, lanesOf(d.state.withRole(cluster.Worker), d.prepareNode)...)...)
}

func (d *dataBuilder) prepareNode(n *nodeState) plan.Lane {
	lane := d.bring(n, d.movedPackages(n.Name), d.imagesBack(n, d.etcdImage(n)))
	runtime := reads(d.command(plan.Prepare, n.Name, "runtime", "runtime", []string{"crictl", "--runtime-endpoint", socketOf(n), "pods", "--quiet"}, shortTimeout))
	runtime.WayBack = plan.WayBackNothing
	runtime.Title = "ask the container runtime with crictl, which stops pods later"
	lane = append(lane, runtime)
	if !n.member {
		return lane
	}
	restorable := reads(d.step(plan.KindRestorable, plan.Prepare, n.Name, "restorable", "restorable",
		fmt.Sprintf("keep the programs of etcd %s, which the restore needs", d.before[n.Name].etcd.Bare())))
	restorable.Args = d.programs(n)
	restorable.Args["bump"] = "true"
	return append(lane, restorable, d.deliver(n))
}

func socketOf(n *nodeState) string {
	switch {
	case n.CRISocket == "":
		return "unix:///run/containerd/containerd.sock"
	case strings.HasPrefix(n.CRISocket, "/"):
		return "unix://" + n.CRISocket
	}
	return n.CRISocket
}

// programs are what the steps with etcd's own programs have in common. The run that is
// taken back keeps them on the node already.
func (d *dataBuilder) programs(n *nodeState) map[string]string {
	version := d.before[n.Name].etcd.Bare()
	return map[string]string{
		"version": version, "image": d.etcdImage(n), "socket": n.CRISocket,
		"programs": path.Join(onHosts, d.undone.Run, "etcd-"+version),
	}
}

// deliver puts the snapshot on a member's node: from this machine, or from the control
// planes that the run that is taken back kept it on.
func (d *dataBuilder) deliver(n *nodeState) plan.Step {
	s := reads(d.step(plan.KindDeliver, plan.Prepare, n.Name, "snapshot", "deliver", "see to it that the snapshot is on the node, whole, and that there is room to restore it"))
	var from []string
	for _, cp := range d.state.controlPlanes() {
		from = append(from, cp.Name+":"+path.Join(onHosts, d.undone.Run, path.Base(d.saved.Path)))
	}
	s.Args["path"], s.Args["digest"], s.Args["room"] = d.onNode, d.saved.Digest, d.dataDirectory(n.Name)
	s.Args["local"], s.Args["from"] = d.saved.Path, strings.Join(from, "\n")
	if d.sealed() {
		s.Args["digest"], s.Args["sealed"] = d.from.Plain, d.saved.Digest
		s.Title = "decrypt the snapshot on the machine of whoever takes back, put it on the node, whole, and see to room to restore it"
	}
	return s
}

// sealed tells whether the snapshot is kept encrypted.
func (d *dataBuilder) sealed() bool { return d.from.Plain != "" }

// data is the digest of what is restored.
func (d *dataBuilder) data() string {
	if d.sealed() {
		return d.from.Plain
	}
	return d.saved.Digest
}

// plainAway removes the plain copies from the members' nodes: a snapshot that is kept
// encrypted is not to be left there.
func (d *dataBuilder) plainAway() []plan.Wave {
	if !d.sealed() {
		return nil
	}
	return everywhere(d.state.members(), func(n *nodeState) plan.Lane {
		s := d.command(plan.WorkloadStage, n.Name, "plain", "runtime", []string{"rm", "-f", d.onNode}, shortTimeout)
		s.Title, s.WayBack = "remove the plain copy of the snapshot", plan.WayBackNothing
		return plan.Lane{s}
	})
}

// standstill stops what writes: every kubelet, so that nothing is started again, then
// API servers, controllers and members. The proof comes last, of all hosts at once.
func (d *dataBuilder) standstill() []plan.Wave {
	stop := everywhere(d.state.nodes, func(n *nodeState) plan.Lane {
		return plan.Lane{restoring(d.unit(plan.Standstill, n, "stop", plan.UnitStopped))}
	})
	still := everywhere(d.state.controlPlanes(), func(n *nodeState) plan.Lane {
		s := d.stillness(n, "standstill", "stop API server, controller manager, scheduler and etcd")
		s.Args["aside"] = path.Join(onHosts, d.undone.Run, "rollback-manifests")
		return plan.Lane{restoring(s)}
	})
	proof := everywhere(d.state.nodes, func(n *nodeState) plan.Lane {
		s := reads(d.stillness(n, "proof", "prove that nothing on the node writes to the store"))
		s.Args["proof"] = "true"
		return plan.Lane{s}
	})
	return append(append(stop, still...), proof...)
}

func (d *dataBuilder) stillness(n *nodeState, name, title string) plan.Step {
	s := d.step(plan.KindStandstill, plan.Standstill, n.Name, name, "standstill", title)
	maps.Copy(s.Args, d.still(n))
	return s
}

// still says what must not run on a node while data are restored. The steps that restore
// prove it once more on their host: kup may come back to them long after the proof.
func (d *dataBuilder) still(n *nodeState) map[string]string {
	args := map[string]string{"unit": "kubelet", "socket": n.CRISocket}
	if n.Role != cluster.ControlPlane {
		return args
	}
	names, ports := components, []string{portOf(n)}
	if n.member {
		names, ports = append(append([]string{}, components...), "etcd"), append(ports, etcdPort)
	}
	var files, pods []string
	for _, name := range names {
		files, pods = append(files, manifests+name+".yaml"), append(pods, name+"-"+n.Name)
	}
	args["manifests"], args["pods"], args["ports"] = strings.Join(files, "\n"), strings.Join(pods, "\n"), strings.Join(ports, "\n")
	return args
}

// portOf is the API server's, as the survey found it.
func portOf(n *nodeState) string {
	if pod := n.Static("kube-apiserver"); pod != nil {
		if _, port, err := net.SplitHostPort(pod.Endpoint); err == nil && port != "" {
			return port
		}
	}
	return apiPort
}

// restore puts the snapshot under every member, and ends the pods that it does not know
// on their nodes, before any API server can tell of it.
func (d *dataBuilder) restore() []plan.Wave {
	var all []string
	for _, m := range d.peers() {
		all = append(all, d.memberName(m)+"="+m.PeerURL)
	}
	members := everywhere(d.state.members(), func(n *nodeState) plan.Lane {
		s := restoring(d.step(plan.KindRestoreMember, plan.Restore, n.Name, "etcd", "restore-member",
			fmt.Sprintf("restore the snapshot in place of the member's data, the revision raised by %d", d.from.bump())))
		s.Args = d.programs(n)
		maps.Copy(s.Args, d.still(n))
		s.Args["snapshot"], s.Args["sha256"] = d.onNode, strings.TrimPrefix(d.data(), "sha256:")
		s.Args["dataDir"], s.Args["aside"] = d.dataDirectory(n.Name), d.aside(n.Name)
		s.Args["initialCluster"], s.Args["token"] = strings.Join(all, ","), d.token
		s.Args["bump"] = strconv.FormatInt(d.from.bump(), 10)
		for _, m := range d.peers() {
			if m.Node == n.Name {
				s.Args["member"], s.Args["peerURLs"] = d.memberName(m), m.PeerURL
			}
		}
		return plan.Lane{s}
	})
	pods := everywhere(d.state.nodes, func(n *nodeState) plan.Lane {
		known := d.from.Pods[n.Name]
		s := restoring(d.step(plan.KindSandboxes, plan.Restore, n.Name, "pods", "sandboxes",
			fmt.Sprintf("stop the pods that the snapshot does not know on the node; it knows %d", len(known))))
		maps.Copy(s.Args, d.still(n))
		s.Args["grace"], s.Args["keep"] = podGrace, strings.Join(known, "\n")
		return plan.Lane{s}
	})
	return append(members, pods...)
}

// memberName is how the member calls itself; kubeadm's are called like their nodes.
func (d *dataBuilder) memberName(m cluster.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return m.Node
}
