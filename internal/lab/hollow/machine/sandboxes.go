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

// sandbox is a pod that runs, as crictl shows it. Each has one container, whose id has
// another beginning.
type sandbox struct {
	id, uid, namespace, name string
	component                string // of a static pod; empty: a pod of the API
	halted                   bool   // its container ended
}

func (s sandbox) container() string { return "c-" + s.id }

// sandboxes are those that are up.
func (m *Machine) sandboxes() []sandbox {
	var out []sandbox
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	for uid, p := range m.runtime.state.Pods {
		out = append(out, sandbox{id: "s-" + uid, uid: uid, namespace: p.Namespace, name: p.Name, halted: p.Halted})
	}
	for component, run := range m.runtime.state.Static {
		out = append(out, sandbox{id: "s-" + component, uid: run.Hash, namespace: "kube-system", name: component + "-" + m.cfg.Name, component: component})
	}
	slices.SortFunc(out, func(a, b sandbox) int { return strings.Compare(a.id, b.id) })
	return out
}

// crictlPods is crictl pods, ps, stop and stopp; flags by name, the last of each value.
func (m *Machine) crictlPods(ctx context.Context, p *shell.Process, verb string, operands []string, flags map[string][]string) int {
	switch verb {
	case "pods":
		return m.listPods(p, flags)
	case "ps":
		return m.listContainers(p, flags)
	}
	m.mutated(p.Args)
	for _, id := range operands {
		if err := m.endSandbox(ctx, verb, id); err != nil {
			return fatal(p, "%v", err)
		}
	}
	return 0
}

func (s sandbox) chosen(flags map[string][]string, by string) bool {
	if ids := flags[by]; len(ids) > 0 && ids[0] != s.id {
		return false
	}
	for _, label := range flags["label"] {
		name, value, _ := strings.Cut(label, "=")
		if s.labels()[name] != value {
			return false
		}
	}
	return true
}

func (s sandbox) labels() map[string]string {
	return map[string]string{"io.kubernetes.pod.name": s.name, "io.kubernetes.pod.namespace": s.namespace, "io.kubernetes.pod.uid": s.uid}
}

func (m *Machine) listPods(p *shell.Process, flags map[string][]string) int {
	asJSON := len(flags["output"]) > 0
	var items []any
	for _, s := range m.sandboxes() {
		if !s.chosen(flags, "id") {
			continue
		}
		source := "api"
		if s.component != "" {
			source = "file"
		}
		items = append(items, map[string]any{"id": s.id, "labels": s.labels(), "annotations": map[string]string{"kubernetes.io/config.source": source}, "state": "SANDBOX_READY"})
		if !asJSON {
			_, _ = fmt.Fprintln(p.Stdout, s.id)
		}
	}
	if !asJSON {
		return 0
	}
	return printJSON(p, map[string]any{"items": items})
}

func (m *Machine) listContainers(p *shell.Process, flags map[string][]string) int {
	asJSON := len(flags["output"]) > 0
	var items []any
	for _, s := range m.sandboxes() {
		if s.halted || !s.chosen(flags, "pod") {
			continue
		}
		items = append(items, map[string]any{"id": s.container(), "podSandboxId": s.id, "state": "CONTAINER_RUNNING"})
		if !asJSON {
			_, _ = fmt.Fprintln(p.Stdout, s.container())
		}
	}
	if !asJSON {
		return 0
	}
	return printJSON(p, map[string]any{"containers": items})
}

func printJSON(p *shell.Process, v any) int {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fatal(p, "%v", err)
	}
	_, _ = fmt.Fprintf(p.Stdout, "%s\n", raw)
	return 0
}

// endSandbox ends a container (stop) or all of a pod (stopp).
func (m *Machine) endSandbox(ctx context.Context, verb, id string) error {
	for _, s := range m.sandboxes() {
		switch {
		case verb == "stop" && id == s.container(), verb == "stopp" && id == s.id:
		default:
			continue
		}
		if err := m.wait(ctx, podEnd); err != nil {
			return err
		}
		switch {
		case s.component != "":
			if err := m.stopProcess(ctx, s.component); err != nil {
				return err
			}
			m.runtime.setStatic(s.component, nil)
			m.wake() // a kubelet that runs starts it again
		case verb == "stop":
			m.runtime.setPod(s.uid, &podSandbox{Namespace: s.namespace, Name: s.name, Halted: true})
		default:
			m.runtime.setPod(s.uid, nil)
		}
		return nil
	}
	return fmt.Errorf("rpc error: code = NotFound desc = an error occurred when trying to find %q: not found", id)
}

// listening has the host show which ports the static pods listen on.
func (m *Machine) listening(components []string) {
	var b strings.Builder
	b.WriteString("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	ports := map[string]int{apiServer: 6443, manifest.Etcd: 2379}
	for i, name := range components {
		if port, listens := ports[name]; listens {
			_, _ = fmt.Fprintf(&b, "%4d: 00000000:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %d\n", i, port, 1000+i)
		}
	}
	_ = m.fs.MkdirAll("/proc/net", 0o555)                          // it is there
	_ = m.fs.WriteFile("/proc/net/tcp", []byte(b.String()), 0o444) // in memory
}
