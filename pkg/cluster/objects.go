package cluster

import "time"

// Objects is what the API's objects say about the API versions they are written
// in, about admission, and about add-ons. Only names, versions, labels' keys and
// images are kept of an object, nothing of what it holds.
type Objects struct {
	// Written are objects whose own record names an alpha or beta version of a
	// group that Kubernetes itself serves.
	Written []Written `json:"written,omitempty"`
	// Manifests are the operator's files; nil: none were given.
	Manifests *Manifests `json:"manifests,omitempty"`
	// Releases are Helm's, the deployed revision of each.
	Releases    []Release    `json:"releases,omitempty"`
	Definitions []Definition `json:"definitions,omitempty"`
	// Webhooks are the admission webhooks, with what they reach and where their
	// backends run.
	Webhooks []WebhookReach `json:"webhooks,omitempty"`
	// PodSecurityPolicies are the names of those that exist.
	PodSecurityPolicies []string `json:"podSecurityPolicies,omitempty"`
	// Templates are the pod templates of DaemonSets, Deployments, StatefulSets
	// and CronJobs.
	Templates []Template `json:"templates,omitempty"`
	// Corefile is what the cluster's DNS is configured with; nil: there is none.
	Corefile *Corefile `json:"corefile,omitempty"`
	// ProxyMode is kube-proxy's, as its ConfigMap says; empty: its default, or
	// there is no such ConfigMap.
	ProxyMode string `json:"proxyMode,omitempty"`
	// ProxyGates are the feature gates in the same ConfigMap, by name.
	ProxyGates map[string]bool `json:"proxyGates,omitempty"`
	// Unchecked names what could not be observed and why, one sentence each.
	Unchecked []string `json:"unchecked,omitempty"`
}

// Written is the API version in which somebody wrote an object, as recorded in it.
type Written struct {
	APIVersion string `json:"apiVersion"` // as recorded: extensions/v1beta1
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"` // empty: the cluster's
	Name       string `json:"name"`
	// Manager is who wrote it, from metadata.managedFields; empty: the record is
	// the annotation of kubectl apply.
	Manager string `json:"manager,omitempty"`
	// Applied is true when the writer sends the whole object again each time:
	// kubectl apply, and server-side apply.
	Applied bool `json:"applied,omitempty"`
	// At is when the manager wrote last; zero for kubectl apply.
	At time.Time `json:"at,omitzero"`
}

// Manifests are what a directory of manifests holds.
type Manifests struct {
	Objects []Manifest `json:"objects,omitempty"`
	// Unreadable names files that hold no readable YAML or JSON, such as
	// templates, and why.
	Unreadable []string `json:"unreadable,omitempty"`
}

// Manifest is one object in a file.
type Manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	File       string `json:"file"` // relative to the directory
	Line       int    `json:"line"` // where the object begins, from 1
}

// Release is a deployed revision of a Helm release.
type Release struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Revision  int        `json:"revision"`
	Chart     string     `json:"chart,omitempty"`   // name and version: ingress-nginx-4.0.1
	Objects   []Manifest `json:"objects,omitempty"` // without file and line; alpha and beta versions only
}

// Definition is a CustomResourceDefinition.
type Definition struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	Kind  string `json:"kind"`
	// Versions are all in spec.versions, Served those the API server answers for,
	// Stored those in status.storedVersions.
	Versions []string `json:"versions"`
	Served   []string `json:"served,omitempty"`
	Stored   []string `json:"stored,omitempty"`
	// NonStructural is true when the API server says that the schema is not
	// structural, which apiextensions.k8s.io/v1 refuses in a new definition.
	NonStructural bool `json:"nonStructural,omitempty"`
	// PreservesUnknown is spec.preserveUnknownFields, which v1 refuses in a new
	// definition.
	PreservesUnknown bool `json:"preservesUnknown,omitempty"`
	// Converter is the Service of its conversion webhook; nil: there is none, or
	// it is outside the cluster.
	Converter *Backend `json:"converter,omitempty"`
}

// Backend is a Service that the API server calls.
type Backend struct {
	Service string `json:"service"` // namespace/name
	// Ready counts the endpoints that take calls, Nodes are where they run,
	// sorted; a ready endpoint without a node gives none.
	Ready int      `json:"ready"`
	Nodes []string `json:"nodes,omitempty"`
	// Unknown is true when the endpoints could not be read.
	Unknown bool `json:"unknown,omitempty"`
}

// WebhookReach is what one admission webhook is asked about.
type WebhookReach struct {
	Configuration  string   `json:"configuration"`
	Kind           string   `json:"kind"` // Validating or Mutating
	Name           string   `json:"name"`
	FailClosed     bool     `json:"failClosed"`
	TimeoutSeconds int32    `json:"timeoutSeconds"`
	Backend        *Backend `json:"backend,omitempty"` // nil: a URL
	// Conditional is true when matchConditions narrow it further than seen here.
	Conditional bool `json:"conditional,omitempty"`
	// Pods, Nodes and Leases tell whether it is asked about changes of those: pods
	// when they are created in some namespace, nodes and their status, and the
	// leases by which kubelets say that they live.
	Pods   bool `json:"pods,omitempty"`
	Nodes  bool `json:"nodes,omitempty"`
	Leases bool `json:"leases,omitempty"`
	// SystemPods and OwnPods tell whether it is asked about new pods in
	// kube-system and in its backend's own namespace.
	SystemPods bool `json:"systemPods,omitempty"`
	OwnPods    bool `json:"ownPods,omitempty"`
}

// Template is the pod template of a workload, as far as upgrades concern it.
type Template struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Desired   int32    `json:"desired"` // pods; 0 for CronJobs
	Images    []string `json:"images"`
	// NeedsMaster is true when its pods only run on nodes labelled
	// node-role.kubernetes.io/master.
	NeedsMaster bool `json:"needsMaster,omitempty"`
	// ToleratesOnlyMaster is true when it tolerates the taint
	// node-role.kubernetes.io/master, and not node-role.kubernetes.io/control-plane.
	ToleratesOnlyMaster bool `json:"toleratesOnlyMaster,omitempty"`
}

// Corefile is the configuration of CoreDNS, by names only.
type Corefile struct {
	// Image is the one that the Deployment coredns runs.
	Image   string   `json:"image"`
	Plugins []Plugin `json:"plugins"` // of all server blocks, each name and option once, sorted
}

// Plugin is a plugin of CoreDNS as a Corefile uses it.
type Plugin struct {
	Name    string   `json:"name"`
	Options []string `json:"options,omitempty"`
}
