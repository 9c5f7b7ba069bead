package survey

import (
	"context"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// startup reads what the components of a host are started with.
func startup(context.Context, remote.Host, *cluster.Node) (*cluster.Startup, error) {
	return &cluster.Startup{}, nil
}
