package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	configMapKubeadm = "kubeadm-config"
	configMapKubelet = "kubelet-config" // with the minor appended until 1.23
	keyClusterConfig = "ClusterConfiguration"
)

// clusterConfiguration is what kup reads of kubeadm's ClusterConfiguration. All
// versions of it agree on these fields.
type clusterConfiguration struct {
	APIVersion           string `json:"apiVersion"`
	KubernetesVersion    string `json:"kubernetesVersion"`
	ImageRepository      string `json:"imageRepository"`
	ControlPlaneEndpoint string `json:"controlPlaneEndpoint"`
	Networking           struct {
		PodSubnet string `json:"podSubnet"`
		DNSDomain string `json:"dnsDomain"`
	} `json:"networking"`
	Etcd struct {
		Local *struct {
			ImageTag string `json:"imageTag"`
		} `json:"local"`
		External *struct{} `json:"external"`
	} `json:"etcd"`
}

// ClusterConfiguration gives kubeadm's ClusterConfiguration as stored; empty
// when the cluster has none. It may hold secrets in extra arguments: it is for
// kubeadm's eyes on the nodes, not for facts.
func (c *Client) ClusterConfiguration(ctx context.Context) (string, error) {
	data, err := c.configMap(ctx, configMapKubeadm)
	return data[keyClusterConfig], err
}

// configMap gives the data of a ConfigMap in kube-system, nil when there is none.
func (c *Client) configMap(ctx context.Context, name string) (map[string]string, error) {
	m, err := c.clientset.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap kube-system/%s: %w", name, err)
	}
	return m.Data, nil
}

// kubeadm observes kubeadm's ConfigMaps, and where they say that etcd runs.
func (c *Client) kubeadm(ctx context.Context) (cluster.Kubeadm, string, error) {
	data, err := c.configMap(ctx, configMapKubeadm)
	if err != nil || data == nil {
		return cluster.Kubeadm{}, "", err
	}
	var config clusterConfiguration
	if err := yaml.Unmarshal([]byte(data[keyClusterConfig]), &config); err != nil {
		// The parser quotes what it stumbles over, which may be a secret.
		return cluster.Kubeadm{}, "", fmt.Errorf("ConfigMap kube-system/%s: %s is not YAML; see kubectl -n kube-system get configmap %s -o yaml", configMapKubeadm, keyClusterConfig, configMapKubeadm)
	}
	out := cluster.Kubeadm{
		ConfigDigest: digest(data), APIVersion: config.APIVersion, ClusterVersion: looseVersion(config.KubernetesVersion),
		ImageRepository: config.ImageRepository, Endpoint: config.ControlPlaneEndpoint, PodSubnet: config.Networking.PodSubnet,
		DNSDomain: config.Networking.DNSDomain,
	}
	topology := "stacked"
	if config.Etcd.External != nil {
		topology = "external"
	}
	if config.Etcd.Local != nil {
		out.EtcdImageTag = config.Etcd.Local.ImageTag
	}
	kubelet, err := c.configMap(ctx, configMapKubelet)
	if err == nil && kubelet == nil {
		kubelet, err = c.configMap(ctx, configMapKubelet+"-"+out.ClusterVersion.Line().String())
	}
	if err != nil {
		return cluster.Kubeadm{}, "", err
	}
	if kubelet != nil {
		out.KubeletConfigDigest = digest(kubelet)
		var config struct {
			ImageGCHighThresholdPercent int `json:"imageGCHighThresholdPercent"`
		}
		if err := yaml.Unmarshal([]byte(kubelet["kubelet"]), &config); err != nil {
			return cluster.Kubeadm{}, "", fmt.Errorf("ConfigMap kube-system/%s: its kubelet configuration is not YAML", configMapKubelet)
		}
		out.ImageGCPercent = config.ImageGCHighThresholdPercent
	}
	return out, topology, nil
}

// digest hashes a ConfigMap's data, independent of its order.
func digest(data map[string]string) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(sum, "%d %s%d %s", len(key), key, len(data[key]), data[key])
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}
