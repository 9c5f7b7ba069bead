package survey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// Offer is a release that a package repository has, complete: kubeadm, kubelet
// and kubectl.
type Offer struct {
	Version cluster.Version
	Package string // the packages' version there: 1.34.4-1.1
}

// Available asks the package repository, from a host, for the releases of a
// minor, oldest first; none when the repository has no such minor. Plain
// binaries have no listing: with that manager there are none either.
func Available(ctx context.Context, h remote.Host, manager, repository string, minor cluster.Minor) ([]Offer, error) {
	url := strings.ReplaceAll(repository, "{minor}", minor.String())
	var text string
	switch manager {
	case "apt":
		text = aptScript
	case "dnf":
		text = dnfScript
	default:
		return nil, nil
	}
	if !strings.HasSuffix(url, "/") {
		url += "/"
	}
	output, err := script(ctx, h, text, nil, url)
	if err != nil {
		return nil, fmt.Errorf("read the package repository %s: %w; check packages.repository in kup.yaml and that the host reaches it", url, err)
	}
	read := readRPM
	if manager == "apt" {
		read = readDeb
	}
	return offers(read(output), minor), nil
}

// readDeb gives, of each version of a package, which packages exist. Only those
// for the host's architecture count.
func readDeb(output string) map[string][]string {
	out := map[string][]string{}
	var architecture, name, version, built string
	for line := range strings.Lines(output + "end\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "architecture":
			architecture = value
		case "package":
			name = value
		case "version":
			version = value
		case "for":
			built = value
		case "end":
			if built == architecture || built == "all" {
				out[version] = append(out[version], name)
			}
			name, version, built = "", "", ""
		}
	}
	return out
}

// readRPM reads lines of "rpm kubeadm 1.34.4-150500.1.1".
func readRPM(output string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(output) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "rpm" {
			out[f[2]] = append(out[f[2]], f[1])
		}
	}
	return out
}

// offers picks the releases of a minor that are complete, each with its newest
// package.
func offers(packages map[string][]string, minor cluster.Minor) []Offer {
	newest := map[cluster.Version]string{}
	for version, names := range packages {
		release, _, _ := strings.Cut(version, "-")
		v, err := cluster.ParseVersion(release)
		if err != nil || v.Line() != minor {
			continue
		}
		complete := slices.Contains(names, "kubeadm") && slices.Contains(names, "kubelet") && slices.Contains(names, "kubectl")
		if complete && compareRevisions(newest[v], version) < 0 {
			newest[v] = version
		}
	}
	out := make([]Offer, 0, len(newest))
	for v, version := range newest {
		out = append(out, Offer{Version: v, Package: version})
	}
	slices.SortFunc(out, func(a, b Offer) int { return a.Version.Compare(b.Version) })
	return out
}

// compareRevisions orders 1.34.4-1.9 before 1.34.4-1.10.
func compareRevisions(a, b string) int {
	split := func(r rune) bool { return r < '0' || r > '9' }
	x, y := strings.FieldsFunc(a, split), strings.FieldsFunc(b, split)
	for i := range min(len(x), len(y)) {
		m, mErr := strconv.ParseUint(x[i], 10, 64)
		n, nErr := strconv.ParseUint(y[i], 10, 64)
		if mErr == nil && nErr == nil && m != n {
			return cmp.Compare(m, n)
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}
