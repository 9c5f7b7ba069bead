package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const etcdReleaseRecipe = "1"

// EtcdRelease is a release of etcd as upstream publishes it: an archive of its programs
// and SHA256SUMS.
type EtcdRelease struct {
	Version string // 3.6.5
	Dir     string // what is to be served at URLPath
}

// URLPath is where the release is served.
func (r EtcdRelease) URLPath() string { return "/etcd/v" + r.Version + "/" }

// Archive is the name of the release's archive.
func (r EtcdRelease) Archive() string {
	return "etcd-v" + r.Version + "-linux-" + runtime.GOARCH + ".tar.gz"
}

// EtcdRelease returns the release of a version such as "3.6.5".
func (s *Store) EtcdRelease(ctx context.Context, version string) (EtcdRelease, error) {
	r := EtcdRelease{Version: version}
	server, err := s.Etcd(ctx, version)
	if err != nil {
		return r, err
	}
	tools, err := s.Etcd(ctx, etcdTools(version))
	if err != nil {
		return r, err
	}
	files := map[string]string{
		"etcd": filepath.Join(server, "etcd"), "etcdctl": filepath.Join(tools, "etcdctl"), "etcdutl": filepath.Join(tools, "etcdutl"),
	}
	from := recipe{kind: "etcd-release", name: version, inputs: []string{etcdReleaseRecipe, filepath.Base(server), filepath.Base(tools)}}
	r.Dir, err = s.ensure(ctx, from, func(_ context.Context, dir string) error { return writeEtcdRelease(dir, r.Archive(), files) })
	return r, err
}

func writeEtcdRelease(dir, name string, files map[string]string) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed and checked below where all went well
	h := sha256.New()
	zw := gzip.NewWriter(io.MultiWriter(f, h))
	tw := tar.NewWriter(zw)
	for _, program := range sortedKeys(files) {
		raw, err := os.ReadFile(files[program])
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimSuffix(name, ".tar.gz") + "/" + program, Mode: 0o755, Size: int64(len(raw))}
		if err := tw.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		if _, err := tw.Write(raw); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
	}
	for _, c := range []io.Closer{tw, zw, f} {
		if err := c.Close(); err != nil {
			return err
		}
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(hex.EncodeToString(h.Sum(nil))+"  "+name+"\n"), 0o644)
}
