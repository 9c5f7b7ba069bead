package step

import (
	"context"
	"strconv"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Schedule tells whether nodes take new pods, and changes it. Cordon and
// Uncordon are idempotent.
type Schedule interface {
	Node(ctx context.Context, name string) (cluster.Node, error)
	Cordon(ctx context.Context, node string) error
	Uncordon(ctx context.Context, node string) error
}

// cordon: the truth is the API. How the node was found is recorded before it is
// touched, so that uncordon leaves alone what an operator had cordoned.
type cordon struct {
	schedule  Schedule
	artefacts Artefacts
	observer  Observer
}

func (r *cordon) Done(ctx context.Context, s plan.Step) (bool, error) {
	n, err := r.schedule.Node(ctx, s.Node)
	if err != nil {
		return false, failed(s, "look at the node", err, "")
	}
	return n.Cordoned && cordonedByRun(r.artefacts, hopOf(s), s.Node), nil
}

func (r *cordon) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	if !cordonedByRun(r.artefacts, hopOf(s), s.Node) {
		cordoned, err := r.found(ctx, s)
		if err != nil {
			return err
		}
		name := ArtefactSchedulable
		if cordoned {
			name = ArtefactCordoned
			r.observer.Note(s.ID, "the node was cordoned before; it will be left so")
		}
		if err := r.artefacts.Put(ctx, Artefact{Name: name, Hop: hopOf(s), Node: s.Node}); err != nil {
			return failed(s, "record how the node was found", err, "")
		}
	}
	return failed(s, "cordon the node", r.schedule.Cordon(ctx, s.Node), "")
}

// found tells whether the node is to be left cordoned: by the plan where it says so,
// else by how the node is now.
func (r *cordon) found(ctx context.Context, s plan.Step) (cordoned bool, err error) {
	switch found := s.Args["found"]; found {
	case plan.FoundCordoned, plan.FoundSchedulable:
		return found == plan.FoundCordoned, nil
	case "":
		n, err := r.schedule.Node(ctx, s.Node)
		return n.Cordoned, failed(s, "look at the node", err, "")
	default:
		a := args{step: s}
		a.bad("found", "is "+strconv.Quote(found)+"; want "+plan.FoundCordoned+" or "+plan.FoundSchedulable)
		return false, a.err
	}
}

// cordonedByRun tells whether the run's hop came to cordoning the node.
func cordonedByRun(a Artefacts, hop, node string) bool {
	_, schedulable := a.Get(hop, ArtefactSchedulable, node)
	return schedulable || foundCordoned(a, hop, node)
}

func foundCordoned(a Artefacts, hop, node string) bool {
	_, ok := a.Get(hop, ArtefactCordoned, node)
	return ok
}
