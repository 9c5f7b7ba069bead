package artifact

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	debianSuite  = "bookworm"
	debianMirror = "http://deb.debian.org/debian"
	// SSHUser is the unprivileged account, with sudo, that every node has.
	SSHUser = "ops"
	// rootfsRecipe is raised when the steps below change.
	rootfsRecipe = "6"
)

//go:embed all:overlay
var overlay embed.FS

func rootfsPackages() []string {
	return []string{
		"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "containerd", "runc",
		"iptables", "conntrack", "containernetworking-plugins", "iproute2", "ethtool", "socat", "ebtables",
		"kmod", "mount", "util-linux", "procps", "psmisc", "ca-certificates", "curl", "gpgv", "haproxy",
		"netcat-openbsd", "iputils-ping", "openssl", "tar", "gzip", "less",
	}
}

// Rootfs is the root file system of a node and what else was taken from it.
type Rootfs struct {
	// Key identifies the content; it is the image's tag in Docker.
	Key string
	// Tar is the file system as an uncompressed tar archive.
	Tar string
	// CNI holds the CNI plugins of the distribution.
	CNI string
	// KubeProxyLayer is an image layer with iptables, conntrack and their libraries.
	KubeProxyLayer string
}

func rootfsInputs() (recipe, error) {
	r := recipe{kind: "rootfs", name: debianSuite}
	r.inputs = append([]string{rootfsRecipe, debianMirror, runtime.GOARCH}, rootfsPackages()...)
	err := fs.WalkDir(overlay, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := overlay.ReadFile(path)
		r.inputs = append(r.inputs, path, string(text))
		return err
	})
	return r, err
}

// Rootfs returns the root file system of nodes, made by debootstrap. It needs
// root when it is not cached yet.
func (s *Store) Rootfs(ctx context.Context) (Rootfs, error) {
	r, err := rootfsInputs()
	if err != nil {
		return Rootfs{}, err
	}
	dir, err := s.ensure(ctx, r, s.buildRootfs)
	if err != nil {
		return Rootfs{}, err
	}
	return Rootfs{
		Key: r.key(), Tar: filepath.Join(dir, "rootfs.tar"),
		CNI: filepath.Join(dir, "cni"), KubeProxyLayer: filepath.Join(dir, "kube-proxy.tar"),
	}, nil
}

func (s *Store) buildRootfs(ctx context.Context, dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("a node's root file system is made by debootstrap, which needs root; run `kup-lab build` once as root with the same XDG_CACHE_HOME")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return fmt.Errorf("%w; install it with: apt-get install debootstrap", err)
	}
	root := filepath.Join(dir, "root")
	_, err := command{
		argv: []string{"debootstrap", "--variant=minbase", "--include=" + strings.Join(rootfsPackages(), ","), debianSuite, root, debianMirror},
		env:  []string{"DEBIAN_FRONTEND=noninteractive"},
		watch: func(d time.Duration, _ int) {
			s.logf("  root file system: debootstrap runs for %s", d.Round(time.Second))
		},
	}.run(ctx)
	if err != nil {
		return err
	}
	if err := writeOverlay(root); err != nil {
		return err
	}
	if err := s.configureRootfs(ctx, root); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "cni"), os.DirFS(filepath.Join(root, "usr/lib/cni"))); err != nil {
		return fmt.Errorf("copy the CNI plugins: %w", err)
	}
	if err := kubeProxyLayer(root, filepath.Join(dir, "kube-proxy.tar")); err != nil {
		return fmt.Errorf("gather what kube-proxy calls: %w", err)
	}
	if _, err := (command{argv: []string{"tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", filepath.Join(dir, "rootfs.tar"), "."}}).run(ctx); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

func writeOverlay(root string) error {
	return fs.WalkDir(overlay, "overlay", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := overlay.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(root, strings.TrimPrefix(path, "overlay"))
		mode := os.FileMode(0o644)
		if strings.Contains(path, "/sbin/") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, mode)
	})
}

// configureRootfs does inside the tree what cannot be a file of the overlay.
func (s *Store) configureRootfs(ctx context.Context, root string) error {
	script := `
useradd --create-home --shell /bin/bash ` + SSHUser + `
install -d -m 700 -o ` + SSHUser + ` -g ` + SSHUser + ` /home/` + SSHUser + `/.ssh
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-logind.service \
	systemd-networkd.service systemd-firstboot.service systemd-timesyncd.service getty.target haproxy.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
	ln -sf /dev/null /etc/systemd/system/$unit
done
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
install -d /etc/systemd/system/multi-user.target.wants /etc/cni/net.d /etc/kup-lab /opt/cni/bin /etc/apt/keyrings
ln -sf /etc/systemd/system/kup-lab-net.service /etc/systemd/system/multi-user.target.wants/kup-lab-net.service
rm -f /etc/ssh/ssh_host_* /etc/apt/sources.list /etc/machine-id /var/lib/dbus/machine-id /etc/cni/net.d/*
: > /etc/machine-id
rm -f /etc/containerd/config.toml
printf 'runtime-endpoint: unix:///run/containerd/containerd.sock\nimage-endpoint: unix:///run/containerd/containerd.sock\n' > /etc/crictl.yaml
rm -rf /var/cache/apt/archives/* /var/cache/debconf/*-old /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /var/log/*.log
`
	_, err := command{argv: []string{"chroot", root, "/bin/sh", "-eu"}, stdin: []byte(script)}.run(ctx)
	return err
}
