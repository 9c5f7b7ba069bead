package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Gate is a sentence and an assertion.
type Gate interface {
	// Describe is the sentence: what is true when the gate holds.
	Describe() string
	// Check asks once.
	Check(ctx context.Context) plan.Verdict
	// Policy says how the gate is to be asked.
	Policy() plan.GatePolicy
}

// Deps are what gates ask. Each is used by the gates of its subject only.
type Deps struct {
	APIServers   APIServers
	Nodes        Nodes
	Etcd         Etcd
	Certificates Certificates
	Baselines    Baselines
	Workloads    Workloads
	DNS          DNS
	Admission    Admission
	Objects      Objects

	// Facts are those of the plan: what was unavailable then is not held against
	// the upgrade.
	Facts *cluster.Facts
	// EtcdCertificates are the names of the certificates that kubeadm renews with
	// etcd only.
	EtcdCertificates []string
	// ClusterDomain is the DNS domain of services; empty: cluster.local.
	ClusterDomain string

	// Policy is that of gates that are polled; zero fields: 10 s sustained, asked
	// every 2 s, for 10 minutes at most.
	Policy plan.GatePolicy
}

// The defaults of polled gates, and how long one check may take: a question that
// hangs must not use up the time of the gate.
const (
	DefaultSustain = 10 * time.Second
	DefaultEvery   = 2 * time.Second
	DefaultTimeout = 10 * time.Minute
	checkTimeout   = 15 * time.Second
)

// Set finds gates by their ids.
type Set struct{ deps Deps }

// New makes a Set.
func New(d Deps) *Set {
	if d.Policy.Sustain <= 0 {
		d.Policy.Sustain = DefaultSustain
	}
	if d.Policy.Every <= 0 {
		d.Policy.Every = DefaultEvery
	}
	if d.Policy.Timeout <= 0 {
		d.Policy.Timeout = DefaultTimeout
	}
	if d.ClusterDomain == "" {
		d.ClusterDomain = "cluster.local"
	}
	return &Set{deps: d}
}

// check is the assertion of a gate.
type check func(ctx context.Context) plan.Verdict

// Gate gives the gate that the id names; an error for one that does not exist or
// lacks a parameter.
func (s *Set) Gate(id plan.GateID) (Gate, error) {
	if err := id.Check(); err != nil {
		return nil, fmt.Errorf("%w; make a new plan with this kup: kup plan", err)
	}
	name, node, version := id.Split()
	d := &s.deps
	switch name {
	case "apiservers-ready":
		return s.polled("every API server is ready", d.apiServersReady("")), nil
	case "others-ready":
		return s.polled("every API server but the one of "+node+" is ready", d.apiServersReady(node)), nil
	case "apiservers-at":
		return s.polled("ALL API servers are at "+version, d.apiServersAt(minor(version))), nil
	case "static-pods":
		return s.polled(fmt.Sprintf("the control plane of %s runs %s and is ready", node, version), d.staticPods(node, exact(version))), nil
	case "etcd-healthy":
		return s.polled("all etcd members are healthy, none is a learner, no alarm is raised", d.etcdHealthy()), nil
	case "etcd-quorum":
		return s.polled("etcd keeps its quorum while the member of "+node+" is away", d.etcdQuorum(node)), nil
	case "etcd-below-quota":
		return s.polled(fmt.Sprintf("no etcd member's store takes more than %d%% of its quota", cluster.EtcdNearlyFull), d.etcdBelowQuota()), nil
	case "etcd-member":
		return s.polled(fmt.Sprintf("the etcd member of %s runs %s or newer and is healthy", node, version), d.etcdMember(node, exact(version))), nil
	case "etcd-agreed":
		return s.polled(fmt.Sprintf("etcd's members agreed on no minor above that of %s, to which the member of %s goes back", version, node), d.etcdAgreed(node, exact(version))), nil
	case "etcd-data-equal":
		return s.once("all etcd members hold the same data", d.Etcd.DataEqual), nil
	case "certificates-renewed":
		return s.certificatesRenewed(node, version), nil
	case "etcd-certificates-renewed":
		return s.polled("the etcd certificates of "+node+" were renewed in hop "+version, d.renewed(version, node, d.isEtcd)), nil
	case "node-ready":
		return s.polled(nodeSentence(node, version), d.nodeReady(node, exact(version))), nil
	case "workloads-at-baseline":
		return s.polled("workloads are as ready as before hop "+version, d.workloadsAtBaseline(version)), nil
	case "dns-answers":
		return s.polled("CoreDNS answers for kubernetes.default.svc", d.dnsAnswers), nil
	case "objects-kept":
		return s.once("the API servers of before hop "+version+" keep every object as it is, but for what was accepted", d.objectsKept(version)), nil
	case "admission-available":
		return s.polled("fail-closed webhooks and aggregated APIs are available", d.admissionAvailable), nil
	}
	return nil, fmt.Errorf("this kup has no gate %q; use the kup that made the plan", id)
}

func (s *Set) certificatesRenewed(node, hop string) Gate {
	d := &s.deps
	if node == "" {
		return s.polled("all certificates that kubeadm manages were renewed in hop "+hop, d.renewed(hop, "", func(string) bool { return true }))
	}
	return s.polled("the certificates of "+node+", etcd's aside, were renewed in hop "+hop,
		d.renewed(hop, node, func(name string) bool { return !d.isEtcd(name) }))
}

func nodeSentence(node, version string) string {
	if version == "" {
		return "node " + node + " is Ready"
	}
	return "node " + node + " is Ready with kubelet " + version
}

type gate struct {
	sentence string
	check    check
	policy   plan.GatePolicy
	bound    time.Duration // of one check; zero: the policy's timeout is enough
}

func (g *gate) Describe() string        { return g.sentence }
func (g *gate) Policy() plan.GatePolicy { return g.policy }

func (g *gate) Check(ctx context.Context) plan.Verdict {
	if g.bound > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.bound)
		defer cancel()
	}
	return g.check(ctx)
}

func (s *Set) polled(sentence string, c check) Gate {
	return &gate{sentence: sentence, check: c, policy: s.deps.Policy, bound: checkTimeout}
}

// once is for checks that cost the cluster: they are asked once and take the
// time they need.
func (s *Set) once(sentence string, c check) Gate {
	return &gate{sentence: sentence, check: c, policy: plan.GatePolicy{Timeout: s.deps.Policy.Timeout}}
}

// exact and minor read what GateID.Check has approved.
func exact(version string) cluster.Version {
	v, _ := cluster.ParseVersion(version)
	return v
}

func minor(version string) cluster.Minor {
	m, _ := cluster.ParseMinor(version)
	return m
}

func holds() plan.Verdict { return plan.Verdict{State: plan.Holds} }

func notYet(format string, args ...any) plan.Verdict {
	return plan.Verdict{State: plan.NotYet, Reason: fmt.Sprintf(format, args...)}
}

func never(format string, args ...any) plan.Verdict {
	return plan.Verdict{State: plan.Never, Reason: fmt.Sprintf(format, args...)}
}

func cannotTell(format string, args ...any) plan.Verdict {
	return plan.Verdict{State: plan.CannotTell, Reason: fmt.Sprintf(format, args...)}
}
