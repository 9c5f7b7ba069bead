package fault

import "context"

// Programs that faults strike.
const (
	APIServer = "kube-apiserver"
	Etcd      = "etcd"
)

// components lists what can go wrong with the parts of a cluster.
func components() []Fault {
	return []Fault{
		{
			Name: "api-server-gone", What: "the node's API server is stopped and stays so",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Services == nil {
					return nil, &UnsupportedError{Lacks: "its services cannot be stopped"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Services.StopService(ctx, t.Node, APIServer) },
					func(ctx context.Context) error { return t.Services.StartService(ctx, t.Node, APIServer) })
			},
		},
		{
			Name: "etcd-paused", What: "the node's etcd member does not move, but keeps its connections",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Processes == nil {
					return nil, &UnsupportedError{Lacks: "its processes cannot be paused"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Processes.PauseProcess(ctx, t.Node, Etcd) },
					func(ctx context.Context) error { return t.Processes.ResumeProcess(ctx, t.Node, Etcd) })
			},
		},
		{
			Name: "kubelet-not-ready", What: "the node's kubelet runs and never reports the node ready",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Kubelets == nil {
					return nil, &UnsupportedError{Lacks: "its kubelets cannot be broken"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Kubelets.BreakKubelet(ctx, t.Node) },
					func(ctx context.Context) error { return t.Kubelets.MendKubelet(ctx, t.Node) })
			},
		},
		{
			Name: "endless-drain", What: "a budget allows no eviction, so that a drain does not end",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Budgets == nil {
					return nil, &UnsupportedError{Lacks: "it has no budgets"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Budgets.ForbidEvictions(ctx, t.Namespace, t.App) },
					func(ctx context.Context) error { return t.Budgets.AllowEvictions(ctx, t.Namespace, t.App) })
			},
		},
	}
}
