package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// canaries are values that must never be found in what kup writes, by what they
// stand for.
type canaries map[string]string

func newCanary(name string) (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return "canary-" + name + "-" + hex.EncodeToString(b[:]), nil
}

// plantFlag puts a canary into KUBELET_EXTRA_ARGS of a node, as a label that a
// kubelet sets only when it registers a new node, and restarts the kubelet so
// that the flag is known to be harmless before the upgrade begins.
func (e *env) plantFlag(ctx context.Context, nodeName, value string) error {
	const script = `set -e
f=/etc/default/kubelet
touch "$f"
if grep -q '^KUBELET_EXTRA_ARGS=' "$f"; then
  sed -i "s|^KUBELET_EXTRA_ARGS=\"*\([^\"]*\)\"*\$|KUBELET_EXTRA_ARGS=\"\1 --node-labels=shop.example/canary=$1\"|" "$f"
else
  echo "KUBELET_EXTRA_ARGS=\"--node-labels=shop.example/canary=$1\"" >> "$f"
fi
systemctl restart kubelet
tries=0
until tr '\0' ' ' < "/proc/$(systemctl show kubelet -p MainPID --value)/cmdline" | grep -q "$1"; do
  tries=$((tries+1)); [ "$tries" -lt 30 ] || { echo "the kubelet does not run with the flag" >&2; exit 1; }
  sleep 1
done`
	if _, err := e.lab.Exec(ctx, nodeName, "sh", "-c", script, "sh", value); err != nil {
		return fmt.Errorf("plant the canary flag on %s: %w", nodeName, err)
	}
	return nil
}

// leak is a canary that was found.
type leak struct{ canary, file string }

// search looks for canaries in every file below the directories, raw and in
// base64. etcd snapshots hold the cluster's Secrets by their nature: they are
// not searched but returned, to be checked for their mode.
func (c canaries) search(dirs ...string) (searched int, leaks []leak, snapshots []string, err error) {
	needles := c.needles()
	for _, dir := range dirs {
		walkErr := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			if strings.HasSuffix(path, ".db") {
				snapshots = append(snapshots, path)
				return nil
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			searched++
			for name, forms := range needles {
				if slices.ContainsFunc(forms, func(n []byte) bool { return bytes.Contains(raw, n) }) {
					leaks = append(leaks, leak{canary: name, file: path})
				}
			}
			return nil
		})
		if walkErr != nil && !errors.Is(walkErr, fs.ErrNotExist) {
			return 0, nil, nil, walkErr
		}
	}
	sort.Slice(leaks, func(i, j int) bool { return leaks[i].file+leaks[i].canary < leaks[j].file+leaks[j].canary })
	return searched, leaks, snapshots, nil
}

// needles are the forms in which a value could be written: raw, and the part of
// its base64 form that does not depend on what stands before it.
func (c canaries) needles() map[string][][]byte {
	out := make(map[string][][]byte, len(c))
	for name, value := range c {
		forms := [][]byte{[]byte(value)}
		for shift := range 3 {
			padded := strings.Repeat("x", shift) + value
			enc := base64.RawStdEncoding.EncodeToString([]byte(padded))
			// Four characters hold three bytes: drop what neighbours decide.
			forms = append(forms, []byte(enc[4:len(enc)-4]))
		}
		out[name] = forms
	}
	return out
}

// openModes names files and directories that others than their owner may read.
func openModes(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if fi.Mode().Perm()&0o077 != 0 && fi.Mode().Type()&fs.ModeSymlink == 0 {
			out = append(out, fmt.Sprintf("%s is %s", path, fi.Mode()))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return out, err
}
