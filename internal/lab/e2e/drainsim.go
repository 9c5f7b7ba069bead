package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const (
	// situationTimeout bounds planting, a plan, all drains and mending.
	situationTimeout = 12 * time.Minute
	// drainFor is long enough for CoreDNS to end, whose grace period is 30 seconds
	// of which it takes a few, and short enough to wait for drains that never end.
	drainFor = 45 * time.Second
)

// drainSim is the scenario's state.
type drainSim struct {
	*preflightRun
	api *kube.Client
	// workers are the nodes that the situations are about.
	workers []string
	// cpu is what two pods together find on a worker and three do not, in
	// thousandths of a core.
	cpu int64
}

// runDrainSim compares what kup says of drains with what drains do. Each situation
// is planted, planned for and simulated; then every node that the plan drains is
// drained in the plan's order, as kup does it.
func runDrainSim(ctx context.Context, e *env) error {
	api, err := kube.Connect(ctx, e.lab.Kubeconfig(), "")
	if err != nil {
		return err
	}
	d := &drainSim{preflightRun: &preflightRun{badInput: &badInput{env: e}}, api: api}
	if err := d.measure(ctx); err != nil {
		return err
	}
	rows := [][]string{{"situation", "node", "predicted", "happened"}}
	held, all := 0, situations(d.workers, d.cpu)
	for _, s := range all {
		more, ok, err := d.try(ctx, s)
		rows = append(rows, more...)
		if err != nil {
			e.printTable("Drains", rows)
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if ok {
			held++
		}
	}
	e.printTable("Drains", rows)
	e.printf("situations in which all drains did what was predicted, and the plan named what they stood still at: %d of %d", held, len(all))
	return nil
}

// measure looks at what the workers have.
func (d *drainSim) measure(ctx context.Context) error {
	for _, n := range d.lab.Nodes() {
		if n.Role == node.RoleWorker {
			d.workers = append(d.workers, n.Name)
		}
	}
	const least = 3
	if len(d.workers) < least {
		return fmt.Errorf("the situations need %d workers, not %d", least, len(d.workers))
	}
	p, err := d.api.Placement(ctx)
	if err != nil {
		return err
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; slices.Contains(d.workers, n.Name) {
			if share := n.Allocatable.MilliCPU * 2 / 5; d.cpu == 0 || share < d.cpu {
				d.cpu = share
			}
		}
	}
	return nil
}

func (d *drainSim) try(ctx context.Context, s situation) (rows [][]string, ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, situationTimeout, fmt.Errorf("not done within %s", situationTimeout))
	defer cancel()
	d.printf("== %s", s.name)
	if err := d.quiet(ctx); err != nil {
		return nil, false, fmt.Errorf("before planting: %w", err)
	}
	mend, err := applied(s.manifest)(ctx, d.preflightRun)
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if mendErr := mend(late); mendErr != nil {
			err = errors.Join(err, fmt.Errorf("mend: %w", mendErr))
		}
	}()
	if err != nil {
		return nil, false, fmt.Errorf("plant: %w", err)
	}
	if err := d.quiet(ctx); err != nil {
		return nil, false, fmt.Errorf("planted: %w", err)
	}
	told, err := d.planned(ctx)
	if err != nil {
		return nil, false, err
	}
	predicted, err := d.predict(ctx, told.Plan)
	if err != nil {
		return nil, false, err
	}
	ok = true
	var happened []drainVerdict
	for _, want := range predicted {
		got, err := d.drain(ctx, want.Node)
		if err != nil {
			return rows, false, err
		}
		happened = append(happened, got)
		rows = append(rows, []string{s.name, want.Node, want.String(), got.String()})
		ok = d.check(want.equal(got), "%s: drain of %s: predicted %s, and it is %s", s.name, want.Node, want, got) && ok
	}
	for _, wrong := range s.judge(told.Findings, happened) {
		ok = d.check(false, "%s: %s", s.name, wrong) && ok
	}
	return rows, ok, nil
}

// predict simulates the plan's drains on what is there now, in their order.
func (d *drainSim) predict(ctx context.Context, p *plan.Plan) ([]drainVerdict, error) {
	if p == nil {
		return nil, errors.New("kup plan made no plan")
	}
	waves := p.DrainWaves()
	seen, err := d.api.Placement(ctx)
	if err != nil {
		return nil, err
	}
	// UnreadyGo is so from 1.20 on.
	result := drainsim.Simulate(&seen, waves, drainsim.Options{UnreadyGo: true})
	var out []drainVerdict
	for _, wave := range waves {
		if len(wave) != 1 {
			return nil, fmt.Errorf("the plan drains %s together; the scenario drains one node at a time", strings.Join(wave, ", "))
		}
		out = append(out, predictedDrain(&seen, &result, wave[0]))
	}
	if len(out) == 0 {
		return nil, errors.New("the plan drains no node")
	}
	return out, nil
}

// drain cordons the node and drains it as kup does, sees where that ends, and
// lets the node take pods again.
func (d *drainSim) drain(ctx context.Context, name string) (v drainVerdict, err error) {
	before, err := d.api.Placement(ctx)
	if err != nil {
		return v, err
	}
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if backErr := d.api.Uncordon(late, name); backErr != nil {
			err = errors.Join(err, backErr)
		} else if err == nil {
			err = d.quiet(ctx)
		}
	}()
	if err := d.api.Cordon(ctx, name); err != nil {
		return v, err
	}
	// What the lab's inventory says of its pool.
	o := kube.DrainOptions{Timeout: drainFor, GracePeriod: -time.Second, DeleteEmptyDirData: true}
	drainErr := d.api.Drain(ctx, name, o, func(text string) { d.printf("%s | %s", name, text) })
	if stood := new(kube.DrainError); drainErr != nil && !errors.As(drainErr, &stood) {
		return v, drainErr
	}
	after, err := d.decided(ctx)
	if err != nil {
		return v, err
	}
	return drainedAs(&before, &after, name, drainErr), nil
}

// quiet waits until every pod that is wanted runs and is ready, and the disruption
// controller has seen it.
func (d *drainSim) quiet(ctx context.Context) error {
	if err := d.env.settled(ctx, settleTimeout); err != nil {
		return err
	}
	return d.placed(ctx, func(_ context.Context, p *cluster.Placement) error { return unsteady(p) })
}

// decided waits until evicted pods have been made anew, and the scheduler has
// given them a node or found none.
func (d *drainSim) decided(ctx context.Context) (cluster.Placement, error) {
	var out cluster.Placement
	return out, d.placed(ctx, func(ctx context.Context, p *cluster.Placement) error {
		if err := incomplete(p); err != nil {
			return err
		}
		for i := range p.Pods {
			if pod := &p.Pods[i]; pod.Node < 0 {
				if err := d.refused(ctx, pod.Namespace, pod.Name); err != nil {
					return err
				}
			}
		}
		out = *p
		return nil
	})
}

// refused is nil when the scheduler has found no node for the pod.
func (d *drainSim) refused(ctx context.Context, namespace, name string) error {
	pod, err := d.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return nil
		}
	}
	return fmt.Errorf("the scheduler has not decided on pod %s/%s", namespace, name)
}

func (d *drainSim) placed(ctx context.Context, accept func(context.Context, *cluster.Placement) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("pods not settled within %s", settleTimeout))
	defer cancel()
	return poll(ctx, time.Second, func(ctx context.Context) error {
		p, err := d.api.Placement(ctx)
		if err != nil {
			return err
		}
		return accept(ctx, &p)
	})
}

// planned is what kup plan -o json tells.
type planned struct {
	Plan     *plan.Plan
	Findings []finding
	Blocked  bool
}

// planned plans for the scenario's target.
func (e *env) planned(ctx context.Context) (planned, error) {
	var out planned
	o, err := e.kup.run(ctx, nil, "plan", "-f", e.lab.Inventory(), "--to", "v"+e.to, "-o", "json")
	if err != nil {
		return out, err
	}
	if o.code != exitDone && o.code != exitBlocked {
		return out, fmt.Errorf("%s: exit code %d: %s", o, o.code, o.errorLine())
	}
	if err := json.Unmarshal(o.stdout, &out); err != nil {
		return out, fmt.Errorf("%s: %w", o, err)
	}
	e.check(out.Blocked == (o.code == exitBlocked), "%s: exit code %d, and blocked is %t", o, o.code, out.Blocked)
	return out, nil
}
