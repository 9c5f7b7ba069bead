package step

import (
	"context"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Runner does the steps of one kind.
type Runner interface {
	// Done asks where the kind says the truth lives whether the step's effect is
	// there already. It is false while an execution of the step still runs.
	Done(ctx context.Context, s plan.Step) (bool, error)
	// Run has the step's effect, or attaches to the execution x that is having
	// it, and returns when it is over. It may be called again after a failure.
	Run(ctx context.Context, s plan.Step, x plan.Execution) error
}

// Hosts finds the machine of a node.
type Hosts interface {
	Host(node string) (remote.Host, error)
}

// Phase is how far a detached execution is.
type Phase int

// The phases.
const (
	Absent  Phase = iota // never started on this host
	Running              // still at it
	Exited               // over; its exit code is known
	Lost                 // the host restarted before an exit code was written
)

// ExecutionState is what a host knows of an execution.
type ExecutionState struct {
	Phase Phase
	Code  int // exit code, when Exited
}

// Executor runs commands that survive the connection.
type Executor interface {
	// Run starts the execution unless the host knows it, waits and returns what
	// it printed; *remote.ExitError when it failed, *remote.ConnectionError when
	// its end could not be learned. Progress gets its output line by line.
	Run(ctx context.Context, h remote.Host, x plan.Execution, c remote.Command, progress func(line string)) (remote.Result, error)
	// State asks the host about an execution.
	State(ctx context.Context, h remote.Host, x plan.Execution) (ExecutionState, error)
}

// Observer hears what steps are doing.
type Observer interface {
	// Note is a line about the step; it may come from several goroutines.
	Note(step, text string)
	// Spent accounts for time spent waiting on something other than kup itself.
	Spent(kind string, from, to time.Time)
}

// SpentEviction is the kind of time spent on pods leaving a node.
const SpentEviction = "eviction"

// Deps are what runners need. All fields are required unless they say otherwise.
type Deps struct {
	Hosts    Hosts
	Executor Executor
	// Last is the last attempt that the journal knows of a step; false: none.
	Last func(step string) (plan.Execution, bool)

	Cluster      Cluster
	Schedule     Schedule
	Drainer      Drainer
	Members      Members
	Membership   Membership
	Hashes       StoreHashes
	EtcdTag      EtcdTag
	Defragmenter Defragmenter
	Snapshots    Snapshots
	Certificates Certificates
	Recorder     Recorder
	Returner     Returner
	Local        Local      // may be nil when no plan has local steps
	Undone       Undone     // may be nil when the plan takes nothing back
	Deliveries   Deliveries // may be nil when the plan restores no data
	Revisions    Revisions  // likewise

	Artefacts Artefacts
	Observer  Observer
}

// New gives the runner of every kind.
func New(d Deps) map[plan.Kind]Runner {
	x := executions{hosts: d.Hosts, executor: d.Executor, last: d.Last, observer: d.Observer}
	keeper := keeper{artefacts: d.Artefacts, hosts: d.Hosts}
	managers := map[string]manager{"apt": apt{}, "dnf": dnf{}, "binaries": binaries{}}
	observe := observation{cluster: d.Cluster, certificates: d.Certificates, keeper: keeper}
	return map[plan.Kind]Runner{
		plan.KindSnapshot:      &snapshot{snapshots: d.Snapshots, keeper: keeper, observer: d.Observer},
		plan.KindRehearse:      &rehearse{executions: x, keeper: keeper},
		plan.KindRestorable:    &restorable{executions: x},
		plan.KindRestoreMember: &restoreMember{executions: x},
		plan.KindBackup:        &backup{executions: x, keeper: keeper},
		plan.KindBaseline:      &baseline{observation: observe, recorder: recorder{d.Recorder, keeper}},
		plan.KindFetch:         &fetch{executions: x, managers: managers},
		plan.KindImages:        &images{executions: x},
		plan.KindPackages:      &packages{executions: x, managers: managers},
		plan.KindCommand:       &command{executions: x},
		plan.KindMoveLeader:    &moveLeader{members: d.Members, observer: d.Observer},
		plan.KindCordon:        &cordon{schedule: d.Schedule, artefacts: d.Artefacts, observer: d.Observer},
		plan.KindDrain:         &drain{drainer: d.Drainer, observer: d.Observer},
		plan.KindUncordon:      &uncordon{schedule: d.Schedule, artefacts: d.Artefacts, observer: d.Observer},
		plan.KindLocal:         &local{local: d.Local, observer: d.Observer},
		plan.KindObjects:       &objects{api: d.Returner, keeper: keeper, observer: d.Observer},
		plan.KindCompare:       &compare{observation: observe, observer: d.Observer},
		plan.KindFiles:         &files{executions: x},
		plan.KindUnit:          &unit{executions: x},
		plan.KindRejoin:        &rejoin{executions: x, members: d.Members, membership: d.Membership, hashes: d.Hashes, every: joinEvery, patience: backTimeout},
		plan.KindEtcdFetch:     &etcdFetch{executions: x},
		plan.KindEtcdSwap:      &etcdSwap{executions: x},
		plan.KindEtcdReturn:    &etcdReturn{executions: x},
		plan.KindPinEtcd:       &pinEtcd{tag: d.EtcdTag, observer: d.Observer},
		plan.KindUnpinEtcd:     &pinEtcd{tag: d.EtcdTag, takesOut: true, observer: d.Observer},
		plan.KindDefragment:    &defragment{members: d.Defragmenter, observer: d.Observer},
		plan.KindDeliver:       &deliver{executions: x, deliveries: d.Deliveries},
		plan.KindStandstill:    &standstill{executions: x},
		plan.KindSandboxes:     &sandboxes{executions: x},
		plan.KindRevision:      &revision{revisions: d.Revisions, observer: d.Observer},
		plan.KindReopen:        &reopen{undone: d.Undone},
	}
}
