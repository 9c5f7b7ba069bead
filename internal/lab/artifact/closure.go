package artifact

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// kubeProxyLayer writes a layer with the programs kube-proxy calls and every
// library they need, taken from the tree of a node.
func kubeProxyLayer(root, out string) error {
	c := closure{root: root, found: map[string]bool{}}
	for _, name := range []string{"/usr/sbin/xtables-nft-multi", "/usr/sbin/conntrack", "/usr/sbin/nft", "/usr/bin/kmod"} {
		if err := c.add(name); err != nil && (!errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(name, "nft")) {
			return err
		}
	}
	plugins, err := fs.Glob(os.DirFS(root), "usr/lib/*/xtables/*.so")
	if err != nil {
		return err
	}
	for _, p := range plugins {
		if err := c.add("/" + p); err != nil {
			return err
		}
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed and checked below where all went well
	l := newLayer(f)
	for _, name := range sortedKeys(c.found) {
		if err := l.file(name, filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	for _, link := range []string{
		"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore",
	} {
		l.symlink("/usr/sbin/"+link, "xtables-nft-multi")
	}
	l.symlink("/usr/sbin/modprobe", "../bin/kmod")
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		l.symlink("/"+dir, "usr/"+dir)
	}
	if err := l.close(); err != nil {
		return err
	}
	return f.Close()
}

// closure gathers files of a tree with the shared libraries they need, under
// the names by which the loader asks for them.
type closure struct {
	root  string
	found map[string]bool
}

func (c *closure) add(name string) error {
	if c.found[name] {
		return nil
	}
	real := filepath.Join(c.root, name)
	f, err := elf.Open(real)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // only read
	c.found[name] = true
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if interp := interpreter(f); interp != "" {
		if err := c.add("/usr" + interp); err != nil {
			return err
		}
	}
	for _, lib := range libs {
		matches, err := fs.Glob(os.DirFS(c.root), "usr/lib*/"+lib)
		if err != nil {
			return err
		}
		more, err := fs.Glob(os.DirFS(c.root), "usr/lib/*-linux-gnu*/"+lib)
		if err != nil {
			return err
		}
		matches = append(matches, more...)
		if len(matches) == 0 {
			return fmt.Errorf("%s needs %s, which the tree does not have", name, lib)
		}
		slices.Sort(matches)
		if err := c.add("/" + matches[0]); err != nil {
			return err
		}
	}
	return nil
}

func interpreter(f *elf.File) string {
	s := f.Section(".interp")
	if s == nil {
		return ""
	}
	raw, err := s.Data()
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(raw), "\x00")
}

// layer writes an image layer whose bytes depend on its content only.
type layer struct {
	tw   *tar.Writer
	dirs map[string]bool
	err  error
}

func newLayer(w io.Writer) *layer {
	return &layer{tw: tar.NewWriter(w), dirs: map[string]bool{"/": true, ".": true}}
}

func (l *layer) parents(name string) {
	dir := path.Dir(name)
	if l.dirs[dir] || l.err != nil {
		return
	}
	l.dirs[dir] = true
	l.parents(dir)
	l.err = l.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755})
}

func (l *layer) file(name, source string, mode int64) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	l.parents(name)
	if l.err != nil {
		return l.err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Size: fi.Size(), Mode: mode}
	if err := l.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(l.tw, f)
	return err
}

func (l *layer) symlink(name, target string) {
	l.parents(name)
	if l.err == nil {
		l.err = l.tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeSymlink, Name: strings.TrimPrefix(name, "/"), Linkname: target, Mode: 0o777,
		})
	}
}

func (l *layer) close() error {
	if l.err != nil {
		return l.err
	}
	return l.tw.Close()
}
