package survey

import (
	"context"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// hostState reads what an upgrade depends on of a machine and its system.
func hostState(context.Context, remote.Host, *cluster.Node, Settings) (*cluster.HostState, error) {
	return &cluster.HostState{}, nil
}
