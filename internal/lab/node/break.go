package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kup-project/kup/internal/lab/fault"
)

// A lab of real nodes offers these means to faults. Its nodes have no clock of
// their own.
var (
	_ fault.SSH        = (*Lab)(nil)
	_ fault.Power      = (*Lab)(nil)
	_ fault.Services   = (*Lab)(nil)
	_ fault.Processes  = (*Lab)(nil)
	_ fault.Disks      = (*Lab)(nil)
	_ fault.Kubelets   = (*Lab)(nil)
	_ fault.Repository = (*Lab)(nil)
	_ fault.Packages   = (*Lab)(nil)
)

// LoadBalancerMachine is the machine before the API servers.
const LoadBalancerMachine = "lb"

// bootTimeout is how long a machine may take to start.
const bootTimeout = 2 * time.Minute

// BreakSSH breaks the way of SSH into a machine.
func (l *Lab) BreakSSH(ctx context.Context, machine string, how fault.Break) error {
	return l.runScript(ctx, machine, "ssh", string(how))
}

// MendSSH mends it, however it was broken.
func (l *Lab) MendSSH(ctx context.Context, machine string) error {
	return l.runScript(ctx, machine, "ssh", "mend")
}

// PowerOff ends a machine as a power cut does: what it had written is there, what
// it ran is gone.
func (l *Lab) PowerOff(ctx context.Context, machine string) error {
	_, err := docker(ctx, "kill", l.container(machine))
	return err
}

// PowerOn starts a machine and, when it is a node, waits for its systemd.
func (l *Lab) PowerOn(ctx context.Context, machine string) error {
	name := l.container(machine)
	if _, err := docker(ctx, "start", name); err != nil {
		return err
	}
	if !slices.ContainsFunc(l.state.Topology.machines(), func(n Node) bool { return n.Name == machine }) {
		return nil
	}
	return booted(ctx, name)
}

// booted waits until a container's systemd has started what it starts.
func booted(ctx context.Context, container string) error {
	return poll(ctx, bootTimeout, 300*time.Millisecond, func(ctx context.Context) error {
		state, err := docker(ctx, "exec", container, "systemctl", "is-system-running")
		if state == "running" || state == "degraded" {
			return nil
		}
		return errors.Join(fmt.Errorf("systemd says %q", state), err)
	})
}

// BootID tells the boots of a node apart.
func (l *Lab) BootID(ctx context.Context, node string) (string, error) {
	return l.Exec(ctx, node, "cat", "/proc/sys/kernel/random/boot_id")
}

// StopService stops the kubelet or a static pod of a node.
func (l *Lab) StopService(ctx context.Context, machine, name string) error {
	return l.runScript(ctx, machine, "service", "stop", name)
}

// StartService starts what StopService stopped.
func (l *Lab) StartService(ctx context.Context, machine, name string) error {
	return l.runScript(ctx, machine, "service", "start", name)
}

// PauseProcess freezes every process of a program, those in pods included.
func (l *Lab) PauseProcess(ctx context.Context, machine, program string) error {
	_, err := l.Exec(ctx, machine, "pkill", "-STOP", "-x", program)
	return err
}

// ResumeProcess lets them go on. That there are none any more is no error.
func (l *Lab) ResumeProcess(ctx context.Context, machine, program string) error {
	_, err := l.Exec(ctx, machine, "sh", "-c", `pkill -CONT -x "$1" || [ $? -eq 1 ]`, "sh", program)
	return err
}

// FillDisk makes the disk below a directory full, for as long as nothing that
// runs keeps files there open.
func (l *Lab) FillDisk(ctx context.Context, machine, directory string) error {
	return l.runScript(ctx, machine, "disk", "fill", directory)
}

// FreeDisk takes that back; what was written below the directory stays.
func (l *Lab) FreeDisk(ctx context.Context, machine, directory string) error {
	return l.runScript(ctx, machine, "disk", "free", directory)
}

// BreakKubelet makes a node NotReady while its kubelet runs.
func (l *Lab) BreakKubelet(ctx context.Context, node string) error {
	return l.runScript(ctx, node, "kubelet", "break")
}

// MendKubelet lets it become Ready again.
func (l *Lab) MendKubelet(ctx context.Context, node string) error {
	return l.runScript(ctx, node, "kubelet", "mend")
}
