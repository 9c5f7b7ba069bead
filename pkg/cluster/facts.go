package cluster

import "time"

// Facts is one observation of a cluster, as complete as the access allowed.
// What could not be observed is listed in Unchecked, never guessed.
type Facts struct {
	// At is when the survey ended, in UTC.
	At       time.Time  `json:"at"`
	Identity Identity   `json:"identity"`
	Kubeadm  Kubeadm    `json:"kubeadm"`
	Nodes    []Node     `json:"nodes"` // sorted by role (control planes first), then name
	Etcd     Etcd       `json:"etcd"`
	Budgets  []Budget   `json:"budgets,omitempty"`
	Workload []Workload `json:"workloads,omitempty"`
	Webhooks []Webhook  `json:"webhooks,omitempty"`
	// APIServices are the aggregated ones only.
	APIServices []APIService `json:"apiServices,omitempty"`
	Addons      []Addon      `json:"addons,omitempty"`
	// DeprecatedRequests are API versions that clients asked for since the API
	// servers started, from apiserver_requested_deprecated_apis.
	DeprecatedRequests []DeprecatedRequest `json:"deprecatedRequests,omitempty"`
	// Available lists the versions the package source offers, per minor,
	// ascending; empty when no package source was asked.
	Available map[string][]Version `json:"available,omitempty"`
	// Unchecked names what could not be observed and why, one sentence each.
	Unchecked []string `json:"unchecked,omitempty"`
}

// Identity tells one cluster from another.
type Identity struct {
	// UID is the uid of the namespace kube-system.
	UID string `json:"uid"`
	// CA is "sha256:" and the hash of the cluster CA's DER form.
	CA       string `json:"ca"`
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"` // https://host:port the API was reached at
}

// Role is what a host does in the cluster.
type Role string

// The roles.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
	EtcdHost     Role = "etcd"
)

// Kubeadm is what kubeadm keeps about the cluster in kube-system.
type Kubeadm struct {
	// ConfigDigest and KubeletConfigDigest are "sha256:" hashes of the
	// ConfigMaps kubeadm-config and kubelet-config as stored.
	ConfigDigest        string  `json:"configDigest"`
	KubeletConfigDigest string  `json:"kubeletConfigDigest"`
	APIVersion          string  `json:"apiVersion"` // kubeadm.k8s.io/v1beta4
	ClusterVersion      Version `json:"clusterVersion"`
	ImageRepository     string  `json:"imageRepository"`
	EtcdImageTag        string  `json:"etcdImageTag,omitempty"` // set: pins etcd, kubeadm will not move it
	Endpoint            string  `json:"controlPlaneEndpoint,omitempty"`
	PodSubnet           string  `json:"podSubnet,omitempty"`
	// DNSDomain is networking.dnsDomain, in which Services have their names; empty:
	// kubeadm's default, cluster.local.
	DNSDomain string `json:"dnsDomain,omitempty"`
	// ImageGCPercent is the kubelets' imageGCHighThresholdPercent; 0: their
	// default, 85.
	ImageGCPercent int `json:"imageGCPercent,omitempty"`
}

// Node is one machine: what the API says of it and, when it was reachable over
// SSH, what it says of itself.
type Node struct {
	Name     string  `json:"name"`
	Role     Role    `json:"role"`
	Pool     string  `json:"pool,omitempty"`
	Address  string  `json:"address"` // InternalIP
	InAPI    bool    `json:"inAPI"`
	Kubelet  Version `json:"kubelet"` // as registered with the API server
	Ready    bool    `json:"ready"`
	Cordoned bool    `json:"cordoned"`
	// Runtime is as registered: containerd://1.6.20.
	Runtime   string `json:"runtime"`
	CRISocket string `json:"criSocket,omitempty"`
	OS        string `json:"os"`
	Kernel    string `json:"kernel"`
	Arch      string `json:"arch"`
	// StaticPods are the mirror pods of the control plane, by component.
	StaticPods []StaticPod `json:"staticPods,omitempty"`
	Host       *Host       `json:"host,omitempty"` // nil: not surveyed over SSH
}

// StaticPod is a control-plane component as it runs.
type StaticPod struct {
	Component string  `json:"component"` // kube-apiserver, kube-controller-manager, kube-scheduler, etcd
	Version   Version `json:"version"`
	Image     string  `json:"image"`
	Ready     bool    `json:"ready"`
	// Endpoint is where an API server says it is reached, address:port; empty for
	// others, and where kubeadm did not note it.
	Endpoint string `json:"endpoint,omitempty"`
}

// Host is what a machine says of itself over SSH.
type Host struct {
	BootID   string    `json:"bootID"`
	Kubeadm  Version   `json:"kubeadm"`
	Kubelet  Version   `json:"kubelet"` // of the binary, which a restart would start
	Kubectl  Version   `json:"kubectl"`
	Packages []Package `json:"packages,omitempty"` // kubeadm, kubelet, kubectl, cri-tools, kubernetes-cni; by name
	// Certificates are those kubeadm manages on this host, by name.
	Certificates []Certificate `json:"certificates,omitempty"`
	// HandEdits name files that differ from what the installed kubeadm writes.
	HandEdits []HandEdit `json:"handEdits,omitempty"`
	// ExternalCA is true when a CA certificate has no key beside it.
	ExternalCA   bool   `json:"externalCA,omitempty"`
	SandboxImage string `json:"sandboxImage,omitempty"`
	// DiskFree are the free bytes of the file systems that an upgrade fills, by path.
	DiskFree map[string]uint64 `json:"diskFree,omitempty"`
	// DiskUsedPercent of the image file system, for the kubelet's image garbage collection.
	ImageDiskUsedPercent int `json:"imageDiskUsedPercent,omitempty"`
	// PatchesPresent is true when the inventory's patches directory exists there.
	PatchesPresent bool `json:"patchesPresent,omitempty"`
	// Etcd is the member of an external etcd that runs there; nil on other hosts.
	Etcd *EtcdUnit `json:"etcd,omitempty"`
}

// EtcdUnit is a member of an external etcd as its host sees it: a unit of systemd.
type EtcdUnit struct {
	Unit   string `json:"unit"` // etcd.service
	Active bool   `json:"active"`
	// Binary is the program that the unit starts; Version is what that file says it
	// is, which a restart would start.
	Binary        string  `json:"binary"`
	Version       Version `json:"version"`
	DataDirectory string  `json:"dataDirectory"`
	DataSize      int64   `json:"dataSize,omitempty"` // bytes
	// Files are the unit's own and those it reads, by path.
	Files []string `json:"files,omitempty"`
}

// Package is an installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"` // the package manager's: 1.33.13-1.1
	Held    bool   `json:"held"`
}

// Certificate is one of kubeadm's certificates or kubeconfigs.
type Certificate struct {
	Name     string    `json:"name"` // as `kubeadm certs check-expiration` names it: apiserver, etcd-server, admin.conf
	NotAfter time.Time `json:"notAfter"`
	External bool      `json:"external,omitempty"` // its CA's key is not on the host
}

// HandEdit is a file whose content an upgrade would silently overwrite.
type HandEdit struct {
	Path string `json:"path"`
	// What is the difference in a sentence without values that may be secret:
	// names of flags, fields and volumes only.
	What string `json:"what"`
}

// Etcd is the cluster's store.
type Etcd struct {
	Topology string   `json:"topology"` // stacked or external
	Members  []Member `json:"members,omitempty"`
	Alarms   []string `json:"alarms,omitempty"`
}

// DefaultEtcdQuota is the size at which etcd stops taking writes when no flag sets
// another, in bytes.
const DefaultEtcdQuota = 2 << 30

// Full tells how much of its quota, in hundredths, the member's store takes; with
// what a defragmentation would leave where that is asked for. False: not known.
func (m *Member) Full(defragmented bool) (percent int64, known bool) {
	size, quota := m.DBSize, m.Quota
	if defragmented && m.DBSizeInUse > 0 {
		size = m.DBSizeInUse
	}
	if quota <= 0 {
		quota = m.ManifestQuota
	}
	if quota <= 0 {
		return 0, false
	}
	return int64(float64(size) / float64(quota) * 100), true
}

// EtcdNearlyFull is how much of its quota, in hundredths, a store may take before an
// upgrade: kubeadm copies it, and an upgrade writes more than a quiet day.
const EtcdNearlyFull = 80

// Member is one etcd member.
type Member struct {
	ID        string  `json:"id"` // hexadecimal
	Name      string  `json:"name"`
	Node      string  `json:"node,omitempty"` // the node, or the host of role etcd, it runs on
	PeerURL   string  `json:"peerURL"`
	ClientURL string  `json:"clientURL"`
	Version   Version `json:"version"`
	Healthy   bool    `json:"healthy"`
	Learner   bool    `json:"learner,omitempty"`
	Leader    bool    `json:"leader,omitempty"`
	DBSize    int64   `json:"dbSize"`          // bytes
	Quota     int64   `json:"quota,omitempty"` // bytes, as the member says, from 3.6 on
	// DBSizeInUse are the bytes that a defragmentation would leave.
	DBSizeInUse int64 `json:"dbSizeInUse,omitempty"`
	// ManifestQuota is what the member is started with, for those that do not say
	// their quota: its flag's value, or etcd's default; 0: not known.
	ManifestQuota int64 `json:"manifestQuota,omitempty"`
	// DataDirectory is where a static pod's member keeps its data on its node, and
	// WALDirectory where it keeps its write-ahead log when that is apart; both from its
	// manifest, empty when that was not read.
	DataDirectory string `json:"dataDirectory,omitempty"`
	WALDirectory  string `json:"walDirectory,omitempty"`
	// StorageVersion is that of the schema of the member's data, which follows what all
	// members agreed on within seconds; zero below 3.6, which does not say.
	StorageVersion Version `json:"storageVersion,omitzero"`
	Problem        string  `json:"problem,omitempty"`
}

// EtcdAgreed is the version that etcd's members agreed on, as far as they tell: none of
// them may run an older minor. Zero: none tells.
func EtcdAgreed(members []Member) Version {
	var highest Version
	for _, m := range members {
		if highest.Less(m.StorageVersion) {
			highest = m.StorageVersion
		}
	}
	return highest
}

// Budget is a PodDisruptionBudget.
type Budget struct {
	Namespace          string `json:"namespace"`
	Name               string `json:"name"`
	DisruptionsAllowed int32  `json:"disruptionsAllowed"`
	DesiredHealthy     int32  `json:"desiredHealthy"`
	ExpectedPods       int32  `json:"expectedPods"`
}

// Workload is a controller of pods.
type Workload struct {
	Kind      string `json:"kind"` // Deployment, StatefulSet, DaemonSet
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Desired   int32  `json:"desired"`
	Ready     int32  `json:"ready"`
	// RollingOut means that its controller has not seen its newest template, or
	// has not yet made every pod from it.
	RollingOut bool `json:"rollingOut,omitempty"`
}

// Webhook is one admission webhook.
type Webhook struct {
	Configuration string `json:"configuration"`
	Kind          string `json:"kind"` // Validating or Mutating
	Name          string `json:"name"`
	FailClosed    bool   `json:"failClosed"`
	Service       string `json:"service,omitempty"` // namespace/name
	Endpoints     int    `json:"endpoints"`         // ready ones
}

// APIService is an aggregated API.
type APIService struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Reason    string `json:"reason,omitempty"`
}

// Addon is a cluster add-on kup recognises.
type Addon struct {
	Name  string `json:"name"` // coredns, kube-proxy
	Image string `json:"image"`
	Ready bool   `json:"ready"`
}

// DeprecatedRequest is a use of an API version on its way out.
type DeprecatedRequest struct {
	Group          string `json:"group"`
	Version        string `json:"version"`
	Resource       string `json:"resource"`
	RemovedRelease string `json:"removedRelease,omitempty"` // 1.37
}

// Node returns the node of that name, or nil.
func (f *Facts) Node(name string) *Node {
	for i := range f.Nodes {
		if f.Nodes[i].Name == name {
			return &f.Nodes[i]
		}
	}
	return nil
}

// EtcdHosts are the hosts of role etcd, those of an external etcd.
func (f *Facts) EtcdHosts() []*Node {
	var out []*Node
	for i := range f.Nodes {
		if f.Nodes[i].Role == EtcdHost {
			out = append(out, &f.Nodes[i])
		}
	}
	return out
}

// OldestAPIServer is the version of the oldest API server; zero when none can be seen.
func (f *Facts) OldestAPIServer() Version {
	var at Version
	for i := range f.Nodes {
		if pod := f.Nodes[i].Static("kube-apiserver"); pod != nil && !pod.Version.IsZero() && (at.IsZero() || pod.Version.Less(at)) {
			at = pod.Version
		}
	}
	return at
}

// Recorded is the version that kubeadm recorded, or that of the oldest API server where
// it recorded none; zero when neither is known.
func (f *Facts) Recorded() Version {
	if f.Kubeadm.ClusterVersion.IsZero() {
		return f.OldestAPIServer()
	}
	return f.Kubeadm.ClusterVersion
}

// Static returns the component's static pod on the node, or nil.
func (n *Node) Static(component string) *StaticPod {
	for i := range n.StaticPods {
		if n.StaticPods[i].Component == component {
			return &n.StaticPods[i]
		}
	}
	return nil
}
