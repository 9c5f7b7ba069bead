package node

import (
	"context"
	"fmt"
	"os"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// startNodes starts the nodes' containers and waits for systemd in each.
func (u *bringUp) startNodes(ctx context.Context) error {
	t := &u.lab.state.Topology
	err := eachNode(ctx, t.machines(), 4, "start nodes", u.startNode)
	if err != nil {
		return err
	}
	for _, machines := range [][]Node{t.Nodes, t.Etcd} {
		for i, n := range machines {
			id, err := docker(ctx, "inspect", "--format", "{{.Id}}", u.lab.container(n.Name))
			if err != nil {
				return err
			}
			machines[i].ContainerID = id
		}
	}
	return u.lab.save()
}

func (u *bringUp) startNode(ctx context.Context, n Node) error {
	t := u.lab.state.Topology
	name := u.lab.container(n.Name)
	label := labelLab + "=" + u.spec.Name
	volume := name + "-var"
	if _, err := docker(ctx, "volume", "create", "--label", label, volume); err != nil {
		return err
	}
	args := []string{
		"run", "--detach", "--name", name, "--hostname", n.Name, "--label", label, "--label", labelLab + "-role=" + n.Role,
		"--network", u.lab.state.Network, "--ip", n.IP, "--stop-signal", "SIGRTMIN+3",
		"--tmpfs", "/run", "--tmpfs", "/tmp:exec", "--volume", volume + ":/var",
		"--env", "KUP_LAB_NAMESERVER=" + t.Depot,
	}
	if _, err := os.Stat("/lib/modules"); err == nil {
		args = append(args, "--volume", "/lib/modules:/lib/modules:ro")
	}
	for _, other := range t.machines() {
		if other.Name != n.Name {
			args = append(args, "--add-host", other.Name+":"+other.IP)
		}
	}
	args = append(append(append(args, u.privs...), u.lab.state.Image), firstProgram()...)
	if _, err := docker(ctx, args...); err != nil {
		return err
	}
	if err := booted(ctx, name); err != nil {
		logs, _ := docker(ctx, "logs", "--tail", "20", name)
		return fmt.Errorf("%w\n%s", err, logs)
	}
	return nil
}

func (u *bringUp) provisionNodes(ctx context.Context) error {
	systemdCgroup, err := u.cgroupV2(ctx)
	if err != nil {
		return err
	}
	containerd, err := render("containerd.toml", map[string]any{"Pause": u.bundles[0].Pause, "SystemdCgroup": systemdCgroup})
	if err != nil {
		return err
	}
	return eachNode(ctx, u.lab.state.Topology.Nodes, 3, "provision nodes", func(ctx context.Context, n Node) error {
		files, err := u.nodeFiles(n, containerd)
		if err != nil {
			return err
		}
		if err := u.lab.put(ctx, n.Name, files); err != nil {
			return err
		}
		_, err = u.lab.ExecIn(ctx, n.Name, u.provisionScript(n), "sh", "-eu")
		return err
	})
}

// cgroupV2 says whether this machine's containers get the unified hierarchy.
func (u *bringUp) cgroupV2(ctx context.Context) (bool, error) {
	out, err := docker(ctx, "info", "--format", "{{.CgroupVersion}}")
	return out == "2", err
}

func (u *bringUp) nodeFiles(n Node, containerd []byte) ([]nodeFile, error) {
	t := u.lab.state.Topology
	hosts, err := render("hosts.toml", t)
	if err != nil {
		return nil, err
	}
	cni, err := render("cni.conflist", map[string]any{"Node": n})
	if err != nil {
		return nil, err
	}
	files := []nodeFile{
		{path: "/etc/containerd/config.toml", mode: 0o644, data: containerd},
		{path: "/etc/containerd/certs.d/registry.k8s.io/hosts.toml", mode: 0o644, data: hosts},
		{path: "/etc/containerd/certs.d/_default/hosts.toml", mode: 0o644, data: hosts},
		{path: "/etc/cni/net.d/10-kup-lab.conflist", mode: 0o644, data: cni},
		{path: "/etc/kup-lab/net.conf", mode: 0o644, data: netConf(t, n)},
		{path: "/etc/apt/keyrings/kubernetes-apt-keyring.gpg", mode: 0o644, data: u.keyring},
		{path: "/etc/apt/sources.list.d/kubernetes.list", mode: 0o644, data: aptSource(t, u.bundles[0].Repo.Minor)},
		{path: "/etc/sudoers.d/" + artifact.SSHUser, mode: 0o440, data: sudoers(n)},
	}
	return append(files, sshServerFiles(u.keys, n.IP)...), nil
}

// provisionScript ends a node's configuration and installs the starting
// release's packages, pinned and held as users do it.
func (u *bringUp) provisionScript(n Node) string {
	v := u.bundles[0].Repo.Version
	script := `
chown -R ` + artifact.SSHUser + `: /home/` + artifact.SSHUser + `/.ssh
systemctl restart kup-lab-net containerd ssh
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install kubelet=` + v + ` kubeadm=` + v + ` kubectl=` + v + `
apt-mark hold kubelet kubeadm kubectl
systemctl enable kubelet
`
	if n.SudoPassword {
		script = "echo '" + artifact.SSHUser + ":" + u.secrets.sudoPassword + "' | chpasswd\n" + script
	}
	return script
}
