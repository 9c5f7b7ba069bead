package cluster

// Startup is what the components of one host are started with: flags, feature
// gates and the versions of their configuration files, never values that may be
// secret. A part that could not be seen is absent, and says nothing.
type Startup struct {
	// Components are those seen on the host: the static pods of a control plane
	// by their manifests, and the kubelet by its systemd unit.
	Components []Component
	// Kubelet are the kubelet's configuration files.
	Kubelet []KubeletConfig
	// Files are other configuration files that flags name.
	Files []ConfigFile
	// ContainerdConfig is the version of /etc/containerd/config.toml; 0: none seen.
	ContainerdConfig int
	// Cluster is what kubeadm writes the manifests from, on control planes; nil
	// where it was not read. It is the same for all of them.
	Cluster *ClusterArgs
}

// Component is one component and its flags, in order.
type Component struct {
	Name  string // kube-apiserver, kube-controller-manager, kube-scheduler, etcd, kubelet
	Flags []Flag
}

// Flag is a command line flag.
type Flag struct {
	Name string // without dashes: feature-gates
	// Value is empty where it may be secret, see [OpenFlags].
	Value string
	// Path is the file the flag stands in.
	Path string
}

// KubeletConfig is a KubeletConfiguration.
type KubeletConfig struct {
	Path         string
	APIVersion   string
	FeatureGates map[string]bool
	Fields       []string // names at the top, in the file's order
}

// ConfigFile is a configuration file that a component's flag names.
type ConfigFile struct {
	Component  string
	Flag       string
	Path       string
	APIVersion string
	Kind       string
	Providers  []EncryptionProvider // of an EncryptionConfiguration
}

// EncryptionProvider is one provider of an EncryptionConfiguration, without its
// keys.
type EncryptionProvider struct {
	Name string // kms, aescbc, aesgcm, secretbox, identity
	// APIVersion is that of a kms provider, v1 where the file does not say.
	APIVersion string
	CacheSize  *int // of a kms provider; nil: not set
}

// ClusterArgs is what kubeadm's ClusterConfiguration adds to the components.
// kubeadm writes the manifests anew from it in every hop: what a manifest has
// beyond it is a patch, or an edit by hand that goes away.
type ClusterArgs struct {
	// Components are the extraArgs of the API server, the controller manager, the
	// scheduler and the stacked etcd, by the components' names.
	Components []Component
	// FeatureGates are kubeadm's own.
	FeatureGates map[string]bool
}

// Component gives a component by its name, or nil.
func (s *Startup) Component(name string) *Component { return component(s.Components, name) }

// Component gives a component's extraArgs by the component's name, or nil.
func (a *ClusterArgs) Component(name string) *Component { return component(a.Components, name) }

func component(of []Component, name string) *Component {
	for i := range of {
		if of[i].Name == name {
			return &of[i]
		}
	}
	return nil
}

// Flag gives the last flag of that name, which is the one that counts, or nil.
func (c *Component) Flag(name string) *Flag {
	for i := len(c.Flags) - 1; i >= 0; i-- {
		if c.Flags[i].Name == name {
			return &c.Flags[i]
		}
	}
	return nil
}

// OpenFlags are the flags whose values cannot be secret: only these values are
// read.
func OpenFlags() []string {
	return []string{
		"admission-control", "admission-control-config-file", "audit-log-version", "audit-policy-file", "audit-webhook-version",
		"authentication-config", "authorization-config", "authorization-mode", "cloud-provider", "config", "config-dir", "container-runtime",
		"disable-admission-plugins", "egress-selector-config-file", "enable-admission-plugins", "encryption-provider-config",
		"etcd-prefix",
		"feature-gates", "image-credential-provider-config", "insecure-port", "logger", "network-plugin", "port", "runtime-config",
		"tracing-config-file",
	}
}
