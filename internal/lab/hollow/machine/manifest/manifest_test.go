package manifest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// recorded are files of a real control plane, which kubeadm 1.33.13 wrote.
func recorded(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../../../survey/testdata/cp-2.edits.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for part := range strings.SplitSeq(string(raw), "\n#kup:part ") {
		name, text, _ := strings.Cut(part, "\n")
		out[strings.TrimSpace(name)] = strings.TrimSpace(text) + "\n"
	}
	return out
}

// config is the cluster that the recording is of.
func config(t *testing.T) *manifest.Config {
	t.Helper()
	c, err := manifest.ReadConfig(`apiVersion: kubeadm.k8s.io/v1beta4
clusterName: dev
controlPlaneEndpoint: 10.210.0.3:6443
controllerManager:
  extraArgs:
  - name: allocate-node-cidrs
    value: "false"
etcd:
  local:
    dataDir: /var/lib/etcd
    imageTag: 3.5.33-0
imageRepository: registry.k8s.io
kind: ClusterConfiguration
kubernetesVersion: v1.33.13
networking:
  dnsDomain: cluster.local
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/16
`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writer(t *testing.T, c *manifest.Config, kubeadm string) *manifest.Writer {
	t.Helper()
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	line := cluster.MustParseVersion(kubeadm).Line()
	images, err := c.Images(known, line)
	if err != nil {
		t.Fatal(err)
	}
	return &manifest.Writer{Kubeadm: line, Config: c, Images: images, Node: "cp-2", IP: "10.210.0.12"}
}

func same(t *testing.T, name, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s, line %d: %q, real kubeadm wrote %q", name, i+1, g[i], w[i])
			return
		}
	}
	t.Errorf("%s has %d lines, real kubeadm wrote %d", name, len(g), len(w))
}

func TestManifestsAreKubeadms(t *testing.T) {
	real, w := recorded(t), writer(t, config(t), "v1.33.13")
	all, err := w.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range manifest.Components() {
		same(t, name, string(all[name]), real["want "+name])
	}
	for what, joined := range map[string][]string{"want etcd": nil, "have etcd": {"cp-1=https://10.210.0.11:2380", "cp-2=https://10.210.0.12:2380"}} {
		text, err := w.Etcd(joined)
		if err != nil {
			t.Fatal(err)
		}
		same(t, what, string(text), real[what])
	}
}

func TestKubeletConfigIsKubeadms(t *testing.T) {
	got, err := manifest.Kubelets("", cluster.MustParseVersion("v1.33.13").Line())
	if err != nil {
		t.Fatal(err)
	}
	// What the recorded lab has set for itself is left out.
	var want []string
	own := []string{"  imagefs.available", "  nodefs.", "evictionHard:", "failCgroupV1:", "failSwapOn:", "imageGCHighThresholdPercent:", "oomScoreAdj:"}
	for line := range strings.Lines(recorded(t)["want kubelet"]) {
		skip := false
		for _, prefix := range own {
			skip = skip || strings.HasPrefix(line, prefix)
		}
		if !skip {
			want = append(want, strings.Replace(line, "cgroupDriver: cgroupfs", "cgroupDriver: systemd", 1))
		}
	}
	same(t, "kubelet", got, strings.Join(want, ""))
}

// kubeadm of the next minor names the ports that it probes, and knows etcd 3.6.
func TestManifestsOf134(t *testing.T) {
	c := manifest.NewConfig("dev", "10.210.0.3:6443", "10.244.0.0/16", cluster.MustParseVersion("v1.34.4"))
	w := writer(t, c, "v1.34.4")
	etcd, err := w.Etcd(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"image: registry.k8s.io/etcd:3.6.5-0", "--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s", "port: probe-port"} {
		if !strings.Contains(string(etcd), want) {
			t.Errorf("etcd's manifest has no %q", want)
		}
	}
	for _, gone := range []string{"creationTimestamp", "--experimental"} {
		if strings.Contains(string(etcd), gone) {
			t.Errorf("etcd's manifest has %q", gone)
		}
	}
}

// What a cluster says of itself stays as it is when only the version changes.
func TestConfigKeepsTheRest(t *testing.T) {
	c := config(t)
	at, err := c.At(cluster.MustParseVersion("v1.34.4")).YAML()
	if err != nil {
		t.Fatal(err)
	}
	was, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(was), "v1.33.13", "v1.34.4", 1); string(at) != want {
		t.Errorf("the configuration became\n%s", at)
	}
	if _, err := manifest.ReadConfig("kind: Nonsense\n"); err == nil {
		t.Error("nonsense was read as a configuration")
	}
}

func TestFlags(t *testing.T) {
	text := manifest.Flags("--a=1", "--b")
	if text != "KUBELET_KUBEADM_ARGS=\"--a=1 --b\"\n" {
		t.Errorf("the file is %q", text)
	}
	if got := manifest.ReadFlags(text); len(got) != 2 || got[0] != "--a=1" || got[1] != "--b" {
		t.Errorf("read as %q", got)
	}
}
