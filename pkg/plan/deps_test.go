package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPurePackages holds the packages that decide to their law: nothing that
// reaches a cluster or a machine, directly or through another package.
func TestPurePackages(t *testing.T) {
	const module = "github.com/kup-project/kup/"
	banned := map[string]string{
		"k8s.io/client-go/":       "the Kubernetes API is reached through internal/kube only",
		"go.etcd.io/etcd/client/": "etcd is reached through internal/etcd only",
		"golang.org/x/crypto/ssh": "hosts are reached through internal/remote only",
		"filippo.io/age":          "snapshots are sealed by internal/snapshot only",
		"github.com/minio/":       "places are reached by internal/snapshot only",
		"os/exec":                 "programs are started by internal/remote and internal/step only",
	}
	for _, pkg := range []string{"internal/snapshot"} { // it reaches places, and no cluster
		for _, dep := range deps(t, module+pkg) {
			if strings.HasPrefix(dep, module) && dep != module+pkg || strings.HasPrefix(dep, "k8s.io/") || strings.HasPrefix(dep, "go.etcd.io/") || strings.HasPrefix(dep, "golang.org/x/crypto/ssh") {
				t.Errorf("%s depends on %s: it keeps files; the CLI brings etcd and the hosts", pkg, dep)
			}
		}
	}
	for _, pkg := range []string{"pkg/plan", "pkg/cluster", "internal/catalog", "internal/planner", "internal/preflight", "internal/manifest", "internal/roundtrip", "internal/engine"} {
		t.Run(pkg, func(t *testing.T) {
			dir := filepath.Join("..", "..", filepath.FromSlash(pkg))
			if files, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(files) == 0 {
				t.Fatal("no Go files: the law names a package that is not there")
			}
			for _, dep := range deps(t, module+pkg) {
				for path, why := range banned {
					if dep == strings.TrimSuffix(path, "/") || strings.HasPrefix(dep, path) {
						t.Errorf("%s depends on %s: %s", pkg, dep, why)
					}
				}
			}
		})
	}
}

// deps lists everything the package is built from; nothing is downloaded.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath", pkg)
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var paths []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return paths
		} else if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p.ImportPath)
	}
}
