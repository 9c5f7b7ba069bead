package survey

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

func offer(version, pkg string) Offer {
	return Offer{Version: cluster.MustParseVersion(version), Package: pkg}
}

func TestAvailable(t *testing.T) {
	index, err := os.ReadFile("testdata/apt.txt")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{name: "cp-1", output: map[string]string{"apt": string(index), "dnf": `rpm kubeadm 1.34.4-150500.1.1
rpm kubelet 1.34.4-150500.1.1
rpm kubectl 1.34.4-150500.1.1
rpm kubeadm 1.34.5-150500.1.1
`}}
	minor := cluster.Minor{Major: 1, Minor: 34}
	for _, tc := range []struct {
		manager string
		want    []Offer
		call    string
	}{
		{"apt", []Offer{offer("v1.34.4", "1.34.4-1.1")}, "apt https://r/v1.34/"},
		{"dnf", []Offer{offer("v1.34.4", "1.34.4-150500.1.1")}, "dnf https://r/v1.34/"},
		{"binaries", nil, ""},
	} {
		h.calls = nil
		got, err := Available(t.Context(), h, tc.manager, "https://r/v{minor}", minor)
		if err != nil || !slices.Equal(got, tc.want) || strings.Join(h.calls, "") != tc.call {
			t.Errorf("%s: %v %v after %q", tc.manager, got, err, h.calls)
		}
	}
	h.err = &remote.ExitError{Host: "cp-1", Argv: []string{"sh", "-c", aptScript}, Code: 1, Stderr: []byte("could not resolve r")}
	if _, err := Available(t.Context(), h, "apt", "https://r/", minor); !errors.Is(err, h.err) && (err == nil || !strings.Contains(err.Error(), "could not resolve r") || !strings.Contains(err.Error(), "packages.repository")) {
		t.Errorf("%v", err)
	}
}

func TestOffers(t *testing.T) {
	var index strings.Builder
	index.WriteString("architecture arm64\n")
	add := func(version, architecture string, names ...string) {
		for _, name := range names {
			index.WriteString("package " + name + "\nversion " + version + "\nfor " + architecture + "\nend\n")
		}
	}
	add("1.34.2-1.9", "arm64", "kubeadm", "kubelet", "kubectl")
	add("1.34.2-1.10", "arm64", "kubeadm", "kubelet", "kubectl")
	add("1.34.10-1.1", "arm64", "kubeadm", "kubelet", "kubectl")
	add("1.34.11-1.1", "arm64", "kubeadm", "kubelet") // kubectl is not there yet
	add("1.34.12-1.1", "amd64", "kubeadm", "kubelet", "kubectl")
	add("1.35.0-1.1", "arm64", "kubeadm", "kubelet", "kubectl") // a repository of all minors
	add("1.34.0~rc.1-1.1", "arm64", "kubeadm", "kubelet", "kubectl")
	got := offers(readDeb(index.String()), cluster.Minor{Major: 1, Minor: 34})
	if want := []Offer{offer("v1.34.2", "1.34.2-1.10"), offer("v1.34.10", "1.34.10-1.1")}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestCompareRevisions(t *testing.T) {
	ascending := []string{"", "1.34.4", "1.34.4-1.1", "1.34.4-1.9", "1.34.4-1.10", "1.34.4-2.1"}
	for i := range ascending {
		for j := range ascending {
			if got := compareRevisions(ascending[i], ascending[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%q against %q: %d", ascending[i], ascending[j], got)
			}
		}
	}
}

func FuzzParts(f *testing.F) {
	f.Add("\n#kup:part a\nx\n#kup:part b\n")
	f.Fuzz(func(t *testing.T, s string) {
		for name, text := range parts(s) {
			if !strings.Contains(s, name) || strings.Contains(text, "\n"+partMark) {
				t.Errorf("part %q: %q", name, text)
			}
		}
		disks(s)
		packages(s)
		readManifest(s)
		readDeb(s)
		_, _ = differing("kubelet", s, s, s)
	})
}
