package artifact

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// goCacheEnv names a Go build cache to use and keep. Without it builds use a
// throw-away one: a Kubernetes minor leaves several gigabytes behind.
const goCacheEnv = "KUP_LAB_GOCACHE"

// program is a set of commands compiled in one scratch module.
type program struct {
	kind, name string
	goMod      string                                              // text of the scratch module's go.mod
	module     func(ctx context.Context) (goMod string, err error) // finds goMod when a build is due
	sources    map[string]string                                   // more files of the scratch module
	packages   []string
	ldflags    string
	rename     map[string]string // output name by go build -> name wanted
}

func (p program) recipe() recipe {
	in := []string{"go 2", runtime.Version(), runtime.GOARCH, "CGO_ENABLED=0 -trimpath", p.goMod, p.ldflags}
	in = append(in, p.packages...)
	for _, name := range sortedKeys(p.sources) {
		in = append(in, name, p.sources[name])
	}
	return recipe{kind: p.kind, name: p.name, inputs: in}
}

// compile returns a directory with the program's static binaries.
func (s *Store) compile(ctx context.Context, p program) (string, error) {
	return s.ensure(ctx, p.recipe(), func(ctx context.Context, dir string) error {
		cache, err := s.useGoCache()
		if err != nil {
			return err
		}
		src, err := os.MkdirTemp(s.dir, scratch("src"))
		if err != nil {
			return err
		}
		defer os.RemoveAll(src)
		if p.module != nil {
			if p.goMod, err = p.module(ctx); err != nil {
				return err
			}
		}
		files := map[string]string{"go.mod": p.goMod, "module.go": "package build\n"}
		for name, text := range p.sources {
			delete(files, "module.go")
			files[name] = text
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
		argv := append([]string{"go", "build", "-v", "-mod=mod", "-trimpath", "-ldflags", p.ldflags, "-o", dir + "/"}, p.packages...)
		_, err = command{
			argv: argv, dir: src,
			env: []string{"GOCACHE=" + cache, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"},
			watch: func(d time.Duration, lines int) {
				s.logf("  %s %s: %d packages compiled in %s", p.kind, p.name, lines, d.Round(time.Second))
			},
		}.run(ctx)
		if err != nil {
			return err
		}
		for from, to := range p.rename {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) useGoCache() (string, error) {
	if kept := os.Getenv(goCacheEnv); kept != "" {
		return kept, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.goCache != "" {
		return s.goCache, nil
	}
	dir, err := os.MkdirTemp(s.dir, scratch("gocache"))
	if err != nil {
		return "", fmt.Errorf("make a Go build cache: %w", err)
	}
	s.goCache = dir
	return dir, nil
}

func (s *Store) dropGoCache() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.goCache
	s.goCache = ""
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// moduleFile downloads a module and returns the path of its go.mod.
func moduleFile(ctx context.Context, module, version string) (string, error) {
	out, err := command{
		argv: []string{"go", "mod", "download", "-json", module + "@" + version},
		dir:  os.TempDir(), env: []string{"GOFLAGS=", "GOWORK=off"},
	}.run(ctx)
	var info struct{ GoMod, Error string }
	if jsonErr := json.Unmarshal([]byte(out), &info); jsonErr == nil && info.Error != "" {
		return "", fmt.Errorf("download %s: %s", module, info.Error)
	}
	if err != nil {
		return "", fmt.Errorf("download %s@%s: %w", module, version, err)
	}
	return info.GoMod, nil
}

var (
	moduleLine   = regexp.MustCompile(`(?m)^module .*$`)
	stagingLine  = regexp.MustCompile(`k8s\.io/(\S+) => \./staging/src/k8s\.io/\S+`)
	scratchNamed = "lab.invalid/build"
)

// kubernetesModule turns the go.mod of k8s.io/kubernetes into that of a scratch
// module which builds it: the staging directories become the published modules.
func kubernetesModule(goMod, version string) (string, error) {
	minor, patch, err := splitVersion(version)
	if err != nil {
		return "", err
	}
	out := moduleLine.ReplaceAllString(goMod, "module "+scratchNamed)
	out = stagingLine.ReplaceAllString(out, "k8s.io/$1 => k8s.io/$1 v0."+minor+"."+patch)
	return out + "\nrequire k8s.io/kubernetes " + version + "\n", nil
}

func kubernetesLdflags(version string) (string, error) {
	minor, _, err := splitVersion(version)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("-s -w")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, kv := range [][2]string{
			{"gitVersion", version}, {"gitMajor", "1"}, {"gitMinor", minor}, {"gitTreeState", "clean"},
			{"gitCommit", strings.Repeat("0", 40)}, {"buildDate", "1970-01-01T00:00:00Z"},
		} {
			fmt.Fprintf(&b, " -X %s.%s=%s", pkg, kv[0], kv[1])
		}
	}
	return b.String(), nil
}

// Kubernetes returns a directory with the seven static binaries of a release.
// Compiling them cold takes some minutes.
func (s *Store) Kubernetes(ctx context.Context, version string) (string, error) {
	ldflags, err := kubernetesLdflags(version)
	if err != nil {
		return "", err
	}
	p := program{kind: "kubernetes", name: version, ldflags: ldflags}
	p.module = func(ctx context.Context) (string, error) {
		file, err := moduleFile(ctx, "k8s.io/kubernetes", version)
		if err != nil {
			return "", err
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		return kubernetesModule(string(raw), version)
	}
	for _, name := range []string{
		"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubeadm", "kubectl",
	} {
		p.packages = append(p.packages, "k8s.io/kubernetes/cmd/"+name)
	}
	dir, err := s.compile(ctx, p)
	if err != nil {
		return "", err
	}
	// Minors share next to nothing but the standard library in the build cache.
	return dir, s.dropGoCache()
}
