package node

import (
	"context"
	"strings"
)

// KillVersion has a machine kill a program whenever it runs at a version: that of which
// its --version says so ("v1.34.", " 3.6."). With a file, it is killed once it has
// opened that; the path's end is enough. Other versions run.
func (l *Lab) KillVersion(ctx context.Context, machine, program, version, opened string) error {
	return l.runScript(ctx, machine, "reaper", "start", program, version, opened)
}

// Killed is how often KillVersion has killed a program since it was begun.
func (l *Lab) Killed(ctx context.Context, machine, program string) (int, error) {
	out, err := l.Exec(ctx, machine, "cat", "/var/lib/kup-lab/killed-"+program)
	return len(strings.Fields(out)), err
}

// SpareVersion ends KillVersion; it does nothing where nothing was killed.
func (l *Lab) SpareVersion(ctx context.Context, machine, program string) error {
	return l.runScript(ctx, machine, "reaper", "stop", program)
}

// RefuseKubelet has systemd refuse to start a machine's kubelet where its --version says
// so (" v1.34."). Other versions start.
func (l *Lab) RefuseKubelet(ctx context.Context, machine, version string) error {
	return l.runScript(ctx, machine, "refuse", "break", version)
}

// AdmitKubelet ends RefuseKubelet.
func (l *Lab) AdmitKubelet(ctx context.Context, machine string) error {
	return l.runScript(ctx, machine, "refuse", "mend", "")
}
