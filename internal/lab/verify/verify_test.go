package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

func load(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScratchModule(t *testing.T) {
	in := `module k8s.io/kubernetes

require (
	k8s.io/api v0.0.0
	vbom.ml/util v0.0.0-20160121211510-db5cfe13f5cc
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	vbom.ml/util => vbom.ml/util v0.0.0-20160121211510-db5cfe13f5cc
)
`
	got, err := scratchModule(in, cluster.MustParseVersion("v1.16.15"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"module lab.invalid/verify\n", "\tk8s.io/api => k8s.io/api v0.16.15\n", "\tvbom.ml/util => github.com/fvbommel/util v",
		"\nreplace github.com/modern-go/reflect2 => github.com/modern-go/reflect2 v1.0.2\n", "\nrequire k8s.io/kubernetes v1.16.15\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Count(got, "vbom.ml/util =>") != 1 {
		t.Errorf("replaced twice:\n%s", got)
	}
	newer, err := scratchModule(in, cluster.MustParseVersion("v1.34.4"))
	if err != nil || strings.Contains(newer, "fvbommel") {
		t.Errorf("a trick for old minors is played on a new one: %v\n%s", err, newer)
	}
}

func TestRows(t *testing.T) {
	scheme := func(version, text string) Scheme {
		s, err := parseScheme(cluster.MustParseVersion(version), text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	got := Write(Rows([]Scheme{
		scheme("v1.16.15", "core v1 Pod\ncore v1 PodList\ncore v1 Status\nbatch v1beta1 CronJob\nbatch v1beta1 CronJobList\nbatch v1beta1 WatchEvent\nbatch v1beta1 ListOptions\n"),
		scheme("v1.17.17", "core v1 Pod\nbatch v1beta1 CronJob\nbatch v1 CronJob\nbatch v1 Job\n"),
		scheme("v1.18.19", "core v1 Pod\nbatch v1 CronJob\nbatch v1 Job\n"),
	}))
	want := `  - {group: "", version: v1, from: "1.16", to: "1.18", kinds: [Pod], source: "API server schemes of kubernetes v1.16.15 to v1.18.19"}
  - {group: "batch", version: v1, from: "1.17", to: "1.18", kinds: [CronJob, Job], source: "API server schemes of kubernetes v1.17.17 to v1.18.19"}
  - {group: "batch", version: v1beta1, from: "1.16", to: "1.17", kinds: [CronJob], source: "API server schemes of kubernetes v1.16.15 to v1.17.17"}
`
	if got = strings.TrimPrefix(got, rowsHeader); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, text := range []string{"", "core v1\n"} {
		if _, err := parseScheme(cluster.MustParseVersion("v1.16.15"), text); err == nil {
			t.Errorf("%q passed for a scheme", text)
		}
	}
}

func TestKnownVersions(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pkg", "master", "import_known_versions.go")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	source := "package master\n\nimport (\n\t_ \"k8s.io/kubernetes/pkg/apis/apps/install\"\n\t\"fmt\"\n)\n\nvar _ = fmt.Sprint\n"
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := knownVersions(dir)
	if want := "package main\n\nimport _ \"k8s.io/kubernetes/pkg/apis/apps/install\"\n"; err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
	if _, err := knownVersions(t.TempDir()); err == nil {
		t.Error("a tree without the file passed")
	}
}

// kubeadmHelp answers as kubeadm does: flags first, then the help of the longest
// path of commands.
const kubeadmHelp = `#!/bin/sh
path="kubeadm"
for word; do
  case "$word" in
    --nosuch*) echo "error: unknown flag: --nosuch" >&2; exit 1;;
    --old*) echo "Flag --old has been deprecated, use --new" >&2;;
    upgrade|node|apply|phase|addon|coredns) path="$path $word";;
  esac
done
cat <<END
What it does.

` + "\\`\\`\\`" + `
preflight        Run upgrade pre-flight checks
addon            Upgrade the default kubeadm addons
  /coredns       Upgrade the CoreDNS addon
kubelet-config   Upgrade the kubelet configuration for this node
` + "\\`\\`\\`" + `

Usage:
  $path [version] [flags]
END
`

func TestLineCheck(t *testing.T) {
	kubeadm := filepath.Join(t.TempDir(), "kubeadm")
	if err := os.WriteFile(kubeadm, []byte(kubeadmHelp), 0o755); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"kubeadm upgrade apply v1.34.4 --yes --skip-phases=addon,kubelet-config": nil,
		"kubeadm upgrade apply v1.34.4 --skip-phases=addon/coredns":              nil,
		"kubeadm upgrade node phase addon coredns":                               nil,
		"kubeadm upgrade apply v1.34.4 --nosuch=1":                               {"error: unknown flag: --nosuch"},
		"kubeadm upgrade apply v1.34.4 --skip-phases=addon,nosuch":               {"phase nosuch"},
		"kubeadm upgrade node phase nosuch":                                      {`"kubeadm upgrade node phase nosuch" is not a command: the help is that of "kubeadm upgrade node phase [version] [flags]"`},
	} {
		l := Line{Argv: strings.Fields(line)}
		if err := l.check(t.Context(), kubeadm); err != nil || !slices.Equal(l.Unknown, want) {
			t.Errorf("%s: %v, unknown %q, want %q", line, err, l.Unknown, want)
		}
	}
	l := Line{Argv: strings.Fields("kubeadm upgrade node --old=1")}
	if err := l.check(t.Context(), kubeadm); err != nil || len(l.Notes) != 1 {
		t.Errorf("a deprecated flag: %v, notes %q", err, l.Notes)
	}
	l = Line{Argv: strings.Fields("kubeadm upgrade node")}
	if err := l.check(t.Context(), filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a kubeadm that is not there took the line")
	}
}

// TestEveryCommandIsChecked guards against a command that the catalog gets and
// the verification does not know.
func TestEveryCommandIsChecked(t *testing.T) {
	raw, err := os.ReadFile("../../catalog/data/commands.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Commands []struct {
			Name string `json:"name"`
		} `json:"commands"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	c, checked := load(t), map[string]bool{}
	minors := Minors(c, cluster.Minor{}, cluster.Minor{})
	for _, m := range minors {
		for _, l := range lines(c, m, m.Seen()) {
			name, _, _ := strings.Cut(l.Name, " ")
			checked[name] = true
		}
	}
	for _, command := range file.Commands {
		if !checked[command.Name] {
			t.Errorf("command %s is never checked", command.Name)
		}
	}
	if len(minors) != 22 || len(Minors(c, minors[3].Line(), minors[5].Line())) != 3 {
		t.Errorf("%d minors", len(minors))
	}
}

func TestReleases(t *testing.T) {
	c := load(t)
	for _, m := range Minors(c, cluster.Minor{}, cluster.Minor{}) {
		if v, err := Release(m); err != nil || v.Line() != m.Line() {
			t.Errorf("%s: %s, %v", m.Line(), v, err)
		}
		found, err := replacements(m.Line())
		for _, r := range found {
			if r.Module == "" || r.With == "" || r.Why == "" || r.Source == "" {
				t.Errorf("incomplete replacement %+v", r)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}
