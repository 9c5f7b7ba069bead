package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the program that prints a scheme
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/pkg/cluster"
)

// goCacheEnv names a Go build cache to use and keep. Without it builds use a
// throw-away one: a minor leaves a gigabyte behind.
const goCacheEnv = "KUP_LAB_GOCACHE"

// gcflags spare what a binary that is asked for its help once does not need:
// optimisation and debugging data cost more time than the rest of a build.
const gcflags = "-gcflags=all=-N -l -dwarf=false"

//go:embed programs/scheme.go.txt
var schemeProgram string

// Builder compiles parts of Kubernetes releases and keeps what came of it.
type Builder struct {
	dir string
	log io.Writer
}

// NewBuilder keeps its builds in the lab's store; progress goes to log.
func NewBuilder(log io.Writer) (*Builder, error) {
	dir, err := artifact.DefaultDir()
	if err != nil {
		return nil, err
	}
	// Opening the store makes it, and removes what killed builds left there.
	if _, err := artifact.New(dir, log); err != nil {
		return nil, err
	}
	return &Builder{dir: dir, log: log}, nil
}

// build is one thing to be made of a release.
type build struct {
	kind    string
	version cluster.Version
	program string // main package; empty: scheme.go.txt with the release's own imports
	result  string // name of the file that is kept
	finish  func(ctx context.Context, binary, result string) error
}

func (b build) key() (string, error) {
	needed, err := replacements(b.version.Line())
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %s %s %s %s %s", runtime.Version(), runtime.GOARCH, b.kind, b.version, b.program)
	for _, r := range needed {
		fmt.Fprintf(sum, " %s=%s", r.Module, r.With)
	}
	if b.program == "" {
		_, _ = io.WriteString(sum, schemeProgram) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// make gives the path of the result and builds it when it is not there.
func (b *Builder) make(ctx context.Context, what build) (string, error) {
	key, err := what.key()
	if err != nil {
		return "", err
	}
	name := what.version.String() + "-" + key
	final := filepath.Join(b.dir, what.kind, name)
	result := filepath.Join(final, what.result)
	if _, err := os.Stat(result); err == nil {
		return result, nil
	}
	unlock, err := artifact.LockFile(ctx, filepath.Join(b.dir, "locks", what.kind+"-"+name))
	if err != nil {
		return "", fmt.Errorf("lock %s %s: %w", what.kind, what.version, err)
	}
	defer unlock()
	if _, err := os.Stat(result); err == nil {
		return result, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", err
	}
	// Named as the store's own scratch directories, which it sweeps.
	tmp, err := os.MkdirTemp(filepath.Dir(final), fmt.Sprintf(".building-%d-", os.Getpid()))
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	began := time.Now()
	fmt.Fprintf(b.log, "building %s %s\n", what.kind, what.version)
	if err := b.compile(ctx, what, tmp); err != nil {
		return "", fmt.Errorf("build %s %s: %w", what.kind, what.version, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("put %s %s in place: %w", what.kind, what.version, err)
	}
	fmt.Fprintf(b.log, "built %s %s in %s\n", what.kind, what.version, time.Since(began).Round(time.Second))
	return result, nil
}

// compile leaves nothing but the result in dir.
func (b *Builder) compile(ctx context.Context, what build, dir string) error {
	src, err := os.MkdirTemp(b.dir, fmt.Sprintf(".src-%d-", os.Getpid()))
	if err != nil {
		return err
	}
	defer os.RemoveAll(src)
	if err := sources(ctx, what, src); err != nil {
		return err
	}
	cache := os.Getenv(goCacheEnv)
	if cache == "" {
		if cache, err = os.MkdirTemp(b.dir, fmt.Sprintf(".gocache-%d-", os.Getpid())); err != nil {
			return err
		}
		defer os.RemoveAll(cache)
	}
	pkg := what.program
	if pkg == "" {
		pkg = "."
	}
	binary := filepath.Join(src, "binary")
	env := []string{"GOCACHE=" + cache, "CGO_ENABLED=0"}
	if _, err := run(ctx, src, env, "go", "build", "-mod=mod", "-trimpath", gcflags, "-ldflags", ldflags(what.version), "-o", binary, pkg); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return what.finish(ctx, binary, filepath.Join(dir, what.result))
}

// sources writes the scratch module.
func sources(ctx context.Context, what build, dir string) error {
	module, err := download(ctx, what.version)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(module.GoMod)
	if err != nil {
		return err
	}
	goMod, err := scratchModule(string(raw), what.version)
	if err != nil {
		return err
	}
	files := map[string]string{"go.mod": goMod, "main.go": "package main\n\nfunc main() {}\n"}
	if what.program == "" {
		files["main.go"] = schemeProgram
		if files["known.go"], err = knownVersions(module.Dir); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ldflags stamp the version: kubeadm reads its own to know what it may deploy.
func ldflags(v cluster.Version) string {
	out := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		out += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]d -X %[1]s.gitMinor=%[4]d", pkg, v, v.Major, v.Minor)
	}
	return out
}

// run gives what a command wrote to standard output. The process and its
// children are killed when ctx ends.
func run(ctx context.Context, dir string, env []string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w\n%s", strings.Join(argv[:min(len(argv), 3)], " "), err, tail(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// tail keeps the end of what a compiler had to say.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
