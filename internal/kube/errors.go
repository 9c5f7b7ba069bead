package kube

import (
	"fmt"
	"strings"
	"time"
)

// ConnectError is a cluster whose API cannot be used at all: no kubeconfig, no
// answer, or credentials that are refused.
type ConnectError struct {
	Kubeconfig string // where the credentials came from
	Endpoint   string // empty when it never came so far
	Err        error
	Hint       string
}

func (e *ConnectError) Error() string {
	at := e.Kubeconfig
	if e.Endpoint != "" {
		at = e.Endpoint + " (" + e.Kubeconfig + ")"
	}
	return fmt.Sprintf("Kubernetes API %s: %v; %s", at, e.Err, e.Hint)
}

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// BlockedPod is a pod that is still on its node.
type BlockedPod struct {
	Namespace string
	Name      string
	// Budgets are the PodDisruptionBudgets that keep it, by name; they are in the
	// pod's namespace.
	Budgets []string
	// Several is true when it has more than one budget: then the API never evicts it,
	// whatever they allow. Without, each of Budgets allows no disruption.
	Several bool
	Why     string // a sentence without the pod
}

func (p BlockedPod) String() string { return p.Namespace + "/" + p.Name + " (" + p.Why + ")" }

// DrainError is a node that could not be emptied.
type DrainError struct {
	Node string
	Pods []BlockedPod // sorted; those still there
	// After is how long the evictions were tried; 0: not at all.
	After time.Duration
	Err   error // what the API said last, if anything
}

func (e *DrainError) Error() string {
	words := make([]string, len(e.Pods))
	for i, p := range e.Pods {
		words[i] = p.String()
	}
	msg := "node " + e.Node + " cannot be drained"
	if e.After > 0 {
		msg += " within " + e.After.String()
	}
	if len(words) > 0 {
		msg += ": " + strings.Join(words, "; ")
	}
	if e.Err != nil {
		msg += fmt.Sprintf(": %v", e.Err)
	}
	return msg + "; " + e.hint()
}

// Unwrap gives what the API said.
func (e *DrainError) Unwrap() error { return e.Err }

func (e *DrainError) hint() string {
	for _, p := range e.Pods {
		if p.Several {
			return fmt.Sprintf("leave the pod one budget: kubectl -n %s delete pdb %s", p.Namespace, p.Budgets[1])
		}
		if len(p.Budgets) > 0 {
			return fmt.Sprintf("add a replica or relax the budget: kubectl -n %s describe pdb %s", p.Namespace, p.Budgets[0])
		}
	}
	if len(e.Pods) > 0 {
		return fmt.Sprintf("see kubectl -n %s describe pod %s", e.Pods[0].Namespace, e.Pods[0].Name)
	}
	return "see kubectl get pods -A --field-selector spec.nodeName=" + e.Node
}

// HeldError is a lock that another run holds.
type HeldError struct {
	Holder string // user@host pid
	Host   string
	Run    string
	Since  time.Time // when it was acquired, by the holder's clock
	Step   string    // what it is doing
	Epoch  int64
	// Renewed is the last sign of life, by the API server's clock where it says, by
	// the holder's where not; Lasts is how long the lock is its own after that.
	Renewed time.Time
	Lasts   time.Duration
}

func (e *HeldError) Error() string {
	msg := "the cluster is locked by " + e.Holder
	if e.Run != "" {
		msg += ", run " + e.Run
	}
	if !e.Since.IsZero() {
		msg += ", since " + e.Since.UTC().Format(time.RFC3339)
	}
	if e.Step != "" {
		msg += ", at " + e.Step
	}
	return msg
}

// LostLeaseError is a lock that this run held and holds no longer. Nothing may
// be changed in the cluster after it.
type LostLeaseError struct {
	Holder string // who has it now; empty: nobody
	Epoch  int64  // the epoch that this run had
}

func (e *LostLeaseError) Error() string {
	by := e.Holder
	if by == "" {
		by = "nobody: it was released or deleted"
	}
	return fmt.Sprintf("the lock on the cluster (Lease %s/%s) is no longer this run's; it is held by %s", leaseNamespace, leaseName, by)
}

// NoEvictionError is a server that offers no eviction. Deleting pods instead
// would ignore their budgets.
type NoEvictionError struct{}

func (*NoEvictionError) Error() string {
	return "the API server offers no eviction (pods/eviction), and kup does not delete pods past their budgets; check kubectl get --raw /api/v1"
}
