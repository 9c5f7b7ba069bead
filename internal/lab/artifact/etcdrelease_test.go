package artifact

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestEtcdRelease(t *testing.T) {
	dir, programs := t.TempDir(), t.TempDir()
	files := map[string]string{}
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		files[name] = filepath.Join(programs, name)
		if err := os.WriteFile(files[name], []byte(name+" says so"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := EtcdRelease{Version: "3.6.5", Dir: dir}
	if err := writeEtcdRelease(dir, r.Archive(), files); err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sha256sum", "--check", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	top := "etcd-v3.6.5-linux-" + r.Archive()[len("etcd-v3.6.5-linux-"):len(r.Archive())-len(".tar.gz")]
	out, err := exec.Command("tar", "-xOzf", filepath.Join(dir, r.Archive()), top+"/etcdutl").CombinedOutput()
	if err != nil || string(out) != "etcdutl says so" {
		t.Errorf("%v: %q", err, out)
	}
	delete(files, "etcd")
	files["missing"] = filepath.Join(programs, "missing")
	if err := writeEtcdRelease(t.TempDir(), r.Archive(), files); err == nil {
		t.Error("a release without a program is no release")
	}
}
