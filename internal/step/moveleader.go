package step

import (
	"context"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Members is etcd as its members see it.
type Members interface {
	Members(ctx context.Context) ([]cluster.Member, error)
	// MoveLeader moves the leadership off the node's member; nothing happens
	// when another one leads.
	MoveLeader(ctx context.Context, fromNode string) error
}

// moveLeader: the truth is the etcd cluster.
type moveLeader struct {
	members  Members
	observer Observer
}

func (r *moveLeader) Done(ctx context.Context, s plan.Step) (bool, error) {
	leads, alone, err := r.look(ctx, s)
	return err == nil && (!leads || alone), err
}

func (r *moveLeader) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	leads, alone, err := r.look(ctx, s)
	switch {
	case err != nil:
		return err
	case !leads:
		r.observer.Note(s.ID, "another member leads already")
		return nil
	case alone:
		r.observer.Note(s.ID, "the only member keeps the leadership")
		return nil
	}
	return failed(s, "move etcd's leadership away", r.members.MoveLeader(ctx, s.Node), "")
}

// look tells whether the node's member leads and whether another one could.
func (r *moveLeader) look(ctx context.Context, s plan.Step) (leads, alone bool, err error) {
	members, err := r.members.Members(ctx)
	if err != nil {
		return false, false, failed(s, "ask etcd who leads", err, "")
	}
	alone = true
	for _, m := range members {
		if m.Node == s.Node || m.Name == s.Args["member"] {
			leads = leads || m.Leader
			continue
		}
		alone = alone && m.Learner
	}
	return leads, alone, nil
}
