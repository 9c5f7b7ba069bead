package machine

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// kubectl is kubectl version --client, get --raw of health, and annotate and label
// of nodes.
func (m *Machine) kubectl(_ context.Context, p *shell.Process) int {
	v, ok := stampOf(p.FS, "kubectl")
	if !ok {
		return notFound(p)
	}
	kubeconfig := p.Env("KUBECONFIG")
	overwrite := false
	var words []string
	for args := p.Args[1:]; len(args) > 0; args = args[1:] {
		switch arg := args[0]; {
		case arg == "--kubeconfig" && len(args) > 1:
			kubeconfig = args[1]
			args = args[1:]
		case strings.HasPrefix(arg, "--kubeconfig="):
			_, kubeconfig, _ = strings.Cut(arg, "=")
		case arg == "--overwrite":
			overwrite = true
		default:
			words = append(words, arg)
		}
	}
	switch line := strings.Join(words, " "); {
	case line == "version --client":
		_, _ = fmt.Fprintf(p.Stdout, "Client Version: %s\nKustomize Version: v5.4.2\n", v)
		return 0
	case line == "version --client -o yaml":
		_, _ = fmt.Fprintf(p.Stdout, "clientVersion:\n  gitVersion: %s\n  major: \"1\"\n  minor: \"%d\"\n  platform: linux/amd64\nkustomizeVersion: v5.4.2\n", v, v.Line().Minor)
		return 0
	case len(words) == 0:
		return kubectlError(p, "hollow kubectl wants a command")
	}
	if _, err := p.FS.Stat(p.Path(kubeconfig)); kubeconfig == "" || err != nil {
		return kubectlError(p, "stat %s: no such file or directory", kubeconfig)
	}
	api, err := m.cfg.API()
	if err != nil {
		return kubectlError(p, "Unable to connect to the server: %v", err)
	}
	return m.kubectlCommand(p, api, words, overwrite)
}

func (m *Machine) kubectlCommand(p *shell.Process, api Objects, words []string, overwrite bool) int {
	switch {
	case len(words) == 3 && words[0] == "get" && words[1] == "--raw" && (strings.HasPrefix(words[2], "/readyz") || strings.HasPrefix(words[2], "/livez") || words[2] == "/healthz"):
		_, _ = fmt.Fprint(p.Stdout, "ok")
		return 0
	case len(words) > 3 && (words[0] == "annotate" || words[0] == "label") && (words[1] == "node" || words[1] == "nodes"):
		m.mutated(p.Args)
		return mark(p, api, words[0], words[2], words[3:], overwrite)
	}
	return kubectlError(p, "hollow kubectl does not know %s", strings.Join(words, " "))
}

// mark sets and, with a trailing dash, removes annotations or labels of a node.
func mark(p *shell.Process, api Objects, verb, node string, pairs []string, overwrite bool) int {
	var refused error
	err := modify(api, resourceNodes, "", node, func(n *corev1.Node) {
		set, what := &n.Annotations, "annotation"
		if verb == "label" {
			set, what = &n.Labels, "label"
		}
		if *set == nil {
			*set = map[string]string{}
		}
		for _, pair := range pairs {
			key, value, assigns := strings.Cut(pair, "=")
			if !assigns {
				delete(*set, strings.TrimSuffix(key, "-"))
				continue
			}
			if old, there := (*set)[key]; there && old != value && !overwrite {
				refused = fmt.Errorf("--overwrite is false but found the following declared %s(s): '%s' already has a value (%s)", what, key, old)
				return
			}
			(*set)[key] = value
		}
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return kubectlError(p, "%v", err)
	}
	_, _ = fmt.Fprintf(p.Stdout, "node/%s %s\n", node, map[string]string{"annotate": "annotated", "label": "labeled"}[verb])
	return 0
}

func kubectlError(p *shell.Process, format string, args ...any) int {
	_, _ = fmt.Fprintf(p.Stderr, "error: "+format+"\n", args...)
	return 1
}
