package fault

import "context"

// network lists what can go wrong on the way to a machine.
func network() []Fault {
	return []Fault{
		{
			Name: "drop-connection", What: "every SSH connection to the machine ends; commands go on",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.SSH == nil {
					return nil, errNoSSH
				}
				return over, t.SSH.BreakSSH(ctx, t.Node, Cut)
			},
		},
		{Name: "refused", What: "SSH connections to the machine end and new ones are refused", Inject: broken(Refused)},
		{Name: "reply-lost", What: "commands have their effect, but what the machine answers is lost", Inject: broken(Mute)},
		{Name: "hang", What: "the machine answers nothing and ends no connection", Inject: broken(Silent)},
		{Name: "slow-network", What: "everything from and to the machine takes many times as long", Inject: broken(Slow)},
	}
}

var errNoSSH = &UnsupportedError{Lacks: "the way of SSH into its machines cannot be broken"}

func broken(how Break) func(context.Context, Target) (action, error) {
	return func(ctx context.Context, t Target) (action, error) {
		if t.SSH == nil {
			return nil, errNoSSH
		}
		return lasting(ctx,
			func(ctx context.Context) error { return t.SSH.BreakSSH(ctx, t.Node, how) },
			func(ctx context.Context) error { return t.SSH.MendSSH(ctx, t.Node) })
	}
}
