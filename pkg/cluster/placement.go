package cluster

// Placement is which pods run where, and what decides where they may run. It is
// kept small, because a cluster may have 50,000 pods: what pods of one
// controller share is held once, and of labels only those that some selector
// asks for. Indexes into its slices are -1 where there is none.
type Placement struct {
	Nodes []PlacedNode // by name
	// Extended are the names of resources other than cpu, memory,
	// ephemeral-storage and pods, such as nvidia.com/gpu.
	Extended []string
	// LabelSets are the distinct labels of pods.
	LabelSets []map[string]string
	// Specs are the distinct demands of pods.
	Specs []PodSpec
	// Volumes are the distinct restrictions that persistent volumes put on nodes.
	Volumes []NodeSelector
	// Controllers are those that own a pod, and every Deployment, StatefulSet and
	// DaemonSet.
	Controllers []PodController
	Pods        []PlacedPod // by namespace and name, without those that are ending
	Budgets     []PlacedBudget
	// Ending is how many pods were being deleted and are not in Pods.
	Ending int
}

// PlacedNode is a node as the scheduler sees it.
type PlacedNode struct {
	Name string
	// Labels are those that some selector asks for, and the node's roles.
	Labels      map[string]string
	Taints      []Taint
	Cordoned    bool
	Ready       bool
	Allocatable Resources
}

// Resources are what a node has or a pod asks for.
type Resources struct {
	MilliCPU  int64 // thousandths of a core
	Memory    int64 // bytes
	Ephemeral int64 // bytes of ephemeral-storage
	Pods      int64 // of a node; a pod is one
	// Extended are amounts by index into Placement.Extended; shorter where the
	// rest is zero.
	Extended []int64
}

// Taint keeps pods off a node.
type Taint struct {
	Key, Value, Effect string
}

// Toleration lets a pod onto a node with a taint. An empty Key with the operator
// Exists is every taint; an empty Effect is every effect.
type Toleration struct {
	Key, Operator, Value, Effect string
	// Seconds is how long a NoExecute taint is borne; nil: for ever.
	Seconds *int64
}

// Requirement is one condition on a label: In, NotIn, Exists, DoesNotExist, Gt, Lt.
type Requirement struct {
	Key      string
	Operator string
	Values   []string
}

// Selector chooses by labels: all requirements must hold, so that an empty one
// chooses everything.
type Selector []Requirement

// NodeSelector is a choice of nodes: one of the terms must hold. Without terms
// no node is chosen.
type NodeSelector []NodeTerm

// NodeTerm holds when all its conditions do; without any it never holds.
type NodeTerm struct {
	Labels Selector
	Fields Selector // metadata.name is the only field there is
}

// AffinityTerm is a rule about the pods that already run in a domain, which is
// the nodes with the same value of the label TopologyKey.
type AffinityTerm struct {
	TopologyKey string
	// Nothing is true when no pod is meant: a selector that is absent.
	Nothing  bool
	Selector Selector
	// Namespaces of the pods meant; AllNamespaces is every one.
	Namespaces    []string
	AllNamespaces bool
}

// Spread is a topology spread constraint with whenUnsatisfiable: DoNotSchedule.
type Spread struct {
	TopologyKey string
	MaxSkew     int32
	MinDomains  int32 // 0: not set
	Selector    Selector
	// IgnoreAffinity and HonorTaints are true when the constraint departs from
	// the defaults of nodeAffinityPolicy (Honor) and nodeTaintsPolicy (Ignore).
	IgnoreAffinity bool
	HonorTaints    bool
}

// HostPort is a port of the node's own network that a pod takes.
type HostPort struct {
	Protocol string
	IP       string // 0.0.0.0 is every address
	Port     int32
}

// PodSpec is what pods of one shape demand.
type PodSpec struct {
	Requests Resources
	// NodeSelector are the labels a node must have, by name.
	NodeSelector map[string]string
	// NodeAffinity is the required one; nil: none. Pods of DaemonSets have none
	// here: theirs names their node.
	NodeAffinity *NodeSelector
	Affinity     []AffinityTerm // required
	AntiAffinity []AffinityTerm // required
	Spread       []Spread
	Tolerations  []Toleration
	HostPorts    []HostPort
	Priority     int32
	// Scheduler is empty for the default one.
	Scheduler string
	// EmptyDir is true when a volume is lost with the pod: emptyDir. InMemory is
	// true when all of these are in memory.
	EmptyDir bool
	InMemory bool
	// Claims is true when the pod asks for devices through resource claims.
	Claims bool
}

// PodPhase is how far a pod is in its life.
type PodPhase uint8

// The phases.
const (
	PodRunning PodPhase = iota
	PodPending
	PodFinished // Succeeded or Failed
)

// PlacedPod is one pod.
type PlacedPod struct {
	Namespace, Name string
	Node            int32 // index into Nodes; -1: on none yet
	Labels          int32 // index into LabelSets
	Spec            int32 // index into Specs
	Controller      int32 // index into Controllers; -1: nobody brings it back
	Volume          int32 // index into Volumes; -1: its volumes may go anywhere
	Phase           PodPhase
	Ready           bool
	// Mirror is true for the mirror of a static pod, which only its kubelet can
	// take away.
	Mirror bool
}

// PodController is what makes pods and makes them again.
type PodController struct {
	Kind, Namespace, Name string
	// Desired is how many pods are wanted; -1: not known for this kind.
	Desired int32
	// Spec is the template's, index into Specs; -1: not known.
	Spec int32
	// OnDelete is true when the update strategy is OnDelete.
	OnDelete bool
}

// PlacedBudget is a PodDisruptionBudget with what decides evictions.
type PlacedBudget struct {
	Namespace, Name string
	// Nothing is true when the selector chooses no pod.
	Nothing  bool
	Selector Selector
	// MinAvailable and MaxUnavailable are as written, a number or a percentage;
	// one of them is empty.
	MinAvailable, MaxUnavailable string
	// AlwaysAllow is true when pods that are not ready may always go
	// (unhealthyPodEvictionPolicy).
	AlwaysAllow bool
	// What the disruption controller last wrote.
	Allowed, Healthy, Desired, Expected int32
	// Failing is why the disruption controller could not compute it; then
	// nothing is allowed.
	Failing string
}
