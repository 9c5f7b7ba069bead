package gate

import (
	"context"
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

const systemNamespace = "kube-system"

// Workloads lists the controllers of pods as they are now.
type Workloads interface {
	Workloads(ctx context.Context) ([]cluster.Workload, error)
}

func (d *Deps) workloadsAtBaseline(hop string) check {
	return func(ctx context.Context) plan.Verdict {
		before, err := d.Baselines.Workloads(hop)
		if err != nil {
			return cannotTell("the workloads before hop %s: %v", hop, err)
		}
		now, err := d.Workloads.Workloads(ctx)
		if err != nil {
			return cannotTell("the workloads: %v", err)
		}
		return workloads(before, now)
	}
}

// workloads wants each as ready as it was, or as it now asks to be when its owner
// scaled it down. One that was deleted is not waited for: the comparison at the
// end of the hop names it. In kube-system, where the hop itself changes templates,
// the pods that count are those of the new template: the old ones are ready until
// the controller has noticed. Elsewhere a rollout is its owner's affair.
func workloads(before, now []cluster.Workload) plan.Verdict {
	type key struct{ kind, namespace, name string }
	have := map[key]cluster.Workload{}
	for _, w := range now {
		have[key{w.Kind, w.Namespace, w.Name}] = w
	}
	const shown = 3
	var lacking []string
	for _, was := range before {
		is, exists := have[key{was.Kind, was.Namespace, was.Name}]
		if !exists {
			continue
		}
		if want := min(was.Ready, is.Desired); is.Ready < want {
			lacking = append(lacking, fmt.Sprintf("%s %s/%s has %d of %d pods ready", was.Kind, was.Namespace, was.Name, is.Ready, want))
		} else if is.RollingOut && !was.RollingOut && is.Namespace == systemNamespace {
			lacking = append(lacking, fmt.Sprintf("%s %s/%s is still being rolled out", was.Kind, was.Namespace, was.Name))
		}
	}
	if len(lacking) == 0 {
		return holds()
	}
	if more := len(lacking) - shown; more > 0 {
		lacking = append(lacking[:shown:shown], fmt.Sprintf("and %d more", more))
	}
	return notYet("%s", strings.Join(lacking, ", "))
}
