package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/step"
)

// benchHost is a control plane whose manifest names an etcd; its commands run here.
type benchHost struct{ remote.Host }

func (benchHost) ReadFile(_ context.Context, path string) ([]byte, error) {
	if strings.HasSuffix(path, "etcd.yaml") {
		return []byte("    image: registry.k8s.io/etcd:3.5.24-0\n"), nil
	}
	return nil, os.ErrNotExist
}

func (benchHost) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	out, err := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...).Output()
	return remote.Result{Stdout: out}, err
}

// Two commands that rehearse on one node at the same time have directories of their own;
// what a killed one left goes when nobody can be at work there any more.
func TestRehearsalsKeepApart(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{catalog: c}
	one, err := s.benchAt(t.Context(), benchHost{}, "cp-1", "3.5.24")
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.benchAt(t.Context(), benchHost{}, "cp-1", "3.5.24")
	if err != nil || one.Dir == two.Dir || filepath.Dir(one.Dir) != detached.Base {
		t.Errorf("%s and %s, %v", one.Dir, two.Dir, err)
	}

	base := t.TempDir()
	made := func(name string, age time.Duration) string {
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	old, young, run := made(benches+"old", 48*time.Hour), made(benches+"young", time.Hour), made("20260101-000000-abcdef", 48*time.Hour)
	b := bench{step.Bench{Host: benchHost{}, Dir: filepath.Join(base, benches+"mine")}}
	if err := b.removeAbandoned(t.Context()); err != nil {
		t.Fatal(err)
	}
	for dir, stays := range map[string]bool{old: false, young: true, run: true} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
