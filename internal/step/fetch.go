package step

import (
	"context"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// fetch: the truth is the package manager's cache on the node.
type fetch struct {
	executions
	managers map[string]manager
}

func (r *fetch) Done(ctx context.Context, s plan.Step) (bool, error) {
	x, begun := r.last(s.ID)
	if !begun {
		return false, nil
	}
	p, m, err := readRequest(s, x.Run, r.managers)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, p.title("look for"), m.fetched(p))
}

func (r *fetch) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	p, m, err := readRequest(s, x.Run, r.managers)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, x, p.title("download"), remote.Command{Argv: m.fetch(p)})
	return err
}
