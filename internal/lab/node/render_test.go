package node

import (
	"archive/tar"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, got)
	}
}

func threeAndTwo() topology {
	return layOut(Spec{ControlPlanes: 3, Workers: 2}, netip.MustParsePrefix("10.210.0.0/24"))
}

func TestTemplates(t *testing.T) {
	lay := threeAndTwo()
	common := map[string]any{
		"Lab": "dev", "User": "ops", "Dir": "/state/dev", "Cluster": "dev", "Version": "v1.33.13", "EtcdTag": "3.5.33-0",
		"CgroupDriver": "cgroupfs", "PodCIDR": podCIDR, "ServiceCIDR": serviceCIDR, "Port": apiPort, "Endpoint": lay.endpoint(),
		"Token": "abcdef.0123456789abcdef", "CertificateKey": "00ff", "CAHash": "sha256:00", "Pause": "registry.k8s.io/pause:3.10",
		"SystemdCgroup": false, "Depot": lay.Depot, "Bastion": lay.Bastion, "Nodes": lay.Nodes, "ControlPlanes": lay.controlPlanes(), "EtcdHosts": lay.Etcd,
	}
	for _, tc := range []struct {
		template, golden string
		node             Node
		yaml             bool
	}{
		{"kup.yaml", "kup.yaml", Node{}, true},
		{"init.yaml", "init.yaml", lay.Nodes[0], false},
		{"join.yaml", "join-cp.yaml", lay.Nodes[1], true},
		{"join.yaml", "join-worker.yaml", lay.Nodes[4], true},
		{"haproxy.cfg", "haproxy.cfg", Node{}, false},
		{"ssh_config", "ssh_config", Node{}, false},
		{"cni.conflist", "cni.conflist", lay.Nodes[0], true},
	} {
		data := map[string]any{"Node": tc.node}
		for k, v := range common {
			data[k] = v
		}
		got, err := render(tc.template, data)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, tc.golden, got)
		var any map[string]any
		if tc.yaml {
			if err := yaml.UnmarshalStrict(got, &any); err != nil {
				t.Errorf("%s: %v", tc.golden, err)
			}
		}
	}
	if _, err := render("kup.yaml", map[string]any{"Lab": "dev"}); err == nil {
		t.Error("a template was filled although data lacked a field")
	}
}

func TestNetConf(t *testing.T) {
	lay := threeAndTwo()
	got := string(netConf(lay, lay.Nodes[4]))
	for _, want := range []string{"SSH_ONLY_FROM='10.210.0.4'", "10.244.11.0/24 10.210.0.11\n", "PODS='10.244.0.0/16'"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, lay.Nodes[4].IP) {
		t.Errorf("a route to itself:\n%s", got)
	}
	if got := string(netConf(lay, lay.Nodes[0])); !strings.Contains(got, "SSH_ONLY_FROM=''") {
		t.Errorf("a node not behind the bastion is fenced:\n%s", got)
	}
}

func TestSSHFiles(t *testing.T) {
	dir := t.TempDir()
	lay := threeAndTwo()
	f, err := newSSHFiles(dir, "dev", lay)
	if err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(filepath.Join(dir, "ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{lay.Bastion, lay.Nodes[0].IP, lay.Nodes[4].IP} {
		remote := netAddr(addr + ":22")
		if err := check(addr+":22", remote, f.hosts[addr].public); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		var mismatch *knownhosts.KeyError
		if err := check(addr+":22", remote, f.user.public); !errors.As(err, &mismatch) || len(mismatch.Want) == 0 {
			t.Errorf("%s: another key gave %v", addr, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(raw), "|1|") != 1 {
		t.Errorf("want one hashed entry:\n%s", raw)
	}
	key := filepath.Join(dir, "ssh", "id_ed25519")
	if fi, err := os.Stat(key); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v %v", fi.Mode(), err)
	}
	private, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.ParsePrivateKey(private); err != nil {
		t.Error(err)
	}
}

type netAddr string

func (netAddr) Network() string  { return "tcp" }
func (a netAddr) String() string { return string(a) }

func TestArchive(t *testing.T) {
	b, err := archive([]nodeFile{{path: "/etc/../etc/x", mode: 0o600, uid: opsUID, data: []byte("abc")}})
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(b)
	h, err := tr.Next()
	if err != nil || h.Name != "etc/x" || h.Mode != 0o600 || h.Uid != opsUID {
		t.Errorf("%+v %v", h, err)
	}
	if raw, err := io.ReadAll(tr); err != nil || string(raw) != "abc" {
		t.Errorf("%q %v", raw, err)
	}
}

func TestWithoutEtcdTag(t *testing.T) {
	got, err := withoutEtcdTag([]byte("etcd:\n  local:\n    dataDir: /var/lib/etcd\n    imageTag: 3.5.33-0\nkubernetesVersion: v1.33.13\n"))
	if err != nil || string(got) != "etcd:\n  local:\n    dataDir: /var/lib/etcd\nkubernetesVersion: v1.33.13\n" {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := withoutEtcdTag([]byte("\t")); err == nil {
		t.Error("nonsense passed")
	}
}

func TestAllReady(t *testing.T) {
	node := func(status string) string {
		return `{"metadata":{"name":"n"},"status":{"conditions":[{"type":"DiskPressure","status":"False"},{"type":"Ready","status":"` + status + `","message":"why"}]}}`
	}
	list := func(items ...string) []byte { return []byte(`{"items":[` + strings.Join(items, ",") + `]}`) }
	if err := allReady(list(node("True"), node("True")), 2); err != nil {
		t.Error(err)
	}
	for name, in := range map[string][]byte{
		"one is missing": list(node("True")), "one is late": list(node("True"), node("False")), "no JSON": []byte("x"),
		"no conditions": list(node("True"), `{"metadata":{"name":"n"}}`),
	} {
		if err := allReady(in, 2); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

func TestMissingCapabilities(t *testing.T) {
	got := missingCapabilities("Name:\tx\nCapBnd:\t000001fffeffffff\nSeccomp:\t0\n")
	if len(got) != 1 || got[0] != "SYS_RESOURCE" {
		t.Errorf("got %v", got)
	}
	if got := missingCapabilities("CapBnd:\t000001ffffffffff\n"); len(got) != 0 {
		t.Errorf("whole set lacks %v", got)
	}
	args := strings.Join(unprivilegedArgs([]string{"SYS_RESOURCE"}), " ")
	if !strings.Contains(args, "--cap-drop SYS_RESOURCE") || strings.Contains(args, "--privileged") {
		t.Errorf("arguments %s", args)
	}
}

func TestOpenAndListStates(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if _, err := Open(t.Context(), "dev"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), "../dev"); err == nil {
		t.Error("a path passed for a name")
	}
	dir, err := labDir("dev")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l := &Lab{dir: dir, state: state{Name: "dev", Topology: threeAndTwo()}}
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), "dev")
	if err != nil || len(opened.Nodes()) != 5 || opened.LoadBalancer() != "10.210.0.3:6443" || opened.Ready() {
		t.Errorf("%+v %v", opened, err)
	}
	if names, err := List(); err != nil || len(names) != 1 || names[0] != "dev" {
		t.Errorf("%v %v", names, err)
	}
}

func TestProgressStampsEveryLine(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.logf("one\ntwo")
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[1], "s  two") {
		t.Errorf("%q", b.String())
	}
}

func TestLimitsAreRaisedAndPutBack(t *testing.T) {
	m := machine{proc: t.TempDir(), state: t.TempDir()}
	dir := filepath.Join(m.proc, "fs", "inotify")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	values := func() (all string) {
		for _, name := range []string{"max_user_instances", "max_user_watches"} {
			raw, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all += strings.TrimSpace(string(raw)) + " "
		}
		return all
	}
	for name, v := range map[string]string{"max_user_instances": "128\n", "max_user_watches": "1048576\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logf := func(string, ...any) {}
	for range 2 {
		if err := m.raise(logf); err != nil {
			t.Fatal(err)
		}
	}
	if got := values(); got != "4096 1048576 " {
		t.Errorf("raised to %s", got)
	}
	for range 2 {
		if err := m.restore(); err != nil {
			t.Fatal(err)
		}
	}
	if got := values(); got != "128 1048576 " {
		t.Errorf("put back to %s", got)
	}
}

func TestFailureNamesTheStepAndLeavesWhatExists(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	spec, err := Spec{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("why")
	for _, exists := range []bool{false, true} {
		u := &bringUp{spec: spec, log: newProgress(nil)}
		unlock, err := u.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if exists {
			u.lab.state.Topology = threeAndTwo()
		}
		err = u.failed(t.Context(), "provision nodes", &StepError{Step: "kubeadm join", Node: "w-1", Err: cause})
		unlock()
		var step *StepError
		if !errors.As(err, &step) || step.Node != "w-1" || step.Step != "kubeadm join" || !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		if _, statErr := os.Stat(u.lab.dir); (statErr == nil) != exists {
			t.Errorf("something existed: %v, directory: %v", exists, statErr)
		}
		if strings.Contains(err.Error(), "kup-lab down") != exists {
			t.Errorf("hint: %v", err)
		}
	}
}

func TestNoSecondUpOfOneName(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	spec, err := Spec{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := (&bringUp{spec: spec}).claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, err := (&bringUp{spec: spec}).claim(t.Context()); err == nil || !strings.Contains(err.Error(), "kup-lab down --name dev") {
		t.Errorf("got %v", err)
	}
}
