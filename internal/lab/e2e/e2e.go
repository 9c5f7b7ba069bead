package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Options say how a scenario runs; the zero value is what CI uses.
type Options struct {
	// Lab names the lab; empty: "e2e-" and the scenario. A lab of that name that
	// exists is used as it is.
	Lab string
	// KeepLab leaves the lab up at the end.
	KeepLab bool
	// Kup is the binary under test; empty: built from the source tree.
	Kup string
	// WorkDir gets what the run leaves behind: kup's state, its output, plans.
	// Empty: a new temporary directory, which is kept.
	WorkDir string
	// ControlPlanes and Workers replace the scenario's own size.
	ControlPlanes, Workers int
	// From is the minor the cluster starts with; empty: the scenario's own, which is
	// 1.33 for most.
	From string
}

// Scenario is a named story with one outcome.
type Scenario struct {
	Name    string
	Summary string

	controlPlanes, workers int
	// externalEtcd is on how many hosts of their own etcd runs; zero: on the control planes.
	externalEtcd int
	// from is the minor it starts with; empty: defaultFrom.
	from string
	// etcd is the release of etcd it starts with; empty: one from which the way is safe.
	etcd string
	// hops is over how many minors it goes; zero: one.
	hops int
	// withoutKup needs no binary under test.
	withoutKup bool
	run        func(context.Context, *env) error
}

// Scenarios lists what Run knows.
func Scenarios() []Scenario {
	return []Scenario{
		{
			Name: "hop", Summary: "three control planes and two workers, one minor up, under traffic: nothing may fail, restart, move needlessly or change",
			controlPlanes: 3, workers: 2, run: runHop,
		},
		{
			Name: "small", Summary: "one control plane and one worker, one minor up, under traffic: the API's outage is measured",
			controlPlanes: 1, workers: 1, run: runHop,
		},
		{
			Name: "single", Summary: "one control plane: the plan announces the API outage, apply wants consent, then succeeds",
			controlPlanes: 1, workers: 1, run: runSingle,
		},
		{
			Name: "noop", Summary: "a second apply on an upgraded cluster: does nothing, exits 0",
			controlPlanes: 1, workers: 1, run: runNoop,
		},
		{
			Name: "bad-input", Summary: "everything an operator can get wrong: the right exit code, one clear error, nothing touched",
			controlPlanes: 1, workers: 1, run: runBadInput,
		},
		{
			Name: "crash", Summary: "three control planes and two workers: kup is killed in the middle of five things and resumed each time; nothing is lost, nothing is done twice",
			controlPlanes: 3, workers: 2, run: runCrash,
		},
		{
			Name: "rollback-hop-keep", Summary: "three control planes and two workers: a complete hop goes back under traffic, etcd stays; what was written meanwhile is equal, and a field that the older minor lacks keeps it from going unasked",
			controlPlanes: 3, workers: 2, from: "1.34", run: runRollbackHopKeep,
		},
		{
			Name: "rollback-crash", Summary: "the same, kup killed in an add-on's step, a package that goes back and an API server's manifest, and resumed each time: the same end",
			controlPlanes: 3, workers: 2, from: "1.34", run: runRollbackCrash,
		},
		{
			Name: "faults", Summary: "three control planes and two workers: SSH, power, packages and budgets fail; kup waits or stops with a hint, then goes on",
			controlPlanes: 3, workers: 2, run: runFaults,
		},
		{
			Name: "two-operators", Summary: "three control planes and two workers: a second operator is refused, takes over a run that was left, and the first comes back to find itself fenced off",
			controlPlanes: 3, workers: 2, run: runTwoOperators,
		},
		{
			Name: "two-hops", Summary: "three control planes and two workers, two minors up in one apply, judged as hop after each",
			controlPlanes: 3, workers: 2, hops: 2, run: runTwoHops,
		},
		{
			Name: "etcd-edge", Summary: "three control planes and two workers at etcd 3.5.24, one minor up: etcd is raised within 3.5 first, in steps of the plan, then the hop follows, judged as hop",
			controlPlanes: 3, workers: 2, etcd: edgeEtcd, run: runEtcdEdge,
		},
		{
			Name: "external-etcd", Summary: "three external etcd members, two control planes and a worker, Kubernetes and etcd one minor up, judged as hop; then, on a cluster made anew, a member that refuses to start stops the stage in quorum, goes back, and the run goes on",
			controlPlanes: 2, workers: 1, externalEtcd: 3, run: runExternalEtcd,
		},
		{
			Name: "rollback-hop-restore", Summary: "three control planes and two workers, one minor up, taken back by restoring the snapshot: stopped in the etcd stage, and complete with every API server dead; what is lost is what was announced",
			controlPlanes: 3, workers: 2, run: runRollbackHopRestore,
		},
		{
			Name: "preflight", Summary: "defects of every family are planted one after the other: each is found, with its rule, object and fix, and gone once mended",
			controlPlanes: 1, workers: 2, run: runPreflight,
		},
		{
			Name: "old-storage", Summary: "objects stored in a version that the next minor cannot read are found in the snapshot and named, and the new API server fails on just those",
			controlPlanes: 1, workers: 1, from: "1.34", run: runOldStorage,
		},
		{
			Name: "drain-sim", Summary: "five situations of drains are planted one after the other: what the simulation predicts is what the drains then do",
			controlPlanes: 1, workers: 3, run: runDrainSim,
		},
		{
			Name: "snapshot", Summary: "snapshots plain and encrypted are proven, a corrupted, a truncated and a foreign one refused, and a good one restored by hand into a fresh lab",
			controlPlanes: 1, workers: 1, run: runSnapshots,
		},
		{
			Name: "rollback-node", Summary: "three control planes and two workers: an API server, an etcd member and a kubelet fail at the new version; each node goes back, and the run goes on when the cause is removed",
			controlPlanes: 3, workers: 2, run: runRollbackNode,
		},
		{
			Name: "rehearsal", Summary: "no kup: workers drained by hand under traffic must measure zero, sabotage must be noticed",
			controlPlanes: 1, workers: 2, withoutKup: true, run: runRehearsal,
		},
	}
}

// Run runs one scenario and writes what it measures to out. The error lists
// every assertion that failed; it is nil when all held.
func Run(ctx context.Context, scenario string, o Options, out io.Writer) error {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, s.Name)
		if s.Name != scenario {
			continue
		}
		e, err := newEnv(ctx, s, o, out)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		err = s.run(ctx, e)
		return e.finish(ctx, err)
	}
	return fmt.Errorf("unknown scenario %q; there are: %s", scenario, strings.Join(names, ", "))
}
