package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/pkg/cluster"
)

// offered is a release and what the package source calls it.
type offered struct {
	version cluster.Version
	name    string
}

// readVersions reads a file that says what the package source offers:
// "1.34: [v1.34.3, v1.34.4]", or with the package's own version as in
// "1.34: [1.34.4-1.1]".
func readVersions(path string) ([]offered, error) {
	fail := func(err error) ([]offered, error) {
		return nil, &usageError{err: fmt.Errorf("versions file %s: %w", path, err), hint: `write it as "1.34": [1.34.3-1.1, 1.34.4-1.1]`}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{err: fmt.Errorf("versions file: %w", err), hint: "name a file that can be read with --versions-file"}
	}
	var lines map[string][]string
	if err := yaml.UnmarshalStrict(content, &lines); err != nil {
		return fail(err)
	}
	var out []offered
	seen := map[cluster.Version]bool{}
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		for _, text := range lines[line] {
			name := strings.TrimPrefix(text, "v")
			bare, _, _ := strings.Cut(name, "-")
			v, err := cluster.ParseVersion(bare)
			switch {
			case err != nil:
				return fail(err)
			case !isLine(line, v.Line()):
				return fail(fmt.Errorf("%s is listed under %s", text, line))
			case seen[v]:
				return fail(fmt.Errorf("%s is listed twice", v))
			}
			seen[v] = true
			out = append(out, offered{v, name})
		}
	}
	if len(out) == 0 {
		return fail(fmt.Errorf("it lists no version"))
	}
	return out, nil
}

// isLine tells whether a key names the minor: "1.34", "v1.34", and "1.3" for
// 1.30, which is what YAML makes of it without quotes.
func isLine(key string, minor cluster.Minor) bool {
	key = strings.TrimPrefix(key, "v")
	return key == minor.String() || key+"0" == minor.String()
}
