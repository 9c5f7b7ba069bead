package survey

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

const etcdHostSaid = `
#kup:part boot
5f0c1a56-2f0e-4f5c-8a8e-0d5a2a1a7d11

#kup:part arch
x86_64

#kup:part os
Debian GNU/Linux 12 (bookworm)

#kup:part kernel
6.1.0-40-amd64

#kup:part state
active

#kup:part binary
/usr/local/bin/etcd

#kup:part version
v3.5.33

#kup:part files
/etc/systemd/system/etcd.service
/etc/etcd.env

#kup:part size
204800

#kup:part disk
/var/lib/etcd 41152736 20576368
/var/lib/kup 41152736 20576368
`

func TestSurveyOfAnEtcdHost(t *testing.T) {
	unit := EtcdUnit{Unit: "etcd.service", DataDirectory: "/var/lib/etcd", Config: []string{"/etc/etcd.env"}}
	in := Input{
		API: lab(), Hosts: map[string]remote.Host{"etcd-1": &host{name: "etcd-1", output: map[string]string{"etcdhost": etcdHostSaid}}},
		EtcdHosts: map[string]EtcdUnit{"etcd-1": unit}, Pools: map[string]string{"etcd-1": "default"},
	}
	f, scan, err := Survey(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := &cluster.Node{
		Name: "etcd-1", Role: cluster.EtcdHost, OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-40-amd64", Arch: "amd64",
		Host: &cluster.Host{
			BootID:   "5f0c1a56-2f0e-4f5c-8a8e-0d5a2a1a7d11",
			DiskFree: map[string]uint64{"/var/lib/etcd": 20576368 << 10, "/var/lib/kup": 20576368 << 10},
			Etcd: &cluster.EtcdUnit{
				Unit: "etcd.service", Active: true, Binary: "/usr/local/bin/etcd", Version: cluster.MustParseVersion("v3.5.33"),
				DataDirectory: "/var/lib/etcd", DataSize: 200 << 20, Files: []string{"/etc/etcd.env", "/etc/systemd/system/etcd.service"},
			},
		},
	}
	if got := f.Node("etcd-1"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %+v", got, got.Host)
	}
	if scan.Startup["etcd-1"] != nil || scan.HostStates["etcd-1"] != nil {
		t.Error("a host that is no node was looked at as one")
	}
	h := in.Hosts["etcd-1"].(*host)
	if want := []string{"etcdhost etcd.service /var/lib/etcd /etc/etcd.env"}; !reflect.DeepEqual(h.calls, want) {
		t.Errorf("asked %q, want %q", h.calls, want)
	}

	h.output["etcdhost"] = ""
	if f, _, err = Survey(t.Context(), in); err != nil || f.Node("etcd-1").Host != nil || !strings.Contains(strings.Join(f.Unchecked, "\n"), "etcd-1 could not be surveyed") {
		t.Errorf("%v, %q", err, f.Unchecked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&survey{}).etcdHost(ctx, &cluster.Node{Name: "etcd-1"}, h, unit); err == nil {
		t.Error("a survey that was given up is no survey")
	}
}

// The script itself, on what systemd prints.
func TestEtcdHostScript(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	binary := write("opt/etcd", "#!/bin/sh\necho 'etcd Version: 3.6.5'\necho 'Go Version: go1.24'\n")
	unit, dropIn, env := write("etcd.service", ""), write("etcd.service.d/10.conf", ""), write("etcd.env", "ETCD_INITIAL_CLUSTER_TOKEN=secret")
	write("data/member/snap/db", strings.Repeat("x", 1<<20))
	write("bin/systemctl", `#!/bin/sh
case $3 in
ActiveState) echo ActiveState=active ;;
ExecStart) echo "ExecStart={ path=`+binary+` ; argv[]=`+binary+` --name e-1 ; ignore_errors=no ; }" ;;
FragmentPath) echo "FragmentPath=`+unit+`" ;;
DropInPaths) echo "DropInPaths=`+dropIn+` /gone.conf" ;;
EnvironmentFiles) echo "EnvironmentFiles=`+env+` (ignore_errors=no)" ;;
esac
`)
	c := exec.Command("sh", "-c", etcdHostScript, "kup", "etcd.service", filepath.Join(dir, "data"), env, "/absent")
	c.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin"}
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "secret") {
		t.Error("it prints what is in files")
	}
	n := &cluster.Node{Name: "e-1"}
	if err := readEtcdHost(n, EtcdUnit{Unit: "etcd.service", DataDirectory: filepath.Join(dir, "data")}, string(out)); err != nil {
		t.Fatal(err)
	}
	got := n.Host.Etcd
	if !got.Active || got.Binary != binary || got.Version != cluster.MustParseVersion("v3.6.5") || got.DataSize < 1<<20 ||
		!reflect.DeepEqual(got.Files, []string{env, unit, dropIn}) {
		t.Errorf("%+v\n%s", got, out)
	}
	if n.Host.DiskFree[filepath.Join(dir, "data")] == 0 || n.Host.DiskFree["/var/lib/kup"] == 0 {
		t.Errorf("%v", n.Host.DiskFree)
	}
}
