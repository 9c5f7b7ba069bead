package hollow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/kup-project/kup/internal/lab/hollow"
)

// configure adds to kup.yaml.
func configure(t *testing.T, c *hollow.Cluster, section string) {
	t.Helper()
	file := filepath.Join(c.Dir(), "kup.yaml")
	content, err := os.ReadFile(file)
	if err == nil {
		before, _, _ := strings.Cut(string(content), "\nsnapshots:")
		err = os.WriteFile(file, []byte(strings.TrimSpace(before)+"\n"+section+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newIdentity writes an age identity into the cluster's directory and gives its recipient.
func newIdentity(t *testing.T, c *hollow.Cluster, name string) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err == nil {
		err = os.WriteFile(filepath.Join(c.Dir(), name), []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// savedName saves a snapshot and gives its name and the first place's file.
func savedName(t *testing.T, c *hollow.Cluster, args ...string) (name, file string) {
	t.Helper()
	out := kup(t, c, 0, append([]string{"snapshot", "save", "-o", "json"}, args...)...)
	var saved struct {
		Meta struct{ Name string }
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &saved); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(c.Dir(), "state/kup/*/snapshots", saved.Meta.Name))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is in %v, %v", saved.Meta.Name, found, err)
	}
	return saved.Meta.Name, found[0]
}

// wantSays wants each of some texts in an output.
func wantSays(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q:\n%s", text, out)
		}
	}
}

// TestSnapshotsByHand: saved from a living cluster, listed, proven against it, refused
// when they are not what they should be, and restored, with the API and without.
func TestSnapshotsByHand(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 3, Workers: 1, Kubernetes: "1.33"})
	configure(t, c, "snapshots: {keep: 2, limit: 50MiB, second: {directory: ./second}}")
	name, file := savedName(t, c)
	wantSays(t, kup(t, c, 0, "snapshot", "list"), name, "second")
	wantSays(t, kup(t, c, 0, "snapshot", "verify", name), "Good: "+name, "compared with the 3 members", "second: whole", "Restore rehearsed with image registry.k8s.io/etcd:3.5.33-0 on cp-")
	wantSays(t, kup(t, c, 0, "snapshot", "verify", file, "--offline"), "Good: ", "--offline")

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(c.Dir(), "damaged.db")
	for text, b := range map[string][]byte{
		"truncated": content[:len(content)-1000], "its checksum is another one": flip(content),
	} {
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		wantSays(t, kup(t, c, 1, "snapshot", "verify", damaged), text, "hint: do not rely on it")
		wantSays(t, kup(t, c, 1, "snapshot", "restore", damaged, "--data-dir", "never", "--name", "a", "--initial-cluster", "a=http://127.0.0.1:2380", "--peer-urls", "http://127.0.0.1:2380"), text)
	}
	if _, err := os.Stat(filepath.Join(c.Dir(), "never")); err == nil {
		t.Error("a damaged snapshot was restored")
	}
	if err := os.WriteFile(file, flip(content), 0o600); err != nil {
		t.Fatal(err)
	}
	wantSays(t, kup(t, c, 1, "snapshot", "verify", name), "Good: "+name, "DO NOT RELY ON IT", "second: whole", "is good, but not its copy in ")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}

	// Of those taken by hand the newest two stay, in both places.
	sealedFor := newIdentity(t, c, "identity")
	configure(t, c, "snapshots: {keep: 2, second: {directory: ./second}, recipients: ["+sealedFor+"]}")
	savedName(t, c)
	name, file = savedName(t, c, "--limit", "20MiB")
	for _, dir := range []string{filepath.Dir(file), filepath.Join(c.Dir(), "second")} {
		if left, _ := filepath.Glob(filepath.Join(dir, "*-etcd-*")); len(left) != 4 {
			t.Errorf("%s has %v", dir, left)
		}
	}
	wantSays(t, kup(t, c, 2, "snapshot", "verify", name), "encrypted for "+sealedFor, "--identity")
	newIdentity(t, c, "other")
	wantSays(t, kup(t, c, 2, "snapshot", "verify", name, "--identity", "other"), "opens it not")
	wantSays(t, kup(t, c, 0, "snapshot", "verify", strings.TrimSuffix(name, ".age"), "--identity", "identity"), "the 3 members")

	// The night when nothing but the file is left.
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantSays(t, kup(t, c, 0, "snapshot", "list"), name, "was not asked")
	restore := []string{
		"snapshot", "restore", name, "--identity", "identity", "--data-dir", "restored", "--name", "cp-1",
		"--initial-cluster", "cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380", "--peer-urls", "https://10.0.0.11:2380",
	}
	wantSays(t, kup(t, c, 0, restore...), "raised by 1000000000", "cluster token kup-")
	if _, err := os.Stat(filepath.Join(c.Dir(), "restored/member/snap/db")); err != nil {
		t.Error(err)
	}
	wantSays(t, kup(t, c, 2, restore...), "is not empty")
	wantNothingPlain(t, c)
}

func flip(content []byte) []byte {
	b := bytes.Clone(content)
	b[len(b)/2] ^= 1
	return b
}

// wantNothingPlain looks for working copies that were left.
func wantNothingPlain(t *testing.T, c *hollow.Cluster) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(c.Dir(), "state/kup/.snapshot-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestForeignSnapshot: one cluster's snapshot is refused by another, with a description
// and without.
func TestForeignSnapshot(t *testing.T) {
	one := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33"})
	_, file := savedName(t, one)
	two := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33"})
	bare := filepath.Join(two.Dir(), "bare.db")
	content, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(bare, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, bare} {
		wantSays(t, kup(t, two, 1, "snapshot", "verify", f), "of another cluster", "hint: do not rely on it")
	}
	wantSays(t, kup(t, two, 0, "snapshot", "verify", bare, "--offline"), "compared with nothing", "no description")
}

// TestHopKeepsItsSnapshotEncrypted: with recipients nothing plain is kept anywhere, and
// the run goes on after a stop as it does without.
func TestHopKeepsItsSnapshotEncrypted(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	configure(t, c, "snapshots: {second: {directory: ./second}, recipients: ["+newIdentity(t, c, "identity")+"]}")
	r := hollow.Dial(c.Dir())
	inject(t, r, hollow.Fault{Name: "repository-gone", Host: "w-1"})
	wantSays(t, kup(t, c, 4, "apply", "--to", "v1.34", "--yes", "--accept-notices"), "; encrypt it; keep it in ", "encrypted for 1 recipient(s)", "second, too", "restored by etcd 3.5.33, image registry.k8s.io/etcd:3.5.33-0 on cp-1")
	inject(t, r, hollow.Fault{Name: "repository-back", Host: "w-1"})
	runs, err := filepath.Glob(filepath.Join(c.Dir(), "state/kup/*/*/etcd-1.34.db*"))
	if err != nil || len(runs) != 2 || !strings.HasSuffix(runs[0], ".db.age") || !strings.HasSuffix(runs[1], ".db.age.json") {
		t.Fatalf("the run has %v, %v", runs, err)
	}
	run := filepath.Base(filepath.Dir(runs[0]))
	for _, f := range []string{"etcd-1.34.db.age", "etcd-1.34.db.age.json"} {
		here, err := os.ReadFile(filepath.Join(filepath.Dir(runs[0]), f))
		if err != nil {
			t.Fatal(err)
		}
		there, err := reach(t, c, "cp-1").ReadFile(t.Context(), "/var/lib/kup/"+run+"/"+f)
		if err != nil || !bytes.Equal(here, there) {
			t.Errorf("cp-1 has another %s: %d bytes of %d, %v", f, len(there), len(here), err)
		}
	}
	kup(t, c, 0, "apply", "--resume", "--yes")
	out := kup(t, c, 0, "snapshot", "list")
	wantSays(t, out, run+"-etcd-1.34.db.age", "yes", "second")
	wantSays(t, kup(t, c, 0, "snapshot", "verify", run+"-etcd-1.34.db", "--identity", "identity"), "Good: ")
	wantNothingPlain(t, c)
	err = filepath.WalkDir(c.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(filepath.Base(path), "etcd-") && strings.HasSuffix(path, ".db") {
			err = fmt.Errorf("%s is plain", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
