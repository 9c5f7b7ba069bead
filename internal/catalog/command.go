package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

type command struct {
	Name string       `json:"name"`
	Rows []commandRow `json:"rows"`
}

type commandRow struct {
	Range
	Argv    []string `json:"argv"`
	Accepts []string `json:"accepts"`
	Also    []Part   `json:"also"`
	Source  string   `json:"source"`
}

type optionRow struct {
	Range
	Name   string `json:"name"`
	Flag   string `json:"flag"`
	Source string `json:"source"`
}

// Part is something a kubeadm command does besides its own part.
type Part string

// The parts.
const (
	// PartAddons: CoreDNS and kube-proxy.
	PartAddons Part = "addons"
	// PartAddonsWhenLast: the same, by whichever control plane comes last.
	PartAddonsWhenLast Part = "addons-when-last"
	// PartKubeletConfig: the node's kubelet configuration.
	PartKubeletConfig Part = "kubelet-config"
	// PartDropsSocket: it removes the node's cri-socket annotation too early.
	PartDropsSocket Part = "drops-cri-socket"
)

// Options are the operator's wishes for kubeadm; a subcommand that does not know
// an option does not get it.
type Options struct {
	Patches               string   // directory on the node; empty: none
	IgnorePreflightErrors []string // names of kubeadm's checks
	CertificateRenewal    bool
}

// Command is one of kubeadm's commands at one minor.
type Command struct {
	// Argv is empty when kubeadm of this minor cannot do the part on its own:
	// another command does it, see Also there.
	Argv []string
	Also []Part
}

// Does tells whether the command does the part too.
func (c Command) Does(p Part) bool { return slices.Contains(c.Also, p) }

// Apply upgrades the first control plane to v, etcd held back.
func (m Minor) Apply(v cluster.Version, o Options) Command {
	return m.command("apply", o, "{version}", v.String())
}

// Node upgrades another control plane, etcd held back.
func (m Minor) Node(o Options) Command { return m.command("node", o) }

// KubeletConfig writes the kubelet's configuration on a control plane.
func (m Minor) KubeletConfig(o Options) Command { return m.command("kubelet-config", o) }

// Worker writes the kubelet's configuration on a worker.
func (m Minor) Worker(o Options) Command { return m.command("worker", o) }

// EtcdMember upgrades the etcd member of a control plane.
func (m Minor) EtcdMember(o Options) Command { return m.command("etcd", o) }

// Renew renews one certificate, named as in `kubeadm certs check-expiration`.
func (m Minor) Renew(certificate string) Command {
	return m.command("renew", Options{}, "{certificate}", certificate)
}

// CoreDNS upgrades the add-on CoreDNS.
func (m Minor) CoreDNS(o Options) Command { return m.command("coredns", o) }

// KubeProxy upgrades the add-on kube-proxy.
func (m Minor) KubeProxy(o Options) Command { return m.command("kube-proxy", o) }

// HasOption tells whether kubeadm of this minor has the option at all, by its
// name in [Options]: patches, ignorePreflightErrors.
func (m Minor) HasOption(name string) bool {
	return slices.ContainsFunc(m.c.options, func(o optionRow) bool { return o.Name == name && o.Holds(m.row.Minor) })
}

func (m Minor) command(name string, o Options, replace ...string) Command {
	row, ok := m.c.row(name, m.row.Minor)
	if !ok || len(row.Argv) == 0 {
		return Command{}
	}
	r := strings.NewReplacer(append([]string{"{renewal}", strconv.FormatBool(o.CertificateRenewal)}, replace...)...)
	var argv []string
	for _, word := range row.Argv {
		argv = append(argv, r.Replace(word))
	}
	values := map[string]string{"patches": o.Patches, "ignorePreflightErrors": strings.Join(o.IgnorePreflightErrors, ",")}
	for _, option := range m.c.options {
		value := values[option.Name]
		if value != "" && option.Holds(m.row.Minor) && slices.Contains(row.Accepts, option.Name) {
			argv = append(argv, strings.ReplaceAll(option.Flag, "{value}", value))
		}
	}
	return Command{Argv: argv, Also: slices.Clone(row.Also)}
}

func (c *Catalog) row(name string, m cluster.Minor) (commandRow, bool) {
	for _, cmd := range c.commands {
		if cmd.Name != name {
			continue
		}
		for _, row := range cmd.Rows {
			if row.Holds(m) {
				return row, true
			}
		}
	}
	return commandRow{}, false
}

type estimateRow struct {
	Step    string `json:"step"`
	Seconds int    `json:"seconds"`
	Source  string `json:"source"`
}

func durations(rows []estimateRow) map[string]time.Duration {
	out := make(map[string]time.Duration, len(rows))
	for _, r := range rows {
		out[r.Step] = time.Duration(r.Seconds) * time.Second
	}
	return out
}

// Estimate is how long a step of that name takes without its gates; it panics
// on a name that has no row, which a test of the planner rules out.
func (c *Catalog) Estimate(step string) time.Duration {
	d, ok := c.estimates[step]
	if !ok {
		panic(fmt.Sprintf("catalog: no estimate for %q", step))
	}
	return d
}
