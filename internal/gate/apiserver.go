package gate

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// APIServer is one instance, asked directly and never through a load balancer.
type APIServer interface {
	Ready(ctx context.Context) error // what /readyz says, and whether it reads from the store
	Version(ctx context.Context) (cluster.Version, error)
}

// APIServers gives every API server by its node.
type APIServers interface {
	APIServers(ctx context.Context) (map[string]APIServer, error)
}

// apiServersReady asks all but the one of the excepted node.
func (d *Deps) apiServersReady(except string) check {
	return d.eachAPIServer(except, func(ctx context.Context, node string, s APIServer) plan.Verdict {
		if err := s.Ready(ctx); err != nil {
			return notYet("the API server of %s is not ready: %v", node, err)
		}
		return holds()
	})
}

func (d *Deps) apiServersAt(want cluster.Minor) check {
	return d.eachAPIServer("", func(ctx context.Context, node string, s APIServer) plan.Verdict {
		got, err := s.Version(ctx)
		switch {
		case err != nil:
			return cannotTell("the API server of %s does not tell its version: %v", node, err)
		case got.Line().Less(want):
			return notYet("the API server of %s is at %s", node, got)
		}
		return holds()
	})
}

// eachAPIServer asks them side by side and gives the worst answer; of equal
// ones the first by node.
func (d *Deps) eachAPIServer(except string, ask func(context.Context, string, APIServer) plan.Verdict) check {
	return func(ctx context.Context) plan.Verdict {
		servers, err := d.APIServers.APIServers(ctx)
		if err != nil {
			return cannotTell("which API servers there are: %v", err)
		}
		var nodes []string
		for node := range servers {
			if node != except {
				nodes = append(nodes, node)
			}
		}
		slices.Sort(nodes)
		if len(nodes) == 0 && except == "" {
			return cannotTell("no API server is known")
		}
		verdicts := make([]plan.Verdict, len(nodes))
		var group errgroup.Group
		for i, node := range nodes {
			group.Go(func() error {
				verdicts[i] = ask(ctx, node, servers[node])
				return nil
			})
		}
		_ = group.Wait() // answers are verdicts
		return worst(verdicts)
	}
}

// worst is the answer that stands for all: a certain "not yet" says more than
// "cannot tell". No answers hold.
func worst(verdicts []plan.Verdict) plan.Verdict {
	for _, state := range []plan.State{plan.Never, plan.NotYet, plan.CannotTell} {
		for _, v := range verdicts {
			if v.State == state {
				return v
			}
		}
	}
	return holds()
}
