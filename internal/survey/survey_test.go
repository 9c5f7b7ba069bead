package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// host replays what scripts printed on real nodes (Debian 12, kubeadm 1.33.13).
type host struct {
	name   string
	output map[string]string // by script
	failed map[string]int    // the exit codes of scripts that fail
	err    error

	mutex sync.Mutex
	calls []string
	stdin string // of the last edits script
}

var _ remote.Host = (*host)(nil)

func (h *host) String() string { return h.name }

func (h *host) Run(_ context.Context, c remote.Command) (remote.Result, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	name := scriptName(c.Argv[2])
	args := c.Argv[4:]
	if name == "visit" {
		args = args[:4]
	}
	h.calls = append(h.calls, strings.Join(append([]string{name}, args...), " "))
	if c.Stdin != nil {
		text, _ := io.ReadAll(c.Stdin)
		h.stdin = string(text)
	}
	switch {
	case !c.Sudo:
		return remote.Result{}, errors.New("not as root")
	case h.err != nil:
		return remote.Result{}, h.err
	case name == "visit":
		return h.visit(c.Argv[8:]), nil
	case h.failed[name] != 0:
		return remote.Result{}, &remote.ExitError{Host: h.name, Argv: c.Argv, Code: h.failed[name], Stderr: []byte(name + " is broken")}
	}
	return remote.Result{Stdout: []byte(h.output[name])}, nil
}

// visit says what the scripts would say one after the other, those left out that the host
// has no output for.
func (h *host) visit(scripts []string) remote.Result {
	var out, said strings.Builder
	for _, text := range scripts {
		name := scriptName(text)
		if _, has := h.output[name]; text == "" || !has && h.failed[name] == 0 {
			continue
		}
		fmt.Fprintf(&said, "\n%s%s\n", scriptMark, name)
		if h.failed[name] != 0 {
			fmt.Fprintf(&said, "%s is broken\n", name)
		}
		fmt.Fprintf(&out, "\n%s%s\n%s\n%s%d\n", scriptMark, name, h.output[name], exitMark, h.failed[name])
	}
	return remote.Result{Stdout: []byte(out.String()), Stderr: []byte(said.String())}
}

func scriptName(text string) string {
	return map[string]string{
		visitScript: "visit", hostScript: "host", certificatesScript: "certificates", startupScript: "startup", hostStateScript: "hoststate",
		etcdHostScript: "etcdhost", editsScript: "edits", aptScript: "apt", dnfScript: "dnf",
	}[text]
}

func (*host) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

func (*host) WriteFile(context.Context, string, []byte, fs.FileMode) error {
	return errors.New("a survey writes nothing")
}

func recorded(t *testing.T, name string) *host {
	t.Helper()
	h := &host{name: name, output: map[string]string{}}
	for _, script := range []string{"host", "certificates", "edits"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+"."+script+".txt"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		h.output[script] = string(b)
	}
	h.output["startup"], h.output["hoststate"] = "\n#kup:part flags\nkubelet\n", "\n#kup:part hostname\n"+name+"\n"
	return h
}

type api struct {
	facts      cluster.Facts
	config     string
	metricsErr error
}

func (a api) Facts(context.Context) (cluster.Facts, error) {
	f := a.facts
	f.Nodes = slices.Clone(f.Nodes)
	return f, nil
}

func (a api) DeprecatedRequests(context.Context) ([]cluster.DeprecatedRequest, error) {
	return []cluster.DeprecatedRequest{{Group: "policy", Version: "v1beta1", Resource: "podsecuritypolicies"}}, a.metricsErr
}

func (a api) ClusterConfiguration(context.Context) (string, error) { return a.config, nil }

// store is etcd; err is for its members, storedErr for what is stored.
type store struct{ err, storedErr error }

// etcd connects to it.
func (s store) etcd(context.Context, cluster.Etcd) (Etcd, error) { return s, nil }

func (s store) Stored(_ context.Context, prefix string) (cluster.Stored, error) {
	return cluster.Stored{Prefix: prefix}, s.storedErr
}

func (s store) Members(context.Context) ([]cluster.Member, error) {
	return []cluster.Member{{ID: "1", Name: "cp-2"}}, s.err
}

func (s store) Alarms(context.Context) ([]string, error) { return nil, nil }

const config = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.33.13
apiServer: {extraArgs: [{name: token, value: hunter2}]}
etcd: {local: {dataDir: /var/lib/etcd}}
`

func lab() api {
	v := cluster.MustParseVersion("v1.33.13")
	return api{
		facts: cluster.Facts{
			Kubeadm: cluster.Kubeadm{ClusterVersion: v, ConfigDigest: "x"},
			Nodes: []cluster.Node{
				{Name: "cp-2", Role: cluster.ControlPlane, InAPI: true, Kubelet: v, CRISocket: "unix:///run/containerd/containerd.sock"},
				{Name: "w-1", Role: cluster.Worker, InAPI: true, Kubelet: v},
			},
		},
		config: config,
	}
}

func TestSurvey(t *testing.T) {
	cp, w := recorded(t, "cp-2"), recorded(t, "w-1")
	cp.output["host"] = strings.Replace(cp.output["host"], "part patches\n", "part patches\npresent\n", 1)
	f, _, err := Survey(t.Context(), Input{
		API: lab(), Etcd: store{}.etcd, Hosts: map[string]remote.Host{"cp-2": cp, "w-1": w}, Pools: map[string]string{"w-1": "default"},
		Settings: Settings{PatchesDir: "/etc/kubernetes/patches"},
	})
	if err != nil || len(f.Unchecked) > 0 {
		t.Fatalf("%v %q", err, f.Unchecked)
	}
	h := f.Node("cp-2").Host
	if h == nil || h.Kubeadm.String() != "v1.33.13" || h.Kubelet != h.Kubeadm || h.Kubectl != h.Kubeadm || h.SandboxImage != "registry.k8s.io/pause:3.10" || h.BootID == "" {
		t.Fatalf("%+v", h)
	}
	if len(h.HandEdits) > 0 || h.ExternalCA || !h.PatchesPresent || f.Node("w-1").Host.PatchesPresent {
		t.Errorf("a node as kubeadm made it: %+v", h)
	}
	if len(h.Certificates) != 10 || h.Certificates[1].Name != "apiserver" || h.Certificates[1].NotAfter.Year() != 2027 {
		t.Errorf("%+v", h.Certificates)
	}
	if !slices.Contains(h.Packages, cluster.Package{Name: "kubeadm", Version: "1.33.13-1.1", Held: true}) || len(h.Packages) != 5 {
		t.Errorf("%+v", h.Packages)
	}
	if h.DiskFree["/etc/kubernetes"] == 0 || h.DiskFree["/var/lib/containerd"] == 0 || h.ImageDiskUsedPercent < 1 || h.ImageDiskUsedPercent > 99 {
		t.Errorf("%+v %d", h.DiskFree, h.ImageDiskUsedPercent)
	}
	worker := f.Node("w-1")
	if worker.Pool != "default" || worker.CRISocket != "unix:///run/containerd/containerd.sock" || worker.Host == nil || len(worker.Host.Certificates) > 0 {
		t.Errorf("%+v", worker)
	}
	if f.At.IsZero() || len(f.DeprecatedRequests) != 1 || len(f.Etcd.Members) != 1 {
		t.Errorf("%+v", f.Etcd)
	}
	if want := []string{"visit /etc/kubernetes/patches  " + openFlags() + " v1.33."}; !slices.Equal(w.calls, want) {
		t.Errorf("on a worker %q", w.calls)
	}
	for _, want := range []string{"advertiseAddress: 10.210.0.12", "bindPort: 6443", "imageTag: 3.5.33-0", "name: cp-2", "directory: /etc/kubernetes/patches", "hunter2", "kind: InitConfiguration"} {
		if !strings.Contains(cp.stdin, want) {
			t.Errorf("kubeadm's configuration lacks %q:\n%s", want, cp.stdin)
		}
	}
	if raw, _ := json.Marshal(f); strings.Contains(string(raw), "hunter2") || w.stdin != "" {
		t.Error("a secret became a fact, or went to a worker")
	}
}

func TestHandEdits(t *testing.T) {
	cp := recorded(t, "cp-2")
	have, want, found := strings.Cut(cp.output["edits"], "#kup:part want kube-apiserver")
	if !found {
		t.Fatal("testdata")
	}
	have = strings.NewReplacer(
		"    - --allow-privileged=true\n", "    - --allow-privileged=true\n    - --audit-log-path=/hunter2\n",
		"    - --enable-bootstrap-token-auth=true\n", "",
		"    - --secure-port=6443\n", "    - --secure-port=hunter2\n",
		"        cpu: 250m", "        cpu: 990m",
		"    name: ca-certs\n  - hostPath", "    name: hunter\n  - hostPath",
		"  hostNetwork: true", "  dnsPolicy: hunter2\n  hostNetwork: true",
	).Replace(have)
	cp.output["edits"] = have + "#kup:part want kube-apiserver" + want
	f, _, err := Survey(t.Context(), Input{API: lab(), Hosts: map[string]remote.Host{"cp-2": cp}, Etcd: store{}.etcd})
	if err != nil || len(f.Unchecked) > 0 {
		t.Fatalf("%v %q", err, f.Unchecked)
	}
	edits := f.Node("cp-2").Host.HandEdits
	if len(edits) != 1 || edits[0].Path != "/etc/kubernetes/manifests/kube-apiserver.yaml" {
		t.Fatalf("%+v", edits)
	}
	const what = "field dnsPolicy added, field resources.requests.cpu changed, flag --audit-log-path added, flag --enable-bootstrap-token-auth removed, flag --secure-port changed, volume ca-certs removed, volume hunter added"
	if edits[0].What != what || strings.Contains(edits[0].What, "hunter2") {
		t.Errorf("got  %s\nwant %s", edits[0].What, what)
	}
}

// TestEtcdInBetween: in the middle of a hop etcd's manifest is still that of the
// kubeadm before.
func TestEtcdInBetween(t *testing.T) {
	for deploys, wantEdits := range map[string]int{"3.5.24-0": 1, "3.5.33-0": 1, "": 1, "3.6.5-0": 0} {
		cp := recorded(t, "cp-2")
		cp.output["edits"] = strings.Replace(cp.output["edits"], "    - --snapshot-count=10000\n", "", 1) + "\n#kup:part etcd-default\n" + deploys + "\n"
		f, _, err := Survey(t.Context(), Input{API: lab(), Hosts: map[string]remote.Host{"cp-2": cp}, Etcd: store{}.etcd})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Node("cp-2").Host.HandEdits; len(got) != wantEdits || len(f.Unchecked) != 1-wantEdits {
			t.Errorf("etcd 3.5.33, kubeadm deploys %q: %+v, unchecked %q", deploys, got, f.Unchecked)
		}
	}
}

func TestKubeletEdits(t *testing.T) {
	w := recorded(t, "w-1")
	w.output["edits"] = strings.Replace(w.output["edits"], "failSwapOn: false", "failSwapOn: true\nmaxPods: 250", 1)
	f, _, err := Survey(t.Context(), Input{API: lab(), Hosts: map[string]remote.Host{"w-1": w}, Etcd: store{}.etcd})
	want := []cluster.HandEdit{{Path: kubeletConfigPath, What: "field failSwapOn changed, field maxPods added"}}
	if err != nil || !slices.Equal(f.Node("w-1").Host.HandEdits, want) {
		t.Errorf("%+v %v", f.Node("w-1").Host.HandEdits, err)
	}
}

func TestKubeletInstanceConfiguration(t *testing.T) {
	const want = "a: 1\ncontainerRuntimeEndpoint: unix:///made/up.sock\nlogging: {verbosity: 0, flushFrequency: 0}"
	for _, tc := range []struct{ have, instance, want string }{
		{"a: 1\ncontainerRuntimeEndpoint: unix:///run/x.sock\nlogging: {verbosity: 0, flushFrequency: 0}", "containerRuntimeEndpoint: unix:///run/x.sock", ""},
		{"a: 1\ncontainerRuntimeEndpoint: unix:///run/x.sock\nlogging: {verbosity: 4, flushFrequency: 0}", "containerRuntimeEndpoint: unix:///run/x.sock\nlogging: {verbosity: 4}", ""},
		{"a: 1\ncontainerRuntimeEndpoint: \"\"\nlogging: {verbosity: 0, flushFrequency: 0}", "", ""},
		{"a: 1\ncontainerRuntimeEndpoint: unix:///run/y.sock\nlogging: {verbosity: 0, flushFrequency: 0}", "containerRuntimeEndpoint: unix:///run/x.sock", "field containerRuntimeEndpoint changed"},
	} {
		got, err := differing("kubelet", tc.have, want, tc.instance)
		if err != nil || strings.Join(got, ", ") != tc.want {
			t.Errorf("%+v: %q %v", tc, got, err)
		}
	}
}

func TestUnchecked(t *testing.T) {
	between := func(a *api) { a.facts.Kubeadm.ClusterVersion = cluster.MustParseVersion("v1.34.4") }
	for _, tc := range []struct {
		name   string
		change func(*Input, *api, *host)
		want   string
	}{
		{"no hosts", func(in *Input, _ *api, _ *host) { in.Hosts = nil }, "no host was surveyed over SSH"},
		{"no metrics", func(_ *Input, a *api, _ *host) { a.metricsErr = errors.New("too slow") }, "requests for deprecated APIs could not be read: too slow"},
		{"no etcd", func(in *Input, _ *api, _ *host) { in.Etcd = nil }, "etcd was not reached"},
		{"etcd fails", func(in *Input, _ *api, _ *host) { in.Etcd = store{err: errors.New("no quorum")}.etcd }, "etcd could not be read: no quorum"},
		{"host fails", func(_ *Input, _ *api, h *host) {
			h.err = &remote.ExitError{Host: "w-1", Argv: []string{"sh", "-c", hostScript}, Code: 1, Stderr: []byte("sudo: no tty")}
		}, "w-1 could not be surveyed: w-1: kup-survey-script: exit code 1: sudo: no tty"},
		{"in the middle of a hop", func(_ *Input, a *api, _ *host) { between(a) }, "kubeadm is v1.33.13, the kubelet v1.33.13 and kubeadm's configuration for v1.34.4"},
		{"kubeadm too old", func(_ *Input, _ *api, h *host) {
			h.output["edits"] = "\n#kup:part failed kubelet\nunknown flag: --dry-run\n#kup:part have kubelet\na: 1\n"
		}, "kubeadm did not say what it would write for kubelet, so that these files were not compared (unknown flag: --dry-run)"},
		{"no packages", func(in *Input, _ *api, h *host) {
			in.Settings.Manager = "apt"
			h.output["host"] = strings.NewReplacer("hold k", "", "install ", "").Replace(h.output["host"])
		}, "w-1: packages.manager is apt, but no Kubernetes package is installed"},
		{"not YAML", func(_ *Input, _ *api, h *host) {
			h.output["edits"] = "\n#kup:part have kubelet\n\thunter2\n#kup:part want kubelet\na: 1\n"
		}, "kubelet of w-1: it is not YAML"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, h := lab(), recorded(t, "w-1")
			in := Input{Etcd: store{}.etcd, Hosts: map[string]remote.Host{"w-1": h}}
			tc.change(&in, &a, h)
			in.API = a
			f, _, err := Survey(t.Context(), in)
			if err != nil || len(f.Unchecked) != 1 || !strings.Contains(f.Unchecked[0], tc.want) || strings.Contains(f.Unchecked[0], "hunter2") {
				t.Errorf("%v %q", err, f.Unchecked)
			}
		})
	}
}

func TestHostOutsideTheCluster(t *testing.T) {
	f, _, err := Survey(t.Context(), Input{API: lab(), Etcd: store{}.etcd, Hosts: map[string]remote.Host{"cp-9": recorded(t, "cp-2")}})
	n := f.Node("cp-9")
	if err != nil || n == nil || n.InAPI || n.Role != cluster.ControlPlane || n.Host == nil || f.Nodes[1].Name != "cp-9" {
		t.Errorf("%+v %v", f.Nodes, err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := recorded(t, "w-1")
	h.err = ctx.Err()
	if _, _, err := Survey(ctx, Input{API: lab(), Hosts: map[string]remote.Host{"w-1": h}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestCertificatesOfAnExternalCA(t *testing.T) {
	h := recorded(t, "cp-2")
	h.output["certificates"] = strings.Replace(h.output["certificates"], "#kup:part ca etcd/ca\npresent", "#kup:part ca etcd/ca\nabsent", 1)
	list, external, err := certificates(t.Context(), &visit{host: h})
	if err != nil || len(external) != 1 || !external["etcd/ca"] {
		t.Fatalf("%v %v", external, err)
	}
	for _, c := range list {
		if want := strings.HasPrefix(c.Name, "etcd-") || c.Name == "apiserver-etcd-client"; c.External != want {
			t.Errorf("%s external: %t", c.Name, c.External)
		}
	}
	h.output["certificates"] = "\n#kup:part certificate apiserver\nrubbish\n"
	if _, err := Certificates(t.Context(), h); err == nil || strings.Contains(err.Error(), "rubbish") {
		t.Errorf("%v", err)
	}
}
