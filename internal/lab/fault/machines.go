package fault

import (
	"context"
	"errors"
)

// machines lists what can go wrong with a machine as a whole.
func machines() []Fault {
	return []Fault{
		{
			Name: "host-reboot", What: "the machine loses its power and starts again at once",
			Inject: func(ctx context.Context, t Target) (action, error) {
				on, err := off(ctx, t, t.Node)
				if err != nil {
					return nil, err
				}
				return over, on(ctx)
			},
		},
		{
			Name: "host-off", What: "the machine has no power",
			Inject: func(ctx context.Context, t Target) (action, error) { return off(ctx, t, t.Node) },
		},
		{
			Name: "load-balancer-gone", What: "the load balancer before the API servers has no power",
			Inject: func(ctx context.Context, t Target) (action, error) { return off(ctx, t, t.LoadBalancer) },
		},
		{
			Name: "disk-full", What: "the machine's disk is full where it is written to",
			Inject: func(ctx context.Context, t Target) (action, error) { return full(ctx, t.Disks, t.Node, t.Directory) },
		},
		{
			Name: "laptop-disk-full", What: "the operator's own disk is full",
			Inject: func(ctx context.Context, t Target) (action, error) {
				return full(ctx, t.LocalDisks, "", t.LocalDirectory)
			},
		},
		{
			Name: "clock-skew", What: "the machine's clock is wrong",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Clocks == nil {
					return nil, &UnsupportedError{Lacks: "its machines have no clock of their own"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Clocks.SkewClock(ctx, t.Node, t.Skew) },
					func(ctx context.Context) error { return t.Clocks.SkewClock(ctx, t.Node, 0) })
			},
		},
	}
}

func off(ctx context.Context, t Target, machine string) (on action, err error) {
	if t.Power == nil {
		return nil, &UnsupportedError{Lacks: "its machines cannot be switched off"}
	}
	if machine == "" {
		return nil, errors.New("no machine is named")
	}
	return lasting(ctx,
		func(ctx context.Context) error { return t.Power.PowerOff(ctx, machine) },
		func(ctx context.Context) error { return t.Power.PowerOn(ctx, machine) })
}

func full(ctx context.Context, disks Disks, machine, directory string) (action, error) {
	if disks == nil {
		return nil, &UnsupportedError{Lacks: "this disk cannot be filled"}
	}
	if directory == "" {
		return nil, errors.New("no directory is named")
	}
	return lasting(ctx,
		func(ctx context.Context) error { return disks.FillDisk(ctx, machine, directory) },
		func(ctx context.Context) error { return disks.FreeDisk(ctx, machine, directory) })
}
