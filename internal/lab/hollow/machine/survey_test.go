package machine_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

// api answers the survey out of the store.
type api struct{ *site }

func (a api) Facts(context.Context) (cluster.Facts, error) {
	v, err := a.config.Version()
	f := cluster.Facts{}
	f.Kubeadm.ClusterVersion = v
	list, err2 := a.store.List(corev1.SchemeGroupVersion.WithResource("nodes"), "")
	if err2 != nil {
		return f, err2
	}
	for _, u := range list {
		var n corev1.Node
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &n); err != nil {
			return f, err
		}
		node := cluster.Node{Name: n.Name, InAPI: true, Role: cluster.Worker, Kubelet: cluster.MustParseVersion(n.Status.NodeInfo.KubeletVersion)}
		node.CRISocket = n.Annotations["kubeadm.alpha.kubernetes.io/cri-socket"]
		if _, is := n.Labels["node-role.kubernetes.io/control-plane"]; is {
			node.Role = cluster.ControlPlane
		}
		f.Nodes = append(f.Nodes, node)
	}
	return f, err
}

func (api) DeprecatedRequests(context.Context) ([]cluster.DeprecatedRequest, error) { return nil, nil }

func (a api) ClusterConfiguration(context.Context) (string, error) {
	u, err := a.store.Get(corev1.SchemeGroupVersion.WithResource("configmaps"), metav1.NamespaceSystem, "kubeadm-config")
	if err != nil {
		return "", err
	}
	var c corev1.ConfigMap
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c)
	return c.Data["ClusterConfiguration"], err
}

var _ survey.API = api{}

// look is kup's own survey of the machines.
func look(t *testing.T, s *site, hosts ...*host) cluster.Facts {
	t.Helper()
	in := survey.Input{API: api{s}, Hosts: map[string]remote.Host{}, Settings: survey.Settings{Manager: "apt"}}
	for _, h := range hosts {
		in.Hosts[h.Name()] = connection{h}
	}
	f, scan, err := survey.Survey(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(scan.Unchecked) > 0 || len(scan.Startup) != len(hosts) || len(scan.HostStates) != len(hosts) {
		t.Errorf("of %d hosts it scanned %d and %d; unchecked: %q", len(hosts), len(scan.Startup), len(scan.HostStates), scan.Unchecked)
	}
	return f
}

func TestSurvey(t *testing.T) {
	s := newSite(t, version("v1.31.14"))
	cp, w := s.add("cp-1", cluster.ControlPlane, "127.77.9.11"), s.add("w-1", cluster.Worker, "127.77.9.31")
	f := look(t, s, cp, w)
	for _, line := range f.Unchecked {
		if !strings.Contains(line, "etcd was not reached") {
			t.Errorf("unchecked: %s", line)
		}
	}
	for _, name := range []string{"cp-1", "w-1"} {
		n := f.Node(name)
		if n == nil || n.Host == nil {
			t.Fatalf("%s was not surveyed", name)
		}
		h := n.Host
		if h.Kubeadm != version("v1.31.14") || h.Kubelet != h.Kubeadm || h.Kubectl != h.Kubeadm || h.BootID == "" || h.SandboxImage != "registry.k8s.io/pause:3.10" {
			t.Errorf("%s: %+v", name, h)
		}
		if len(h.Packages) != 5 || len(h.HandEdits) != 0 || h.DiskFree["/etc/kubernetes"] == 0 {
			t.Errorf("%s: packages %v, edits %v, free %v", name, h.Packages, h.HandEdits, h.DiskFree)
		}
	}
	if n := len(f.Node("cp-1").Host.Certificates); n != 11 {
		t.Errorf("cp-1 has %d certificates, want 11", n)
	}
}

// What somebody edits is found, in kup's own words.
func TestHandEdits(t *testing.T) {
	s := newSite(t, version("v1.31.14"))
	cp := s.add("cp-1", cluster.ControlPlane, "127.77.9.11")
	cp.must(t, "sed 's/--leader-elect=true/--leader-elect=false/' /etc/kubernetes/manifests/kube-scheduler.yaml >/root/x && mv /root/x /etc/kubernetes/manifests/kube-scheduler.yaml")
	cp.must(t, "sed 's/^healthzPort: .*/healthzPort: 1/' /var/lib/kubelet/config.yaml >/root/x && mv /root/x /var/lib/kubelet/config.yaml")
	f := look(t, s, cp)
	edits := f.Node("cp-1").Host.HandEdits
	if len(edits) != 2 || edits[0].What != "flag --leader-elect changed" || edits[1].What != "field healthzPort changed" {
		t.Errorf("edits %+v; unchecked %v", edits, f.Unchecked)
	}
	if _, err := cp.FS().Stat("/etc/kubernetes/tmp/kubeadm-init-dryrun"); err == nil {
		t.Error("looking for edits left something behind")
	}
}
