package fault

import (
	"context"
	"time"
)

// Target is a cluster and the place in it where faults strike. Means that a
// cluster does not have are nil.
type Target struct {
	// Node is the machine that is struck.
	Node string
	// LoadBalancer is the machine before the API servers.
	LoadBalancer string
	// Directory is what is written to while its disk is full, on Node; on the
	// operator's machine that is LocalDirectory.
	Directory, LocalDirectory string
	// Package and Older are what is brought back on Node, and to which version.
	Package, Older string
	// Minor is the one whose repository is gone.
	Minor string
	// Namespace and App select the pods that nobody may evict.
	Namespace, App string
	// Skew is how wrong the clock of Node is.
	Skew time.Duration

	SSH        SSH
	Power      Power
	Services   Services
	Processes  Processes
	Disks      Disks
	LocalDisks Disks
	Kubelets   Kubelets
	Clocks     Clocks
	Repository Repository
	Packages   Packages
	Budgets    Budgets
}

// Break is how the way into a machine is broken.
type Break string

// The ways.
const (
	// Cut ends all connections once; new ones succeed. There is nothing to mend.
	Cut Break = "cut"
	// Refused ends all connections and lets nobody in.
	Refused Break = "refused"
	// Silent swallows everything, in both directions; nothing is ended.
	Silent Break = "silent"
	// Mute swallows what the machine sends: commands arrive and have their
	// effect, replies are lost. Mending ends the connections.
	Mute Break = "mute"
	// Slow makes everything take many times as long.
	Slow Break = "slow"
)

// SSH is the way into machines, and only that: what runs on them goes on.
type SSH interface {
	BreakSSH(ctx context.Context, machine string, how Break) error
	// MendSSH mends every break; it does nothing where there is none.
	MendSSH(ctx context.Context, machine string) error
}

// Power switches machines.
type Power interface {
	// PowerOff takes the power away: nothing is asked, saved or told.
	PowerOff(ctx context.Context, machine string) error
	// PowerOn starts a machine and returns when it has booted; one that runs is
	// left alone.
	PowerOn(ctx context.Context, machine string) error
}

// Services end and begin what a machine runs: the kubelet, or a component of the
// control plane by the name of its static pod.
type Services interface {
	StopService(ctx context.Context, machine, name string) error
	// StartService does nothing where the service was not stopped.
	StartService(ctx context.Context, machine, name string) error
}

// Processes freeze a program without ending it.
type Processes interface {
	PauseProcess(ctx context.Context, machine, program string) error
	ResumeProcess(ctx context.Context, machine, program string) error
}

// Disks fill up.
type Disks interface {
	// FillDisk leaves no byte free for the directory.
	FillDisk(ctx context.Context, machine, directory string) error
	// FreeDisk does nothing where nothing was filled.
	FreeDisk(ctx context.Context, machine, directory string) error
}

// Kubelets run and report that their node is not ready.
type Kubelets interface {
	BreakKubelet(ctx context.Context, node string) error
	MendKubelet(ctx context.Context, node string) error
}

// Clocks are wrong.
type Clocks interface {
	// SkewClock puts a machine's clock off by so much; zero sets it right.
	SkewClock(ctx context.Context, machine string, by time.Duration) error
}

// Repository is where packages come from.
type Repository interface {
	// WithdrawPackages makes every request for a minor's packages fail with 404.
	WithdrawPackages(ctx context.Context, minor string) error
	PublishPackages(ctx context.Context, minor string) error
}

// Packages of a machine are changed behind everybody's back.
type Packages interface {
	PackageVersion(ctx context.Context, machine, name string) (string, error)
	InstallPackage(ctx context.Context, machine, name, version string) error
}

// Budgets forbid evictions.
type Budgets interface {
	ForbidEvictions(ctx context.Context, namespace, app string) error
	// AllowEvictions does nothing where nothing was forbidden.
	AllowEvictions(ctx context.Context, namespace, app string) error
}
