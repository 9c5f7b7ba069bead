package artifact

import (
	"context"
	_ "embed" // the kubelet's unit
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed packages/kubelet.service
var kubeletUnit string

//go:embed packages/10-kubeadm.conf
var kubeadmDropIn string

// debPackage is a Debian package to build.
type debPackage struct {
	name, version string
	depends       string
	summary       string
	binaries      map[string]string // path in the package -> file on this machine
	files         map[string]string // path in the package -> text
	conffiles     []string
	postinst      string
}

// control is the package's control paragraph, without a trailing blank line.
func (p debPackage) control() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: kup lab <lab@kup.invalid>\n", p.name, p.version, runtime.GOARCH)
	if p.depends != "" {
		fmt.Fprintf(&b, "Depends: %s\n", p.depends)
	}
	fmt.Fprintf(&b, "Section: admin\nPriority: optional\nHomepage: https://kubernetes.io\nDescription: %s\n", p.summary)
	return b.String()
}

func (p debPackage) fileName() string {
	return fmt.Sprintf("%s_%s_%s.deb", p.name, p.version, runtime.GOARCH)
}

// build writes the package into dir, uncompressed: it is read over a local
// network and unpacked once a node.
func (p debPackage) build(ctx context.Context, dir string) error {
	tree, err := os.MkdirTemp(dir, ".deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return err
	}
	put := func(name string, mode os.FileMode, text []byte) error {
		target := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, mode)
	}
	for name, source := range p.binaries {
		raw, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if err := put(name, 0o755, raw); err != nil {
			return err
		}
	}
	for name, text := range p.files {
		if err := put(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	if err := put("DEBIAN/control", 0o644, []byte(p.control())); err != nil {
		return err
	}
	if len(p.conffiles) > 0 {
		if err := put("DEBIAN/conffiles", 0o644, []byte(strings.Join(p.conffiles, "\n")+"\n")); err != nil {
			return err
		}
	}
	if p.postinst != "" {
		if err := put("DEBIAN/postinst", 0o755, []byte("#!/bin/sh\nset -e\n"+p.postinst)); err != nil {
			return err
		}
	}
	_, err = command{argv: []string{"dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, filepath.Join(dir, p.fileName())}}.run(ctx)
	return err
}

// kubernetesPackages are the packages of one minor's repository, with the
// content and dependencies of the official ones.
func kubernetesPackages(version, binaries, crictl, cni string) ([]debPackage, error) {
	v := strings.TrimPrefix(version, "v") + "-1.1"
	plugins, err := os.ReadDir(cni)
	if err != nil {
		return nil, err
	}
	pluginFiles := map[string]string{}
	for _, p := range plugins {
		pluginFiles["/opt/cni/bin/"+p.Name()] = filepath.Join(cni, p.Name())
	}
	bin := func(name string) map[string]string {
		return map[string]string{"/usr/bin/" + name: filepath.Join(binaries, name)}
	}
	return []debPackage{
		{
			name: "kubeadm", version: v, summary: "Command-line utility for administering a Kubernetes cluster",
			depends: "cri-tools (>= 1.30.0)", binaries: bin("kubeadm"),
			files: map[string]string{"/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": kubeadmDropIn},
		},
		{
			name: "kubelet", version: v, summary: "Node agent for Kubernetes clusters",
			depends: "iptables (>= 1.4.21), kubernetes-cni (>= 1.1.1), mount, util-linux, iproute2", binaries: bin("kubelet"),
			files: map[string]string{
				"/usr/lib/systemd/system/kubelet.service": kubeletUnit,
				"/etc/default/kubelet":                    "KUBELET_EXTRA_ARGS=\n",
				"/etc/kubernetes/manifests/.kubelet-keep": "",
				"/var/lib/kubelet/.kubelet-keep":          "",
			},
			conffiles: []string{"/etc/default/kubelet"},
			postinst: "if [ \"$1\" = configure ]; then\n\tdeb-systemd-helper enable kubelet.service >/dev/null || true\n" +
				"\tif [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi\nfi\n",
		},
		{name: "kubectl", version: v, summary: "Command-line utility for interacting with a Kubernetes cluster", binaries: bin("kubectl")},
		{
			name: "cri-tools", version: strings.TrimPrefix(crictlVersion, "v") + "-1.1", summary: "Command-line utility for interacting with a container runtime",
			binaries: map[string]string{"/usr/bin/crictl": filepath.Join(crictl, "crictl")},
		},
		{name: "kubernetes-cni", version: "1.1.1-1.1", summary: "Binaries required to provision container networking", binaries: pluginFiles},
	}, nil
}
