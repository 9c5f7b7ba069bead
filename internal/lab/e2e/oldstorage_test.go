package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	batchv1beta1 "k8s.io/api/batch/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func oldFinding() finding {
	return finding{
		Rule: "KUP-120", Severity: "block", Hop: "1.35", Object: "storagemigration.k8s.io/v1alpha1 StorageVersionMigration",
		Why: "2 objects (old-storage-one, old-storage-two) are stored so, and so on", Fix: "save them",
	}
}

func TestMisjudged(t *testing.T) {
	if wrong := misjudged([]finding{oldFinding()}, "1.35"); len(wrong) > 0 {
		t.Errorf("the right finding is wrong: %v", wrong)
	}
	changed := func(change func(*finding)) []finding {
		f := oldFinding()
		change(&f)
		return []finding{f}
	}
	for name, c := range map[string]struct {
		found []finding
		want  string
	}{
		"nothing":      {nil, "does not find"},
		"another hop":  {changed(func(f *finding) { f.Hop = "1.36" }), "hop 1.36"},
		"only a word":  {changed(func(f *finding) { f.Severity = "warn" }), "severity warn"},
		"one unnamed":  {changed(func(f *finding) { f.Why = "2 objects (old-storage-one and 1 more) are" }), "does not name old-storage-two"},
		"three":        {changed(func(f *finding) { f.Why = strings.Replace(f.Why, "2", "3", 1) }), "does not count"},
		"the readable": {append(changed(func(*finding) {}), finding{Rule: "KUP-120", Object: "batch/v1beta1 CronJob"}), "batch/v1beta1 CronJob too"},
		"more":         {append(changed(func(*finding) {}), finding{Rule: "KUP-025", Object: "kube-scheduler on cp-1"}), "KUP-025"},
	} {
		if wrong := strings.Join(misjudged(c.found, "1.35"), "\n"); !strings.Contains(wrong, c.want) {
			t.Errorf("%s: %q does not say %q", name, wrong, c.want)
		}
	}
}

// TestCannotDecode compares with the error that API servers make.
func TestCannotDecode(t *testing.T) {
	scheme := runtime.NewScheme()
	_, err := scheme.New(schema.GroupVersionKind{Group: migrationGroup, Version: unreadableVersion, Kind: migrationKind})
	if !cannotDecode(err) {
		t.Errorf("not told as such: %v", err)
	}
	_, other := scheme.New(schema.GroupVersionKind{Group: migrationGroup, Version: servedVersion, Kind: migrationKind})
	for _, err := range []error{nil, errors.New("storage is (re)initializing"), other} {
		if cannotDecode(err) {
			t.Errorf("told as such: %v", err)
		}
	}
}

func TestReadableIsAnObject(t *testing.T) {
	var o batchv1beta1.CronJob
	d := json.NewDecoder(strings.NewReader(readable))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || o.APIVersion != "batch/v1beta1" || o.Kind != "CronJob" || o.Spec.Suspend == nil || !*o.Spec.Suspend {
		t.Errorf("%+v: %v", o, err)
	}
	if key := "/registry/cronjobs/" + o.Namespace + "/" + o.Name; key != readableKey {
		t.Errorf("key %s, want %s", readableKey, key)
	}
}

// TestServeScript runs what runs on the node.
func TestServeScript(t *testing.T) {
	dir := t.TempDir()
	manifest, kept := filepath.Join(dir, "manifests", "kube-apiserver.yaml"), filepath.Join(dir, "kept")
	const before = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.0.0.1\n    image: registry.k8s.io/kube-apiserver:v1.34.4\n"
	if err := os.Mkdir(filepath.Dir(manifest), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(version string) string {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "sh", "-euc", serveScript, "sh", version, manifest, kept).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		raw, err := os.ReadFile(manifest)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	want := strings.Replace(before, "    - kube-apiserver\n", "    - kube-apiserver\n    - --feature-gates=StorageVersionMigrator=true\n    - --runtime-config=storagemigration.k8s.io/v1alpha1=true\n", 1)
	if got := serve("v1alpha1"); got != want {
		t.Errorf("served:\n%s", got)
	}
	info, err := os.Stat(manifest)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	if got := serve(""); got != before {
		t.Errorf("taken back:\n%s", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", kept, err)
	}
}
