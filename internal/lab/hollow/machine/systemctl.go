package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

const kubeletUnit = "kubelet"

// What systemctl gives when a unit is not active, or not there.
const (
	unitInactive = 3
	unitUnknown  = 5
)

// alwaysOn are the services that run whenever the host does.
var alwaysOn = []string{"containerd", "ssh", "sshd", "cron"}

func (m *Machine) systemctl(ctx context.Context, p *shell.Process) int {
	var flags, words []string
	property := ""
	for args := p.Args[1:]; len(args) > 0; args = args[1:] {
		switch arg := args[0]; {
		case arg == "-p" && len(args) > 1:
			property = args[1]
			args = args[1:]
		case strings.HasPrefix(arg, "--property="):
			_, property, _ = strings.Cut(arg, "=")
		case slices.Contains([]string{"--quiet", "-q", "--no-pager", "--now", "--value"}, arg) || strings.HasPrefix(arg, "--lines="):
			flags = append(flags, arg)
		case strings.HasPrefix(arg, "-"):
			return p.Errorf("unrecognized option '%s'", arg)
		default:
			words = append(words, strings.TrimSuffix(arg, ".service"))
		}
	}
	if len(words) == 0 {
		return p.Errorf("Too few arguments.")
	}
	verb, units := words[0], words[1:]
	if slices.Contains([]string{"start", "stop", "restart", "enable", "daemon-reload", "reset-failed", "reboot"}, verb) && !p.Root {
		return p.Errorf("Failed to %s: Access denied", verb)
	}
	switch verb {
	case "daemon-reload":
		return 0
	case "is-system-running":
		_, _ = fmt.Fprintln(p.Stdout, "running")
		return 0
	case "reboot":
		return m.reboot(ctx, p)
	}
	if len(units) != 1 {
		return p.Errorf("hollow systemctl wants one unit for %s", verb)
	}
	if slices.Contains(alwaysOn, units[0]) {
		return m.otherUnit(p, verb, units[0], property, slices.Contains(flags, "--quiet"))
	}
	if _, err := p.FS.Stat("/usr/lib/systemd/system/" + units[0] + ".service"); units[0] != kubeletUnit || err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "Unit %s.service could not be found.\n", units[0])
		return unitUnknown
	}
	return m.kubeletService(ctx, p, verb, property, slices.Contains(flags, "--quiet") || slices.Contains(flags, "-q"))
}

// otherUnit is a service that nothing is modelled of but that it runs.
func (m *Machine) otherUnit(p *shell.Process, verb, name, property string, quiet bool) int {
	switch {
	case verb == "restart":
		m.mutated(p.Args)
	case verb == "is-active" && !quiet:
		_, _ = fmt.Fprintln(p.Stdout, "active")
	case verb == "status":
		_, _ = fmt.Fprintf(p.Stdout, "● %s.service\n     Active: active (running)\n", name)
	case verb == "show" && property == "MainPID":
		_, _ = fmt.Fprintln(p.Stdout, "MainPID=1")
	case verb != "is-active":
		return p.Errorf("hollow systemctl does not know %s of %s", verb, name)
	}
	return 0
}

func (m *Machine) kubeletService(ctx context.Context, p *shell.Process, verb, property string, quiet bool) int {
	state, pid := m.kubeletState()
	switch verb {
	case "enable":
		return 0
	case "start", "stop", "restart":
		m.mutated(p.Args)
		if verb == "stop" || verb == "restart" {
			m.stopKubelet()
		}
		if verb == "stop" || ctx.Err() != nil {
			return 0
		}
		if err := m.startKubelet(); err != nil {
			return p.Errorf("Job for kubelet.service failed: %v", err)
		}
		return 0
	case "is-active":
		if !quiet {
			_, _ = fmt.Fprintln(p.Stdout, state)
		}
	case "status":
		_, _ = fmt.Fprintf(p.Stdout, "● kubelet.service - kubelet: The Kubernetes Node Agent\n     Active: %s\n   Main PID: %d (kubelet)\n\n%s", state, pid, m.log.tail(20))
	case "reset-failed":
		return 0
	case "show":
		return showUnit(p, property, state, pid)
	default:
		return p.Errorf("Unknown command verb '%s'.", verb)
	}
	if state != stateActive {
		return unitInactive
	}
	return 0
}

// showUnit prints a property of the kubelet's service. Its control group is there
// while it runs, and holds nothing that could be looked at.
func showUnit(p *shell.Process, property, state string, pid int) int {
	switch property {
	case "MainPID":
		_, _ = fmt.Fprintf(p.Stdout, "MainPID=%d\n", pid)
	case "ControlGroup":
		group := "/system.slice/kubelet.service"
		if state == stateInactive {
			group = ""
		}
		_, _ = fmt.Fprintf(p.Stdout, "ControlGroup=%s\n", group)
	default:
		return p.Errorf("hollow systemctl does not know the property %q", property)
	}
	return 0
}

// journalctl prints what the kubelet said.
func (m *Machine) journalctl(_ context.Context, p *shell.Process) int {
	_, _ = fmt.Fprint(p.Stdout, m.log.tail(100))
	return 0
}
