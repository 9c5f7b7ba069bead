package hollow

import (
	"bytes"
	"fmt"
	"path"

	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// renumbered is a text with the addresses of one network in place of another's.
func renumbered(text []byte, from, to int) []byte {
	if from == to {
		return text
	}
	return bytes.ReplaceAll(text, fmt.Appendf(nil, "127.77.%d.", from), fmt.Appendf(nil, "127.77.%d.", to))
}

// move gives a host that is off the address it now has: in its files, and in new
// certificates, from which on renewals are counted.
func (c *Cluster) move(h *host, from int) error {
	f := h.machine.FS()
	if err := renumber(f, "/", from, c.layout.Network); err != nil {
		return err
	}
	n := pki.Node{
		Name: h.Name, IP: h.IP, Endpoint: c.Endpoint(), SANs: []string{c.layout.address(hostBalancer)},
		Minor: int(h.machine.Kubelet().Minor), First: h.Name == c.hosts[0].Name,
	}
	write := c.authority.WriteWorker
	if h.isControlPlane() {
		write = c.authority.Write
	}
	if err := write(f, n); err != nil {
		return err
	}
	h.moved = true
	var err error
	h.expires, err = expiries(f)
	return err
}

// renumber changes the addresses in all files below a directory.
func renumber(f *vfs.FS, dir string, from, to int) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = renumber(f, name, from, to)
		case e.Type().IsRegular():
			err = renumberFile(f, name, from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func renumberFile(f *vfs.FS, name string, from, to int) error {
	old, err := f.ReadFile(name)
	if err != nil {
		return err
	}
	changed := renumbered(old, from, to)
	if bytes.Equal(old, changed) {
		return nil
	}
	info, err := f.Stat(name)
	if err != nil {
		return err
	}
	return f.WriteFile(name, changed, info.Mode().Perm())
}
