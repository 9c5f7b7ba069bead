package artifact

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pin is what the lab takes for a Kubernetes minor when asked for the minor
// only. Pins are data: a full version overrides the patch, Spec.Etcd the etcd.
type pin struct {
	minor string
	patch string // newest patch that the Go module proxy serves
	etcd  string // etcd the cluster starts with; empty means kubeadm's own default
}

// pins lists the minors whose builds are known to work. etcd below 3.5.26 must
// not be taken to 3.6 (https://etcd.io/blog/2025/upgrade_from_3.5_to_3.6_issue/),
// and kubeadm 1.33 defaults to 3.5.24: hence its override.
func pins() []pin {
	return []pin{
		{minor: "1.33", patch: "v1.33.13", etcd: "3.5.33"},
		{minor: "1.34", patch: "v1.34.4"},
		{minor: "1.35", patch: "v1.35.4"},
	}
}

// SafeEtcd is the etcd a cluster of the minor should start with so that its
// next hop is safe; empty means that kubeadm's default is.
func SafeEtcd(minor string) string {
	for _, p := range pins() {
		if p.minor == minor {
			return p.etcd
		}
	}
	return ""
}

var versionRE = regexp.MustCompile(`^v?(\d+)\.(\d+)(?:\.(\d+))?$`)

// Minor is "1.33" for "1.33", "v1.33.13" and "1.33.13".
func Minor(version string) (string, error) {
	m := versionRE.FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("%q is not a Kubernetes version; write 1.33 or v1.33.13", version)
	}
	return m[1] + "." + m[2], nil
}

// Resolve turns "1.33" into a full version: the pinned patch, or for a minor
// without a pin the newest release that the module proxy serves. A full version
// is returned as it is, with its v.
func (s *Store) Resolve(ctx context.Context, version string) (string, error) {
	m := versionRE.FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("%q is not a Kubernetes version; write 1.33 or v1.33.13", version)
	}
	if m[3] != "" {
		return "v" + strings.TrimPrefix(version, "v"), nil
	}
	minor := m[1] + "." + m[2]
	for _, p := range pins() {
		if p.minor == minor {
			return p.patch, nil
		}
	}
	out, err := command{
		argv: []string{"go", "list", "-m", "-versions", "k8s.io/kubernetes"},
		dir:  os.TempDir(), env: []string{"GOFLAGS=", "GOWORK=off"},
	}.run(ctx)
	if err != nil {
		return "", fmt.Errorf("find the newest patch of %s: %w", minor, err)
	}
	return newestPatch(strings.Fields(out), minor)
}

func newestPatch(versions []string, minor string) (string, error) {
	best := -1
	for _, v := range versions {
		m := versionRE.FindStringSubmatch(v)
		if m == nil || m[3] == "" || m[1]+"."+m[2] != minor {
			continue
		}
		n, err := strconv.Atoi(m[3])
		if err != nil {
			continue
		}
		best = max(best, n)
	}
	if best < 0 {
		return "", fmt.Errorf("the Go module proxy serves no release of Kubernetes %s", minor)
	}
	return fmt.Sprintf("v%s.%d", minor, best), nil
}

// splitVersion returns minor and patch numbers of a full version.
func splitVersion(version string) (minor, patch string, err error) {
	m := versionRE.FindStringSubmatch(version)
	if m == nil || m[3] == "" {
		return "", "", fmt.Errorf("%q is not a full Kubernetes version such as v1.33.13", version)
	}
	return m[2], m[3], nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
