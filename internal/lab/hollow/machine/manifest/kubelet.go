package manifest

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/pkg/cluster"
)

// The kubelet's files.
const (
	KubeletDir      = "/var/lib/kubelet"
	KubeletConfig   = KubeletDir + "/config.yaml"
	KubeletFlags    = KubeletDir + "/kubeadm-flags.env"
	KubeletInstance = KubeletDir + "/instance-config.yaml"

	// Socket is the container runtime's.
	Socket = "unix:///run/containerd/containerd.sock"
)

// LocalSocket is the minor from which kubeadm keeps the runtime's socket in a file of
// the node, and not in an annotation any more.
var LocalSocket = cluster.Minor{Major: 1, Minor: 34}

// kubeletConfig is what kubeadm stores for all kubelets. An empty duration is how its
// library writes a value that is left to the kubelet.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
  webhook:
    cacheAuthorizedTTL: 0s
    cacheUnauthorizedTTL: 0s
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
`

// kubeletFields are what a kubeadm adds to the stored configuration because its
// library knows more fields than the one before.
var kubeletFields = []struct {
	from  cluster.Minor
	name  string
	value any
}{
	{cluster.Minor{Major: 1, Minor: 32}, "crashLoopBackOff", map[string]any{}},
}

// Kubelets is the configuration of all kubelets as kubeadm of a minor stores it,
// given what is stored; empty: nothing is.
func Kubelets(stored string, kubeadm cluster.Minor) (string, error) {
	if stored == "" {
		stored = kubeletConfig
	}
	document := map[string]any{}
	if err := yaml.Unmarshal([]byte(stored), &document); err != nil {
		return "", fmt.Errorf("kubelet configuration: %w", err)
	}
	for _, f := range kubeletFields {
		if _, there := document[f.name]; !there && !kubeadm.Less(f.from) {
			document[f.name] = f.value
		}
	}
	out, err := yaml.Marshal(document)
	return string(out), err
}

// Kubelet is one node's configuration: the stored one with the node's own, if any,
// over it.
func Kubelet(stored, instance string) (string, error) {
	if instance == "" {
		return stored, nil
	}
	document, own := map[string]any{}, map[string]any{}
	if err := yaml.Unmarshal([]byte(stored), &document); err != nil {
		return "", fmt.Errorf("kubelet configuration: %w", err)
	}
	if err := yaml.Unmarshal([]byte(instance), &own); err != nil {
		return "", fmt.Errorf("%s: %w", KubeletInstance, err)
	}
	if socket, ok := own["containerRuntimeEndpoint"]; ok {
		document["containerRuntimeEndpoint"] = socket
	}
	out, err := yaml.Marshal(document)
	return string(out), err
}

// Instance is the node's own configuration.
func Instance(socket string) string {
	return "apiVersion: kubelet.config.k8s.io/v1beta1\ncontainerRuntimeEndpoint: " + socket + "\nkind: KubeletConfiguration\n"
}

// Flags is the file with the kubelet's flags.
func Flags(flags ...string) string {
	return fmt.Sprintf("KUBELET_KUBEADM_ARGS=%q\n", strings.Join(flags, " "))
}

// ReadFlags reads the flags in the file.
func ReadFlags(text string) []string {
	_, value, _ := strings.Cut(strings.TrimSpace(text), "=")
	return strings.Fields(strings.Trim(value, `"`))
}
