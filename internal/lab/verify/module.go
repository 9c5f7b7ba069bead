package verify

import (
	"context"
	_ "embed" // what old minors need
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/pkg/cluster"
)

const kubernetes = "k8s.io/kubernetes"

//go:embed replacements.yaml
var replacementData []byte

type replacement struct {
	From   cluster.Minor `json:"from"`
	To     cluster.Minor `json:"to"`
	Module string        `json:"module"`
	With   string        `json:"with"`
	Why    string        `json:"why"`
	Source string        `json:"source"`
}

func replacements(m cluster.Minor) ([]replacement, error) {
	var all struct {
		Replacements []replacement `json:"replacements"`
	}
	if err := yaml.UnmarshalStrict(replacementData, &all); err != nil {
		return nil, fmt.Errorf("replacements.yaml: %w", err)
	}
	var out []replacement
	for _, r := range all.Replacements {
		if !m.Less(r.From) && !r.To.Less(m) {
			out = append(out, r)
		}
	}
	return out, nil
}

// source is a module as the proxy served it.
type source struct {
	Dir   string
	GoMod string
	Error string
}

// download fetches Kubernetes' own module.
func download(ctx context.Context, v cluster.Version) (source, error) {
	var s source
	out, err := run(ctx, os.TempDir(), nil, "go", "mod", "download", "-json", kubernetes+"@"+v.String())
	if jsonErr := json.Unmarshal(out, &s); jsonErr == nil && s.Error != "" {
		return s, fmt.Errorf("download %s %s: %s", kubernetes, v, s.Error)
	}
	if err != nil {
		return s, fmt.Errorf("download %s %s: %w", kubernetes, v, err)
	}
	return s, nil
}

var (
	moduleLine  = regexp.MustCompile(`(?m)^module .*$`)
	stagingLine = regexp.MustCompile(`k8s\.io/(\S+) => \./staging/src/k8s\.io/\S+`)
)

// scratchModule turns the go.mod of Kubernetes into that of a module beside it
// which builds its commands: the staging directories become the published
// modules, and what a current toolchain cannot build is replaced.
func scratchModule(goMod string, v cluster.Version) (string, error) {
	needed, err := replacements(v.Line())
	if err != nil {
		return "", err
	}
	out := moduleLine.ReplaceAllString(goMod, "module lab.invalid/verify")
	out = stagingLine.ReplaceAllString(out, fmt.Sprintf("k8s.io/$1 => k8s.io/$1 v0.%d.%d", v.Minor, v.Patch))
	for _, r := range needed {
		own := regexp.MustCompile(`(?m)^(\s*(?:replace )?)` + regexp.QuoteMeta(r.Module) + ` => .*$`)
		if line := r.Module + " => " + r.With; own.MatchString(out) {
			out = own.ReplaceAllString(out, "${1}"+line)
		} else {
			out += "\nreplace " + line + "\n"
		}
	}
	return out + "\nrequire " + kubernetes + " " + v.String() + "\n", nil
}

// knownVersions are the packages that API servers of this release import to
// register their kinds, as Go source.
func knownVersions(dir string) (string, error) {
	var file string
	for _, pkg := range []string{"controlplane", "master"} { // the older name last
		file = filepath.Join(dir, "pkg", pkg, "import_known_versions.go")
		if _, err := os.Stat(file); err == nil {
			break
		}
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return "", fmt.Errorf("find the kinds that API servers register: %w", err)
	}
	var b strings.Builder
	b.WriteString("package main\n\n")
	for _, i := range parsed.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		if strings.HasSuffix(path, "/install") {
			fmt.Fprintf(&b, "import _ %q\n", path)
		}
	}
	return b.String(), nil
}
