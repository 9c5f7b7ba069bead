package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// corefile reads what CoreDNS is configured with, as kubeadm names it. A cluster
// whose DNS is something else has none.
func (r *objectReader) corefile(ctx context.Context) error {
	m, err := r.configMap(ctx, "coredns")
	if err != nil || m == nil || m.Data["Corefile"] == "" {
		return err
	}
	if err := r.spend(); err != nil {
		return err
	}
	d, err := r.client.clientset.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Deployment kube-system/coredns: %w", err)
	}
	out := &cluster.Corefile{Plugins: plugins(m.Data["Corefile"])}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == "coredns" || out.Image == "" {
			out.Image = c.Image
		}
	}
	r.keep(func(o *cluster.Objects) { o.Corefile = out })
	return nil
}

// plugins are the names in a Corefile: what begins a line in a server block is a
// plugin, what begins a line in a plugin's own block is an option of it.
// Arguments are left out.
func plugins(corefile string) []cluster.Plugin {
	options := map[string][]string{}
	depth, plugin := 0, ""
	for line := range strings.Lines(corefile) {
		words := corefileWords(line)
		if len(words) > 0 && words[0] != "}" && words[0] != "{" {
			switch depth {
			case 1:
				plugin = words[0]
				if _, known := options[plugin]; !known {
					options[plugin] = nil
				}
			case 2:
				if !slices.Contains(options[plugin], words[0]) {
					options[plugin] = append(options[plugin], words[0])
				}
			}
		}
		for _, word := range words {
			switch word {
			case "{":
				depth++
			case "}":
				depth--
			}
		}
	}
	var out []cluster.Plugin
	for name, list := range options {
		slices.Sort(list)
		out = append(out, cluster.Plugin{Name: name, Options: list})
	}
	slices.SortFunc(out, func(a, b cluster.Plugin) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// corefileWords splits a line; a comment begins with a # at the start of a word,
// and what is in quotes is one word.
func corefileWords(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimSpace(line) {
		end := strings.IndexAny(line, " \t")
		if line[0] == '"' {
			if end = strings.IndexByte(line[1:], '"'); end >= 0 {
				end += 2
			}
		}
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words
}

// proxyMode reads kube-proxy's mode and feature gates from its ConfigMap.
func (r *objectReader) proxyMode(ctx context.Context) error {
	m, err := r.configMap(ctx, "kube-proxy")
	if err != nil || m == nil {
		return err
	}
	var config struct {
		Mode         string          `json:"mode"`
		FeatureGates map[string]bool `json:"featureGates"`
	}
	if err := yaml.Unmarshal([]byte(m.Data["config.conf"]), &config); err != nil {
		return fmt.Errorf("config.conf of ConfigMap kube-system/kube-proxy: %w", err)
	}
	r.keep(func(o *cluster.Objects) { o.ProxyMode, o.ProxyGates = config.Mode, config.FeatureGates })
	return nil
}
