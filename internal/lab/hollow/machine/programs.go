package machine

import (
	"context"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// programs are what can be run on the host besides the usual small ones.
func (m *Machine) programs() map[string]shell.Program {
	out := map[string]shell.Program{
		"kubeadm": m.kubeadm, "kubelet": m.kubeletProgram, "kubectl": m.kubectl,
		"crictl": m.crictl, "containerd": m.containerd,
		"systemctl": m.systemctl, "journalctl": m.journalctl, "reboot": m.reboot,
		"ctr": m.ctr, "etcd": m.etcd, "etcdctl": m.etcdctl, "etcdutl": m.etcdutl, "kill": m.kill, "ip": ip,
		"unshare": unshare, "hostname": m.hostname, "uname": m.uname,
	}
	maps.Copy(out, m.packages.Programs())
	maps.Copy(out, m.cfg.Programs)
	return out
}

// installed tells whether a package has brought the program.
func installed(p *shell.Process, name string) bool {
	_, err := p.FS.Stat(binary(name))
	return err == nil
}

func notFound(p *shell.Process) int {
	const missing = 127
	_, _ = fmt.Fprintf(p.Stderr, "sh: 1: %s: not found\n", p.Args[0])
	return missing
}

func (m *Machine) hostname(_ context.Context, p *shell.Process) int {
	_, _ = fmt.Fprintln(p.Stdout, m.cfg.Name)
	return 0
}

const kernel = "6.1.0-28-amd64"

func (m *Machine) uname(_ context.Context, p *shell.Process) int {
	said := map[string]string{"": "Linux", "-s": "Linux", "-r": kernel, "-m": "x86_64", "-n": m.cfg.Name, "-a": "Linux " + m.cfg.Name + " " + kernel + " x86_64 GNU/Linux"}
	text, ok := said[strings.Join(p.Args[1:], " ")]
	if !ok {
		return p.Errorf("unrecognized option '%s'", strings.Join(p.Args[1:], " "))
	}
	_, _ = fmt.Fprintln(p.Stdout, text)
	return 0
}

// kubeletProgram is kubelet --version; the kubelet itself is a service.
func (m *Machine) kubeletProgram(_ context.Context, p *shell.Process) int {
	v, ok := stampOf(p.FS, "kubelet")
	if !ok {
		return notFound(p)
	}
	if strings.Join(p.Args[1:], " ") != "--version" {
		return p.Errorf("hollow kubelet runs as a service: systemctl start kubelet")
	}
	_, _ = fmt.Fprintln(p.Stdout, "Kubernetes", v)
	return 0
}

// unshare is unshare -n COMMAND, whose network is not modelled, and unshare -m
// COMMAND: a mount namespace of its own. Nothing in it can
// change the host: it is all a throw-away copy.
func unshare(ctx context.Context, p *shell.Process) int {
	if len(p.Args) > 2 && p.Args[1] == "-n" && p.Root {
		return p.Shell.Exec(ctx, p.Child(p.Args[2:]...))
	}
	if len(p.Args) < 3 || p.Args[1] != "-m" {
		return p.Errorf("hollow unshare knows -m COMMAND and -n COMMAND only")
	}
	if !p.Root {
		return p.Errorf("unshare failed: Operation not permitted")
	}
	aside := p.FS.Clone()
	programs := maps.Clone(p.Shell.Programs)
	programs["mount"] = mount
	s := shell.New(aside, programs)
	s.Pace, s.Now = p.Shell.Pace, p.Shell.Now
	child := p.Child(p.Args[2:]...)
	child.FS, child.Shell = aside, s
	return s.Exec(ctx, child)
}

// mount is mount -t tmpfs and mount -t overlay in a namespace that is a copy: an
// overlay over what is there already shows just that.
func mount(_ context.Context, p *shell.Process) int {
	if len(p.Args) < 5 || p.Args[1] != "-t" {
		return p.Errorf("hollow mount knows -t tmpfs and -t overlay only")
	}
	target := p.Path(p.Args[len(p.Args)-1])
	if _, err := p.FS.Stat(target); err != nil {
		return p.Errorf("%s: mount point does not exist.", target)
	}
	switch p.Args[2] {
	case "overlay":
		return 0
	case "tmpfs":
		if err := empty(p.FS, target); err != nil {
			return p.Errorf("%s: %v", target, err)
		}
		return 0
	}
	return p.Errorf("%s: unknown filesystem type '%s'.", target, p.Args[2])
}

// empty removes what is in a directory.
func empty(f *vfs.FS, dir string) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.RemoveAll(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
