package machine

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/pkg/cluster"
)

// The files that users of Kubernetes' repositories keep its source and its key in.
const (
	SourceFile = "/etc/apt/sources.list.d/kubernetes.list"
	KeyFile    = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg"
)

// Provisioning is the cluster that a new host is a part of.
type Provisioning struct {
	// Config is kubeadm's configuration, for the version that the host is to run.
	Config *manifest.Config
	// EtcdTag is the image tag of etcd; empty: what the configuration comes to.
	EtcdTag string
	// First: kubeadm init made this control plane; the others joined.
	First bool
	// Joined are the members that a joining control plane found, itself included:
	// "cp-1=https://10.0.0.1:2380".
	Joined []string
	// SANs are further names of the API server's certificate.
	SANs []string
	// Users have a home on the host.
	Users []string
	// Lifetime is how long certificates are still good for; 0: a year.
	Lifetime time.Duration
}

// Provision makes the files of a host that kubeadm has made a node, and has the
// runtime as if all of it ran: Resume, without asking anything of the cluster, goes
// on from there.
func (m *Machine) Provision(p Provisioning) error {
	v, err := p.Config.Version()
	if err != nil {
		return fmt.Errorf("provision %s: %w", m.cfg.Name, err)
	}
	config := p.Config.At(v)
	if p.EtcdTag != "" {
		config.PinEtcd(p.EtcdTag)
	}
	images, err := config.Images(m.cfg.Catalog, v.Line())
	if err != nil {
		return fmt.Errorf("provision %s: %w", m.cfg.Name, err)
	}
	w := &manifest.Writer{Kubeadm: v.Line(), Config: config, Images: images, Node: m.cfg.Name, IP: m.cfg.IP}
	steps := []func() error{
		func() error { return m.base(p.Users) },
		func() error { return m.installRelease(v) },
		func() error { return m.kubeletFiles(v.Line(), images.Pause) },
		func() error { return m.certificates(p, v.Line()) },
	}
	m.runtime.add(images.KubeProxy, images.CoreDNS, images.Pause)
	m.runtime.mu.Lock()
	m.runtime.state.Sandbox = images.Pause
	m.runtime.mu.Unlock()
	if m.cfg.Role == cluster.ControlPlane {
		m.runtime.add(imagesOf(images)...)
		steps = append(steps, func() error { return m.staticFiles(w, p.Joined) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("provision %s: %w", m.cfg.Name, err)
		}
	}
	return nil
}

// base is what every Debian host has.
func (m *Machine) base(users []string) error {
	var errs []error
	for _, dir := range []string{
		"/etc/apt/sources.list.d", path.Dir(KeyFile), manifest.Dir, "/root", "/run", "/usr/bin", "/usr/lib/apt", "/usr/local/bin",
		"/var/cache", "/var/lib/containerd", manifest.KubeletDir, "/var/log", "/etc/systemd/system",
	} {
		errs = append(errs, m.fs.MkdirAll(dir, 0o755))
	}
	for _, user := range users {
		errs = append(errs, m.fs.MkdirAll("/home/"+user, 0o755))
	}
	for name, text := range map[string]string{
		"/etc/hostname":         m.cfg.Name + "\n",
		"/etc/machine-id":       machineID(m.cfg.Name) + "\n",
		"/etc/os-release":       "PRETTY_NAME=\"" + osImage + "\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
		"/etc/apt/sources.list": "",
		KeyFile:                 "hollow key\n",
		"/etc/default/kubelet":  "KUBELET_EXTRA_ARGS=\n",
	} {
		errs = append(errs, m.fs.MkdirAll(path.Dir(name), 0o755), m.fs.WriteFile(name, []byte(text), 0o644))
	}
	return errors.Join(errs...)
}

// installRelease installs a release's packages and puts them on hold, as users do.
func (m *Machine) installRelease(v cluster.Version) error {
	source := fmt.Sprintf("deb [signed-by=%s] %s /\n", KeyFile, m.cfg.Repository.URL(v.Line().String()))
	if err := m.fs.WriteFile(SourceFile, []byte(source), 0o644); err != nil {
		return err
	}
	base := []debian.Package{
		{Name: "apt", Version: "2.6.1", Summary: "commandline package manager"},
		{Name: "containerd", Version: "1.7.28-1", Summary: "open and reliable container runtime"},
		{Name: "dpkg", Version: "1.21.22", Summary: "Debian package management system"},
	}
	if err := m.packages.Install(m.fs, append(base, Packages(v)...)...); err != nil {
		return err
	}
	return m.packages.Hold(m.fs, "kubeadm", "kubelet", "kubectl")
}

// kubeletFiles are the kubelet's configuration and flags as kubeadm of a minor leaves
// them.
func (m *Machine) kubeletFiles(kubeadm cluster.Minor, pause string) error {
	stored, err := manifest.Kubelets("", kubeadm)
	if err != nil {
		return err
	}
	instance := ""
	flags := []string{"--container-runtime-endpoint=" + manifest.Socket, "--node-ip=" + m.cfg.IP, "--pod-infra-container-image=" + pause}
	if !kubeadm.Less(manifest.LocalSocket) {
		instance, flags = manifest.Instance(manifest.Socket), flags[1:]
		if err := m.fs.WriteFile(manifest.KubeletInstance, []byte(instance), 0o644); err != nil {
			return err
		}
	}
	if !kubeadm.Less(minor(35)) {
		flags = flags[:1]
	}
	text, err := manifest.Kubelet(stored, instance)
	if err != nil {
		return err
	}
	return errors.Join(
		m.fs.WriteFile(manifest.KubeletConfig, []byte(text), 0o644),
		m.fs.WriteFile(manifest.KubeletFlags, []byte(manifest.Flags(flags...)), 0o644),
	)
}

// certificates are what kubeadm makes for the host: certificates and kubeconfigs.
func (m *Machine) certificates(p Provisioning, line cluster.Minor) error {
	if m.cfg.Authority == nil {
		return m.fs.WriteFile("/etc/kubernetes/kubelet.conf", []byte("server: https://"+p.Config.Endpoint()+"\n"), 0o600)
	}
	n := pki.Node{
		Name: m.cfg.Name, IP: m.cfg.IP, Endpoint: "https://" + p.Config.Endpoint(), SANs: p.SANs, Minor: int(line.Minor), First: p.First, Lifetime: p.Lifetime,
	}
	if m.cfg.Role == cluster.ControlPlane {
		return m.cfg.Authority.Write(m.fs, n)
	}
	return m.cfg.Authority.WriteWorker(m.fs, n)
}

// staticFiles are the manifests of a control plane, which run.
func (m *Machine) staticFiles(w *manifest.Writer, joined []string) error {
	all, err := w.All()
	if err != nil {
		return err
	}
	if all[manifest.Etcd], err = w.Etcd(joined); err != nil {
		return err
	}
	errs := []error{m.fs.MkdirAll(memberData, 0o700), m.fs.MkdirAll(kubeadmTemp, 0o700)}
	for name, text := range all {
		errs = append(errs, m.fs.WriteFile(path.Join(manifest.Dir, name+".yaml"), text, 0o600))
		m.runtime.setStatic(name, &staticRun{Hash: hashOf(text, w.Kubeadm), Version: versionOfTag(tagOf(manifest.Image(text))), Started: m.now().UTC()})
	}
	return errors.Join(errs...)
}
