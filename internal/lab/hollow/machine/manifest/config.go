package manifest

import (
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Where kubeadm keeps things.
const (
	Dir         = "/etc/kubernetes/manifests"
	PKI         = "/etc/kubernetes/pki"
	EtcdData    = "/var/lib/etcd"
	ServiceCIDR = "10.96.0.0/16"
	DNSDomain   = "cluster.local"
	DNSService  = "10.96.0.10"

	apiPort = "6443"
)

// Components are the static pods of a control plane, in the order kubeadm upgrades
// them; etcd goes before.
var components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Components are the control plane's static pods but for etcd.
func Components() []string { return append([]string(nil), components...) }

// Etcd is the name of etcd's static pod.
const Etcd = "etcd"

// Config is kubeadm's ClusterConfiguration as it is stored in the cluster. What this
// package does not know of it stays as it is.
type Config struct {
	document map[string]any
}

// NewConfig is the configuration that kubeadm init stores.
func NewConfig(name, endpoint, podCIDR string, version cluster.Version) *Config {
	return &Config{document: map[string]any{
		"apiServer": map[string]any{}, "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
		"caCertificateValidityPeriod": "87600h0m0s", "certificateValidityPeriod": "8760h0m0s", "certificatesDir": PKI,
		"clusterName": name, "controlPlaneEndpoint": endpoint, "controllerManager": map[string]any{}, "dns": map[string]any{},
		"encryptionAlgorithm": "RSA-2048",
		"etcd":                map[string]any{"local": map[string]any{"dataDir": EtcdData}}, "imageRepository": "registry.k8s.io",
		"kubernetesVersion": version.String(),
		"networking":        map[string]any{"dnsDomain": DNSDomain, "podSubnet": podCIDR, "serviceSubnet": ServiceCIDR},
		"proxy":             map[string]any{}, "scheduler": map[string]any{},
	}}
}

// ReadConfig reads a stored configuration.
func ReadConfig(text string) (*Config, error) {
	c := &Config{}
	if err := yaml.Unmarshal([]byte(text), &c.document); err != nil {
		return nil, fmt.Errorf("ClusterConfiguration: %w", err)
	}
	if c.text("kind") != "ClusterConfiguration" {
		return nil, fmt.Errorf("ClusterConfiguration: it is a %q", c.text("kind"))
	}
	return c, nil
}

// YAML is the configuration as kubeadm stores it.
func (c *Config) YAML() ([]byte, error) { return yaml.Marshal(c.document) }

// At is the same configuration for another version of Kubernetes.
func (c *Config) At(v cluster.Version) *Config {
	document := maps.Clone(c.document)
	document["kubernetesVersion"] = v.String()
	return &Config{document: document}
}

// Version is the version of Kubernetes that the configuration is for.
func (c *Config) Version() (cluster.Version, error) {
	v, err := cluster.ParseVersion(c.text("kubernetesVersion"))
	if err != nil {
		return v, fmt.Errorf("ClusterConfiguration: kubernetesVersion: %w", err)
	}
	return v, nil
}

// Endpoint is the address of the API for all.
func (c *Config) Endpoint() string { return c.text("controlPlaneEndpoint") }

// Name is the cluster's.
func (c *Config) Name() string { return c.text("clusterName") }

// EtcdTag is the image tag the cluster pins etcd to; empty: none.
func (c *Config) EtcdTag() string { return c.text("etcd", "local", "imageTag") }

// PinEtcd pins etcd to an image tag.
func (c *Config) PinEtcd(tag string) {
	c.document["etcd"] = map[string]any{"local": map[string]any{"dataDir": EtcdData, "imageTag": tag}}
}

func (c *Config) text(path ...string) string {
	var at any = c.document
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	s, _ := at.(string)
	return s
}

// extra are a component's additional arguments.
func (c *Config) extra(section ...string) []argument {
	var at any = c.document
	for _, key := range append(section, "extraArgs") {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	list, _ := at.([]any)
	var out []argument
	for _, item := range list {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		value, _ := m["value"].(string)
		out = append(out, argument{name, value})
	}
	return out
}

// Images are the references that kubeadm of a minor uses for the configuration.
func (c *Config) Images(known *catalog.Catalog, kubeadm cluster.Minor) (catalog.Images, error) {
	v, err := c.Version()
	if err != nil {
		return catalog.Images{}, err
	}
	m, ok := known.Minor(kubeadm)
	if !ok {
		return catalog.Images{}, fmt.Errorf("kubeadm %s: the catalog knows nothing of it", kubeadm)
	}
	tag := c.EtcdTag()
	if tag == "" && v.Line() != kubeadm {
		tag, _, _ = m.EtcdBefore(v.Line())
	}
	return m.Images(v, c.text("imageRepository"), tag), nil
}
