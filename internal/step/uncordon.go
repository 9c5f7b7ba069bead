package step

import (
	"context"

	"github.com/kup-project/kup/pkg/plan"
)

// uncordon: the truth is the API, except for a node that was cordoned when kup
// came: it stays so.
type uncordon struct {
	schedule  Schedule
	artefacts Artefacts
	observer  Observer
}

func (r *uncordon) Done(ctx context.Context, s plan.Step) (bool, error) {
	if foundCordoned(r.artefacts, hopOf(s), s.Node) {
		return true, nil
	}
	n, err := r.schedule.Node(ctx, s.Node)
	return err == nil && !n.Cordoned, failed(s, "look at the node", err, "")
}

func (r *uncordon) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	if foundCordoned(r.artefacts, hopOf(s), s.Node) {
		r.observer.Note(s.ID, "left cordoned, as it was found")
		return nil
	}
	return failed(s, "uncordon the node", r.schedule.Uncordon(ctx, s.Node), "by hand: kubectl uncordon "+s.Node)
}
