package verify

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Kubeadm gives the path of kubeadm of that release.
func (b *Builder) Kubeadm(ctx context.Context, v cluster.Version) (string, error) {
	return b.make(ctx, build{
		kind: "kubeadm", version: v, program: kubernetes + "/cmd/kubeadm", result: "kubeadm",
		finish: func(_ context.Context, binary, result string) error { return move(binary, result) },
	})
}

// move renames, which works within the store's file system.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return os.Chmod(to, 0o755)
}

// Line is one command line of the catalog's and what kubeadm made of it.
type Line struct {
	Name    string
	Argv    []string
	Unknown []string // what that kubeadm does not know; empty: it takes the line
	Notes   []string // such as a flag that is deprecated
}

// Lines checks every command line that the catalog has for a minor against the
// help of that minor's kubeadm, which changes nothing on the machine.
func Lines(ctx context.Context, kubeadm string, c *catalog.Catalog, m catalog.Minor, v cluster.Version) ([]Line, error) {
	var out []Line
	for _, l := range lines(c, m, v) {
		if err := l.check(ctx, kubeadm); err != nil {
			return nil, fmt.Errorf("kubeadm %s: %s: %w", v, strings.Join(l.Argv, " "), err)
		}
		out = append(out, l)
	}
	return out, nil
}

// lines asks the catalog for everything it can say, all options given.
func lines(c *catalog.Catalog, m catalog.Minor, v cluster.Version) []Line {
	var out []Line
	for _, renewal := range []bool{true, false} {
		o := catalog.Options{Patches: "/etc/kubernetes/patches", IgnorePreflightErrors: []string{"Swap", "NumCPU"}, CertificateRenewal: renewal}
		for _, l := range []struct {
			name    string
			command catalog.Command
		}{
			{"apply", m.Apply(v, o)}, {"node", m.Node(o)}, {"kubelet-config", m.KubeletConfig(o)}, {"worker", m.Worker(o)},
			{"etcd", m.EtcdMember(o)}, {"coredns", m.CoreDNS(o)}, {"kube-proxy", m.KubeProxy(o)},
		} {
			if len(l.command.Argv) > 0 && !slices.ContainsFunc(out, func(o Line) bool { return slices.Equal(o.Argv, l.command.Argv) }) {
				out = append(out, Line{Name: l.name, Argv: l.command.Argv})
			}
		}
	}
	for _, certificate := range c.EtcdCertificates() {
		out = append(out, Line{Name: "renew " + certificate, Argv: m.Renew(certificate).Argv})
	}
	return out
}

// check runs the line with --help behind it. kubeadm parses every flag before it
// looks at --help (github.com/spf13/cobra, Command.execute), so that a flag it
// does not know fails. It takes words that are no command of its own for
// arguments, so that the help must be that of the whole path; and it does not
// look at --skip-phases yet, so that its phases are looked for in the help.
func (l *Line) check(ctx context.Context, kubeadm string) error {
	cmd := exec.CommandContext(ctx, kubeadm, append(slices.Clone(l.Argv[1:]), "--help")...)
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &stderr, []string{"HOME=" + filepath.Dir(kubeadm)}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil || cmd.ProcessState == nil {
			return err
		}
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		l.Unknown = append(l.Unknown, first)
		return nil
	}
	for _, line := range strings.Split(stderr.String(), "\n") {
		if strings.Contains(line, "deprecated") {
			l.Notes = append(l.Notes, strings.TrimSpace(line))
		}
	}
	words, phases := l.expect()
	if usage := usageLine(out.String()); !strings.HasPrefix(usage+" ", words+" ") {
		l.Unknown = append(l.Unknown, fmt.Sprintf("%q is not a command: the help is that of %q", words, usage))
	}
	known := helpPhases(out.String())
	for _, p := range phases {
		if !slices.Contains(known, p) {
			l.Unknown = append(l.Unknown, "phase "+p)
		}
	}
	return nil
}

// expect gives the command's words as kubeadm's help spells them, without flags
// and without the version to upgrade to, and the phases that are skipped.
func (l *Line) expect() (words string, phases []string) {
	var parts []string
	for _, word := range l.Argv {
		if skipped, ok := strings.CutPrefix(word, "--skip-phases="); ok {
			phases = strings.Split(skipped, ",")
		}
		if _, err := cluster.ParseVersion(word); err != nil && !strings.HasPrefix(word, "-") {
			parts = append(parts, word)
		}
	}
	return strings.Join(parts, " "), phases
}

// usageLine is what follows "Usage:".
func usageLine(help string) string {
	_, after, _ := strings.Cut(help, "Usage:\n")
	line, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
	return line
}

var phaseLine = regexp.MustCompile("^( *)/?([a-z0-9-]+) +[A-Z]")

// helpPhases are the phases that a help lists between ``` and ```, sub-phases
// with their parents' names in front: addon, addon/coredns.
func helpPhases(help string) []string {
	parts := strings.Split(help, "```")
	if len(parts) < 3 {
		return nil
	}
	var out []string
	parent := ""
	for _, line := range strings.Split(parts[1], "\n") {
		m := phaseLine.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[1] == "":
			parent = m[2]
			out = append(out, parent)
		default:
			out = append(out, parent+"/"+m[2])
		}
	}
	return out
}
