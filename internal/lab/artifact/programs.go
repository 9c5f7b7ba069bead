package artifact

import (
	"context"
	_ "embed" // main packages of what is not a module's own command
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kup-project/kup/internal/lab/artifact/depot"
)

// crictlVersion is newer than some minors it is packaged for; CRI v1 is the same.
const crictlVersion = "v1.36.0"

const coreDNSModule = "github.com/coredns/coredns"

//go:embed programs/pause.go.txt
var pauseSource string

//go:embed programs/coredns.go.txt
var coreDNSMain string

//go:embed programs/depot.go.txt
var depotMain string

func scratchModule(requires ...string) string {
	goVersion := strings.TrimPrefix(runtime.Version(), "go")
	if i := strings.IndexAny(goVersion, " -"); i > 0 {
		goVersion = goVersion[:i]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "module %s\n\ngo %s\n", scratchNamed, goVersion)
	for _, r := range requires {
		fmt.Fprintf(&b, "require %s\n", r)
	}
	return b.String()
}

// Etcd returns a directory with etcd, etcdctl and etcdutl of a version such as
// "3.5.33".
func (s *Store) Etcd(ctx context.Context, version string) (string, error) {
	const base = "go.etcd.io/etcd/"
	p := program{
		kind: "etcd", name: version, ldflags: "-s -w",
		packages: []string{base + "server/v3"},
		rename:   map[string]string{"server": "etcd"},
	}
	tools := etcdTools(version)
	if tools == version {
		p.packages = append(p.packages, base+"etcdctl/v3", base+"etcdutl/v3")
	}
	var requires []string
	for _, pkg := range p.packages {
		requires = append(requires, pkg+" v"+version)
	}
	p.goMod = scratchModule(requires...)
	return s.compile(ctx, p)
}

// etcdTools is the version whose etcdctl and etcdutl go with a server. It is the
// server's own but for servers whose tools the Go module proxy does not serve.
func etcdTools(version string) string {
	if version == "3.5.24" {
		return "3.5.33"
	}
	return version
}

// CoreDNS returns a directory with the coredns binary of a version such as
// "v1.12.0".
func (s *Store) CoreDNS(ctx context.Context, version string) (string, error) {
	return s.compile(ctx, program{
		kind: "coredns", name: version, ldflags: "-s -w", goMod: scratchModule(coreDNSModule + " " + version),
		sources: map[string]string{"main.go": coreDNSMain}, packages: []string{"."},
		rename: map[string]string{"build": "coredns"},
	})
}

// Crictl returns a directory with the crictl binary.
func (s *Store) Crictl(ctx context.Context) (string, error) {
	const module = "sigs.k8s.io/cri-tools"
	return s.compile(ctx, program{
		kind: "cri-tools", name: crictlVersion,
		ldflags: "-s -w -X " + module + "/pkg/version.Version=" + crictlVersion,
		goMod:   scratchModule(module + " " + crictlVersion), packages: []string{module + "/cmd/crictl"},
	})
}

// Pause returns a directory with the program that holds a pod's namespaces.
func (s *Store) Pause(ctx context.Context) (string, error) {
	return s.compile(ctx, program{
		kind: "pause", name: "pause", ldflags: "-s -w", goMod: scratchModule(),
		sources: map[string]string{"main.go": pauseSource}, packages: []string{"."},
		rename: map[string]string{"build": "pause"},
	})
}

// Depot returns the path of the server of packages and images, to be run in a
// container on the lab's network.
func (s *Store) Depot(ctx context.Context) (string, error) {
	handler := strings.Replace(depot.Source, "package depot", "package main", 1)
	dir, err := s.compile(ctx, program{
		kind: "depot", name: "depot", ldflags: "-s -w", goMod: scratchModule(),
		sources: map[string]string{"main.go": depotMain, "handler.go": handler}, packages: []string{"."},
		rename: map[string]string{"build": "depot"},
	})
	return filepath.Join(dir, "depot"), err
}
