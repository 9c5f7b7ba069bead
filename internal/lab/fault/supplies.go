package fault

import (
	"context"
	"fmt"
)

// supplies lists what can go wrong with packages.
func supplies() []Fault {
	return []Fault{
		{
			Name: "repository-gone", What: "the package repository of a minor answers 404",
			Inject: func(ctx context.Context, t Target) (action, error) {
				if t.Repository == nil {
					return nil, &UnsupportedError{Lacks: "its repository cannot be withdrawn"}
				}
				return lasting(ctx,
					func(ctx context.Context) error { return t.Repository.WithdrawPackages(ctx, t.Minor) },
					func(ctx context.Context) error { return t.Repository.PublishPackages(ctx, t.Minor) })
			},
		},
		{Name: "package-downgraded", What: "somebody installs an older version of a package on the machine", Inject: downgraded},
	}
}

// downgraded brings an older version and, in the end, the one that was there.
func downgraded(ctx context.Context, t Target) (action, error) {
	if t.Packages == nil {
		return nil, &UnsupportedError{Lacks: "its packages cannot be changed"}
	}
	had, err := t.Packages.PackageVersion(ctx, t.Node, t.Package)
	if err != nil {
		return nil, fmt.Errorf("version of %s on %s: %w", t.Package, t.Node, err)
	}
	return lasting(ctx,
		func(ctx context.Context) error { return t.Packages.InstallPackage(ctx, t.Node, t.Package, t.Older) },
		func(ctx context.Context) error { return t.Packages.InstallPackage(ctx, t.Node, t.Package, had) })
}
