package e2e

import (
	"context"
	"fmt"
	"strings"
)

const adminKubeconfig = "/etc/kubernetes/admin.conf"

// kubectl runs it on the first control plane, as an operator would.
func (p *preflightRun) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return p.lab.ExecIn(ctx, p.first().Name, stdin, append([]string{"kubectl", "--kubeconfig", adminKubeconfig}, args...)...)
}

type plant = func(context.Context, *preflightRun) (func(context.Context) error, error)

// applied plants objects.
func applied(manifest string) plant {
	return func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
		mend := func(ctx context.Context) error {
			_, err := p.kubectl(ctx, manifest, "delete", "-f", "-", "--ignore-not-found", "--wait", "--grace-period=1", "--timeout=120s")
			return err
		}
		_, err := p.kubectl(ctx, manifest, "apply", "-f", "-")
		return mend, err
	}
}

// created plants objects without the annotation that kubectl apply leaves.
func created(manifest string) plant {
	return func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
		mend := func(ctx context.Context) error {
			_, err := p.kubectl(ctx, manifest, "delete", "-f", "-", "--ignore-not-found")
			return err
		}
		_, err := p.kubectl(ctx, manifest, "create", "-f", "-")
		return mend, err
	}
}

// kubectls plants with one command of kubectl and mends with another.
func kubectls(bad, good []string) plant {
	return func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
		_, err := p.kubectl(ctx, "", bad...)
		return func(ctx context.Context) error {
			_, err := p.kubectl(ctx, "", good...)
			return err
		}, err
	}
}

// shell plants with a script on the last worker and mends with another.
func shell(bad, good string) plant {
	return onMachine(func(p *preflightRun) string { return p.last().Name }, bad, good)
}

// shellFirst does so on the first control plane.
func shellFirst(bad, good string) plant {
	return onMachine(func(p *preflightRun) string { return p.first().Name }, bad, good)
}

func onMachine(which func(*preflightRun) string, bad, good string) plant {
	return func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
		node := which(p)
		_, err := p.lab.Exec(ctx, node, "sh", "-euc", bad)
		return func(ctx context.Context) error {
			_, err := p.lab.Exec(ctx, node, "sh", "-euc", good)
			return err
		}, err
	}
}

// configured plants a line in kubeadm's ClusterConfiguration.
func configured(edit func(string) string) plant {
	return func(ctx context.Context, p *preflightRun) (func(context.Context) error, error) {
		return p.editKubeadmConfig(ctx, edit)
	}
}

// stored plants an object that no API server of the lab would write any more.
func stored(key, value string) plant {
	etcdctl := "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt" +
		" --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key"
	inEtcd := func(args string) string {
		return `crictl exec "$(crictl ps -q --name '^etcd$')" ` + etcdctl + " " + args
	}
	return shellFirst(inEtcd(fmt.Sprintf("put %s '%s'", key, value)), inEtcd("del "+key))
}

func defects() []defect {
	var out []defect
	for _, family := range [][]defect{apiDefects(), storedDefects(), startupDefects(), hostDefects(), etcdDefects(), workloadDefects(), admissionDefects(), addonDefects()} {
		out = append(out, family...)
	}
	return out
}

func etcdDefects() []defect {
	return []defect{
		{
			rule: "KUP-044", name: "etcd's image pinned in kubeadm's configuration", object: "kubeadm-config", fix: "imageTag",
			plant: configured(func(s string) string {
				return strings.Replace(s, "  local:\n", "  local:\n    imageTag: 3.5.26-0\n", 1)
			}), also: []string{"KUP-031", "KUP-040", "KUP-046", "KUP-172"},
		},
		{
			rule: "KUP-024", name: "a node cordoned", object: "w-2", fix: "kubectl uncordon",
			plant: kubectls([]string{"cordon", "w-2"}, []string{"uncordon", "w-2"}), also: []string{"KUP-135", "KUP-131"},
		},
	}
}

func hostDefects() []defect {
	return []defect{
		{
			rule: "KUP-099", name: "a host that waits for a reboot", object: "w-2",
			plant: shell("touch /run/reboot-required", "rm -f /run/reboot-required"),
		},
		{
			rule: "KUP-105", name: "a host that does not forward packets", object: "w-2", fix: "ip_forward",
			plant: shell("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"),
		},
		{
			rule: "KUP-095", name: "a kubelet that does not start with its host", object: "w-2", fix: "systemctl enable",
			plant: shell("systemctl disable -q kubelet", "systemctl enable -q kubelet"),
		},
		{
			rule: "KUP-101", name: "a package left half configured", object: "w-2", fix: "dpkg --configure",
			plant: shell(`cp -a /var/lib/dpkg/status /var/lib/dpkg/status.kup
awk '/^Package: /{p=$2} p=="tzdata" && /^Status: /{$0="Status: install ok unpacked"} {print}' /var/lib/dpkg/status.kup >/var/lib/dpkg/status`,
				"mv /var/lib/dpkg/status.kup /var/lib/dpkg/status"),
		},
		{
			rule: "KUP-062", name: "packages that any upgrade of the system moves", object: "w-2", fix: "hold",
			plant: shell("apt-mark unhold kubelet", "apt-mark hold kubelet"),
		},
		{
			rule: "KUP-094", name: "swap that the next kubelet would refuse", object: "w-2", fix: "swap",
			// A flag, because kubeadm brings the cluster's configuration with the next
			// kubelet. The swap is the machine's, as all nodes share its kernel: little,
			// and off again.
			plant: shell(`cp -a /etc/default/kubelet /root/kubelet.kup 2>/dev/null || :
echo 'KUBELET_EXTRA_ARGS=--fail-swap-on=true' >/etc/default/kubelet
dd if=/dev/zero of=/var/lib/defect.swap bs=1M count=8 status=none; chmod 600 /var/lib/defect.swap; mkswap /var/lib/defect.swap; swapon /var/lib/defect.swap`,
				`swapoff /var/lib/defect.swap || :; rm -f /var/lib/defect.swap; ! grep -q defect.swap /proc/swaps
if [ -f /root/kubelet.kup ]; then mv /root/kubelet.kup /etc/default/kubelet; else rm -f /etc/default/kubelet; fi`),
		},
	}
}

func startupDefects() []defect {
	extra := func(args string) plant {
		return shell(`cp -a /etc/default/kubelet /root/kubelet.kup 2>/dev/null || :
echo 'KUBELET_EXTRA_ARGS=`+args+`' >/etc/default/kubelet`,
			"if [ -f /root/kubelet.kup ]; then mv /root/kubelet.kup /etc/default/kubelet; else rm /etc/default/kubelet; fi")
	}
	return []defect{
		{
			rule: "KUP-070", name: "a kubelet flag that 1.35 removes", object: "w-2", hop: "1.35", fix: "/etc/default/kubelet",
			plant: extra("--pod-infra-container-image=registry.k8s.io/pause:3.9"),
		},
		{
			rule: "KUP-072", name: "a feature gate that 1.35 removes", object: "w-2", hop: "1.35", fix: "PodIndexLabel",
			plant: extra("--feature-gates=PodIndexLabel=true"),
		},
		{
			rule: "KUP-081", name: "a gate of kubeadm that 1.36 removes", hop: "1.36", fix: "ControlPlaneKubeletLocalMode",
			plant: configured(func(s string) string { return s + "\nfeatureGates:\n  ControlPlaneKubeletLocalMode: true\n" }),
		},
		{
			rule: "KUP-072", name: "an API server's gate that 1.36 removes, in kubeadm's configuration", hop: "1.36", fix: "WatchFromStorageWithoutResourceVersion",
			plant: configured(func(s string) string {
				return strings.Replace(s, "apiServer: {}\n", "apiServer:\n  extraArgs:\n  - name: feature-gates\n    value: WatchFromStorageWithoutResourceVersion=false\n", 1)
			}), also: []string{"KUP-031"},
		},
		{
			rule: "KUP-031", name: "a flag added to a manifest by hand", object: "kube-scheduler.yaml", fix: "kubeadm-config",
			plant: shellFirst(`cp -a /etc/kubernetes/manifests/kube-scheduler.yaml /root/kube-scheduler.kup
sed -i 's/^    - --leader-elect=true/&\n    - --v=1/' /etc/kubernetes/manifests/kube-scheduler.yaml`,
				"mv /root/kube-scheduler.kup /etc/kubernetes/manifests/kube-scheduler.yaml"),
			also: []string{"KUP-025"},
		},
	}
}
