package machine

import (
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/pkg/cluster"
)

// Packages are those of a release, with the dependencies that the official ones
// have.
func Packages(v cluster.Version) []debian.Package {
	version := v.Bare() + "-1.1"
	tools := fmt.Sprintf("1.%d.0-1.1", v.Line().Minor)
	return []debian.Package{
		{
			Name: "kubeadm", Version: version, Depends: []string{"cri-tools (>= 1.30.0)"}, Summary: "Command-line utility for administering a Kubernetes cluster",
			Files: map[string]string{binary("kubeadm"): stamp("kubeadm", v), "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": dropIn},
		},
		{
			Name: "kubelet", Version: version, Depends: []string{"kubernetes-cni (>= 1.2.0)"}, Summary: "Node agent for Kubernetes clusters",
			Files: map[string]string{binary("kubelet"): stamp("kubelet", v), "/usr/lib/systemd/system/kubelet.service": unitFile},
		},
		{Name: "kubectl", Version: version, Summary: "Command-line utility for interacting with a Kubernetes cluster", Files: map[string]string{binary("kubectl"): stamp("kubectl", v)}},
		{Name: "cri-tools", Version: tools, Summary: "Command-line utility for interacting with a container runtime", Files: map[string]string{binary("crictl"): "hollow crictl\n"}},
		{Name: "kubernetes-cni", Version: "1.4.0-1.1", Summary: "Binaries required to provision container networking", Files: map[string]string{"/opt/cni/bin/bridge": "hollow bridge\n"}},
	}
}

// Publish makes a release installable: in the repository of its minor.
func Publish(r *debian.Repository, v cluster.Version) { r.Publish(v.Line().String(), Packages(v)...) }

func binary(name string) string { return "/usr/bin/" + name }

// stamp is the content of a program's file: what it is, and its version.
func stamp(name string, v cluster.Version) string {
	return "hollow " + name + " " + v.String() + "\n"
}

// stampOf reads the version of an installed program; false: it is not installed.
func stampOf(f *vfs.FS, name string) (cluster.Version, bool) {
	raw, err := f.ReadFile(binary(name))
	if err != nil {
		return cluster.Version{}, false
	}
	words := strings.Fields(string(raw))
	if len(words) != 3 {
		return cluster.Version{}, false
	}
	v, err := cluster.ParseVersion(words[2])
	return v, err == nil
}

const unitFile = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
`

const dropIn = `# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`
