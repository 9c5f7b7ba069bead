package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// crictl is the runtime's command line: info, images, inspecti, pull, rmi,
// and of pods: pods, ps, stop, stopp.
func (m *Machine) crictl(ctx context.Context, p *shell.Process) int {
	if !installed(p, "crictl") {
		return notFound(p)
	}
	var words []string
	socket := manifest.Socket
	quiet := false
	flags := map[string][]string{}
	for args := p.Args[1:]; len(args) > 0; args = args[1:] {
		switch arg := args[0]; {
		case (arg == "--runtime-endpoint" || arg == "-r") && len(args) > 1:
			socket = args[1]
			args = args[1:]
		case arg == "--timeout" && len(args) > 1 && len(words) == 0:
			args = args[1:] // it answers at once
		case strings.HasPrefix(arg, "--runtime-endpoint="):
			_, socket, _ = strings.Cut(arg, "=")
		case arg == "-q" || arg == "--quiet":
			quiet = true
		case slices.Contains([]string{"--state", "--label", "--id", "--output", "--pod", "--timeout"}, arg) && len(args) > 1 && len(words) > 0:
			flags[arg[2:]] = append(flags[arg[2:]], args[1])
			args = args[1:]
		case strings.HasPrefix(arg, "-"):
			_, _ = fmt.Fprintf(p.Stderr, "Incorrect Usage: flag provided but not defined: %s\n", arg)
			return 1
		default:
			words = append(words, arg)
		}
	}
	switch {
	case !p.Root:
		return fatal(p, "validate service connection: validate CRI v1 runtime API for endpoint %q: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix %s: connect: permission denied\"", socket, strings.TrimPrefix(socket, "unix://"))
	case socket != manifest.Socket:
		return fatal(p, "validate service connection: validate CRI v1 runtime API for endpoint %q: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix %s: connect: no such file or directory\"", socket, strings.TrimPrefix(socket, "unix://"))
	case len(words) == 0:
		return fatal(p, "hollow crictl wants a command")
	}
	if slices.Contains([]string{"pods", "ps", "stop", "stopp"}, words[0]) {
		return m.crictlPods(ctx, p, words[0], words[1:], flags)
	}
	return m.crictlCommand(ctx, p, words[0], words[1:], quiet)
}

func (m *Machine) crictlCommand(ctx context.Context, p *shell.Process, verb string, operands []string, quiet bool) int {
	switch {
	case verb == "info" && len(operands) == 0:
		return m.crictlInfo(p)
	case verb == "images" && len(operands) == 0:
		if !quiet {
			_, _ = fmt.Fprintln(p.Stdout, "IMAGE ID")
		}
		for _, image := range m.runtime.images() {
			_, _ = fmt.Fprintln(p.Stdout, image, digestOf(image))
		}
	case verb == "inspecti" && len(operands) == 1:
		if !m.runtime.has(operands[0]) {
			return fatal(p, "no such image %q present", operands[0])
		}
		_, _ = fmt.Fprintf(p.Stdout, "{\"status\": {\"id\": %q, \"repoTags\": [%q]}}\n", digestOf(operands[0]), operands[0])
	case verb == "pull" && len(operands) == 1:
		m.mutated(p.Args)
		if err := m.pull(ctx, operands[0]); err != nil {
			return fatal(p, "pulling image: rpc error: code = NotFound desc = %v", err)
		}
		_, _ = fmt.Fprintln(p.Stdout, "Image is up to date for", digestOf(operands[0]))
	case verb == "rmi" && len(operands) == 1:
		m.mutated(p.Args)
		m.runtime.drop(operands[0])
		_, _ = fmt.Fprintln(p.Stdout, "Deleted:", operands[0])
	default:
		return fatal(p, "hollow crictl does not know %s %s", verb, strings.Join(operands, " "))
	}
	return 0
}

func (m *Machine) crictlInfo(p *shell.Process) int {
	info := map[string]any{
		"config": map[string]any{"sandboxImage": m.sandboxImage(), "containerdEndpoint": "/run/containerd/containerd.sock"},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "RuntimeReady", "status": true}, map[string]any{"type": "NetworkReady", "status": true}}},
	}
	raw, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fatal(p, "%v", err)
	}
	_, _ = fmt.Fprintf(p.Stdout, "%s\n", raw)
	return 0
}

func (m *Machine) sandboxImage() string {
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	return m.runtime.state.Sandbox
}

// containerd is containerd config dump.
func (m *Machine) containerd(_ context.Context, p *shell.Process) int {
	if strings.Join(p.Args[1:], " ") != "config dump" {
		return p.Errorf("hollow containerd does not know %s", strings.Join(p.Args[1:], " "))
	}
	_, _ = fmt.Fprintf(p.Stdout, "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = %q\n", m.sandboxImage())
	return 0
}

// fatal is how Go's command lines with logrus give up.
func fatal(p *shell.Process, format string, args ...any) int {
	_, _ = fmt.Fprintf(p.Stderr, "level=fatal msg=%q\n", fmt.Sprintf(format, args...))
	return 1
}
