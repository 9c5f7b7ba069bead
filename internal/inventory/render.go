package inventory

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/kup-project/kup/pkg/cluster"
)

//go:embed init.yaml.tmpl
var initTemplate string

// Draft is what is known when an inventory is written for the first time.
type Draft struct {
	Facts cluster.Facts
	// Kubeconfig and Context are how the facts were reached; empty: by default.
	// A relative path is relative to where the file will be.
	Kubeconfig string
	Context    string
}

// Render writes a commented kup.yaml for the cluster: its nodes filled in,
// every optional field as a comment with its default. What it gives parses,
// provided that the facts have a control plane and an address for each node.
func Render(d Draft) []byte {
	manager, guess := guessManager(d.Facts.Nodes)
	packages := Packages{Manager: manager}
	fill((*string)(&packages.Manager), string(APT))
	packages.complete()
	var out bytes.Buffer
	t := template.Must(template.New("kup.yaml").Funcs(template.FuncMap{
		"setting": setting, "scalar": scalar, "flow": flowNode,
	}).Parse(initTemplate))
	err := t.Execute(&out, map[string]any{
		"APIVersion": APIVersion,
		"Name":       d.Facts.Identity.Name,
		"Kubeconfig": d.Kubeconfig,
		"Context":    d.Context,
		"Nodes":      d.Facts.Nodes,
		"Pools":      poolNames(d.Facts.Nodes),
		"Manager":    manager,
		"Guess":      guess,
		"Packages":   packages,
		"External":   d.Facts.Etcd.Topology == string(External),
	})
	if err != nil {
		panic(fmt.Sprintf("inventory: the built-in template does not execute: %v", err))
	}
	return out.Bytes()
}

// setting writes a field, as a comment when it has its default: empty.
func setting(name, value string) string {
	if value == "" {
		return "#" + name + `: ""`
	}
	return name + ": " + scalar(value)
}

func flowNode(n cluster.Node) string {
	s := fmt.Sprintf("{name: %s, role: %s, address: %s", scalar(n.Name), scalar(string(n.Role)), scalar(n.Address))
	if n.Pool != "" && n.Pool != DefaultPool {
		s += ", pool: " + scalar(n.Pool)
	}
	return s + "}"
}

func poolNames(nodes []cluster.Node) []string {
	names := []string{DefaultPool}
	for _, n := range nodes {
		if n.Pool != "" && !slices.Contains(names, n.Pool) {
			names = append(names, n.Pool)
		}
	}
	return names
}

// plain matches what YAML surely reads as text without quotes, also between
// braces: a word, an IPv4 address, a path.
var (
	plain   = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9./_@-]*$|^[0-9]{1,3}(\.[0-9]{1,3}){3}$`)
	special = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|nan|inf)$`)
)

func scalar(s string) string {
	if plain.MatchString(s) && !special.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// guessManager tells the package manager from the names of the operating
// systems, and says what it was told from. It is empty where they disagree or
// are not known.
func guessManager(nodes []cluster.Node) (m Manager, from string) {
	families := map[Manager][]string{
		APT: {"debian", "ubuntu"},
		DNF: {"red hat", "rhel", "rocky", "alma", "centos", "fedora", "oracle", "amazon"},
	}
	for _, n := range nodes {
		if n.OS == "" {
			continue
		}
		var is Manager
		for family, names := range families {
			if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(strings.ToLower(n.OS), name) }) {
				is = family
			}
		}
		if is == "" || (m != "" && m != is) {
			return "", ""
		}
		m, from = is, quoted(n.OS)
	}
	return m, from
}
