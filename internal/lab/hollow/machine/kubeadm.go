package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/pkg/cluster"
)

// kubeadmRun is one run of kubeadm.
type kubeadmRun struct {
	m       *Machine
	p       *shell.Process
	version cluster.Version // of the program
	flags   map[string]string
	words   []string
}

// kubeadmCommand is a command of kubeadm, with what each minor knows of it.
type kubeadmCommand struct {
	path  string // "upgrade node phase control-plane"
	from  cluster.Minor
	flags []kubeadmFlag
	words int // operands that it takes
	root  bool
	run   func(*kubeadmRun, context.Context) error
}

// kubeadmFlag is a flag of a command and the minors that know it; zero means no
// bound.
type kubeadmFlag struct {
	name     string
	isBool   bool
	from, to cluster.Minor
}

func minor(n uint64) cluster.Minor { return cluster.Minor{Major: 1, Minor: n} }

func value(name string) kubeadmFlag { return kubeadmFlag{name: name} }
func toggle(name string) kubeadmFlag {
	return kubeadmFlag{name: name, isBool: true}
}

func (f kubeadmFlag) since(m cluster.Minor) kubeadmFlag { f.from = m; return f }
func (f kubeadmFlag) until(m cluster.Minor) kubeadmFlag { f.to = m; return f }

func (f kubeadmFlag) known(m cluster.Minor) bool {
	return !m.Less(f.from) && (f.to == cluster.Minor{} || !f.to.Less(m))
}

// kubeadmCommands are what the package models of kubeadm, with the flags that the
// source of each minor registers.
func kubeadmCommands() []kubeadmCommand {
	common := []kubeadmFlag{value("v"), value("kubeconfig"), value("rootfs")}
	phase := append([]kubeadmFlag{value("config"), toggle("dry-run")}, common...)
	patched := append([]kubeadmFlag{value("patches")}, phase...)
	control := append([]kubeadmFlag{toggle("certificate-renewal"), toggle("etcd-upgrade")}, patched...)
	node := append([]kubeadmFlag{value("ignore-preflight-errors"), value("skip-phases")}, control...)
	apply := append([]kubeadmFlag{
		toggle("yes"), toggle("y"), toggle("force"), toggle("f"), toggle("print-config"), toggle("allow-experimental-upgrades"), toggle("allow-release-candidate-upgrades"),
		value("ignore-preflight-errors"), value("skip-phases").since(minor(32)), value("feature-gates").until(minor(31)),
	}, control...)
	initial := append([]kubeadmFlag{value("config"), toggle("dry-run"), value("patches"), value("kubernetes-version")}, common...)
	return []kubeadmCommand{
		{path: "version", flags: append([]kubeadmFlag{value("output"), value("o")}, common...), run: (*kubeadmRun).printVersion},
		{path: "upgrade apply", flags: apply, words: 1, root: true, run: (*kubeadmRun).apply},
		{path: "upgrade node", flags: node, root: true, run: (*kubeadmRun).node},
		{path: "upgrade node phase control-plane", flags: control, root: true, run: (*kubeadmRun).phaseControlPlane},
		{path: "upgrade node phase kubelet-config", flags: patched, root: true, run: (*kubeadmRun).phaseKubeletConfig},
		{path: "upgrade node phase addon coredns", from: minor(32), flags: patched, root: true, run: (*kubeadmRun).phaseCoreDNS},
		{path: "upgrade node phase addon kube-proxy", from: minor(32), flags: phase, root: true, run: (*kubeadmRun).phaseKubeProxy},
		{path: "upgrade node phase addon all", from: minor(32), flags: patched, root: true, run: (*kubeadmRun).phaseAddons},
		{path: "init phase control-plane all", flags: initial, root: true, run: (*kubeadmRun).initControlPlane},
		{path: "init phase etcd local", flags: initial, root: true, run: (*kubeadmRun).initEtcd},
		{path: "certs renew", flags: append([]kubeadmFlag{value("config"), value("cert-dir")}, common...), words: 1, root: true, run: (*kubeadmRun).renew},
		{path: "config images list", flags: append([]kubeadmFlag{value("kubernetes-version"), value("image-repository"), value("config")}, common...), run: (*kubeadmRun).listImages},
		{path: "config images pull", flags: append([]kubeadmFlag{value("kubernetes-version"), value("image-repository"), value("cri-socket"), value("config")}, common...), root: true, run: (*kubeadmRun).pullImages},
	}
}

// Exit codes of kubeadm.
const (
	kubeadmFailed    = 1
	kubeadmPreflight = 2
	kubeadmInvalid   = 3
)

// kubeadmError is an error with another exit code than 1.
type kubeadmError struct {
	code int
	err  error
}

func (e *kubeadmError) Error() string { return e.err.Error() }
func (e *kubeadmError) Unwrap() error { return e.err }

func (m *Machine) kubeadm(ctx context.Context, p *shell.Process) int {
	v, ok := stampOf(p.FS, "kubeadm")
	if !ok {
		return notFound(p)
	}
	r := &kubeadmRun{m: m, p: p, version: v}
	if err := r.dispatch(ctx); err != nil {
		code := kubeadmFailed
		var coded *kubeadmError
		if errors.As(err, &coded) {
			code = coded.code
		}
		_, _ = fmt.Fprintf(p.Stderr, "%v\nTo see the stack trace of this error execute with --v=5 or higher\n", err)
		return code
	}
	return 0
}

func (r *kubeadmRun) dispatch(ctx context.Context) error {
	var best *kubeadmCommand
	commands := kubeadmCommands()
	words := r.p.Args[1:]
	for i := range commands {
		c := &commands[i]
		path := strings.Fields(c.path)
		if len(words) >= len(path) && slices.Equal(words[:len(path)], path) && !r.line().Less(c.from) && (best == nil || len(best.path) < len(c.path)) {
			best = c
		}
	}
	if best == nil {
		return fmt.Errorf("unknown command %q for \"kubeadm\"", strings.Join(words, " "))
	}
	if err := r.parse(best, words[len(strings.Fields(best.path)):]); err != nil {
		return err
	}
	if best.root && !r.p.Root {
		return &kubeadmError{kubeadmPreflight, errors.New("[ERROR IsPrivilegedUser]: user is not running as root")}
	}
	return best.run(r, ctx)
}

// parse reads flags and operands.
func (r *kubeadmRun) parse(c *kubeadmCommand, args []string) error {
	r.flags = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, found := strings.CutPrefix(args[i], "-")
		if !found {
			r.words = append(r.words, args[i])
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, text, assigned := strings.Cut(name, "=")
		at := slices.IndexFunc(c.flags, func(f kubeadmFlag) bool { return f.name == name && f.known(r.line()) })
		if at < 0 {
			return fmt.Errorf("unknown flag: --%s", name)
		}
		switch {
		case assigned:
		case c.flags[at].isBool:
			text = "true"
		case i+1 < len(args):
			i++
			text = args[i]
		default:
			return fmt.Errorf("flag needs an argument: --%s", name)
		}
		if _, err := strconv.ParseBool(text); c.flags[at].isBool && err != nil {
			return fmt.Errorf("invalid argument %q for \"--%s\" flag: strconv.ParseBool: parsing %q: invalid syntax", text, name, text)
		}
		r.flags[name] = text
	}
	if len(r.words) != c.words {
		if c.words == 1 && len(r.words) == 0 {
			return &kubeadmError{kubeadmInvalid, fmt.Errorf("missing one or more required arguments. Required arguments: [%s]", map[bool]string{true: "version", false: "certificate"}[c.path == "upgrade apply"])}
		}
		return &kubeadmError{kubeadmInvalid, fmt.Errorf("unknown command %q for \"kubeadm %s\"", strings.Join(r.words, " "), c.path)}
	}
	return nil
}

func (r *kubeadmRun) line() cluster.Minor { return r.version.Line() }

// on tells whether a flag is set to true, or is unset and true by default.
func (r *kubeadmRun) on(name string, otherwise bool) bool {
	if text, set := r.flags[name]; set {
		on, _ := strconv.ParseBool(text) //nolint:errcheck // parse has read it
		return on
	}
	return otherwise
}

func (r *kubeadmRun) list(name string) []string {
	return strings.FieldsFunc(r.flags[name], func(c rune) bool { return c == ',' })
}

func (r *kubeadmRun) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.p.Stdout, format+"\n", args...)
}

func (r *kubeadmRun) printVersion(context.Context) error {
	if output := r.flags["output"] + r.flags["o"]; output == "short" {
		r.say("%s", r.version)
	} else {
		r.say("kubeadm version: &version.Info{Major:\"1\", Minor:\"%d\", GitVersion:%q, Platform:\"linux/amd64\"}", r.line().Minor, r.version)
	}
	return nil
}
