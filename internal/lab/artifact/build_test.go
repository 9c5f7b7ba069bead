package artifact

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/artifact/depot"
)

func TestKubernetesModule(t *testing.T) {
	in := `module k8s.io/kubernetes

go 1.24.0

require k8s.io/api v0.0.0

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/cri-client => ./staging/src/k8s.io/cri-client
)
`
	want := `module lab.invalid/build

go 1.24.0

require k8s.io/api v0.0.0

replace (
	k8s.io/api => k8s.io/api v0.33.13
	k8s.io/cri-client => k8s.io/cri-client v0.33.13
)

require k8s.io/kubernetes v1.33.13
`
	got, err := kubernetesModule(in, "v1.33.13")
	if err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
	if _, err := kubernetesModule(in, "1.33"); err == nil {
		t.Error("a minor passed for a release")
	}
}

func TestVersions(t *testing.T) {
	s, err := New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"1.33": "v1.33.13", "v1.34": "v1.34.4", "1.34.2": "v1.34.2", "v1.35.0": "v1.35.0"} {
		if got, err := s.Resolve(t.Context(), in); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "latest", "1", "1.33.x", "1.33; rm -rf /"} {
		if _, err := s.Resolve(t.Context(), bad); err == nil {
			t.Errorf("Resolve(%q) passed", bad)
		}
	}
	got, err := newestPatch([]string{"k8s.io/kubernetes", "v1.36.2", "v1.36.10", "v1.36.11-rc.0", "v1.3.60"}, "1.36")
	if err != nil || got != "v1.36.10" {
		t.Errorf("newestPatch = %q, %v", got, err)
	}
	if _, err := newestPatch([]string{"v1.36.2"}, "1.37"); err == nil {
		t.Error("a minor that is not served was found")
	}
}

func TestProgramKeyFollowsItsSource(t *testing.T) {
	p := program{kind: "x", name: "x", goMod: "module x", sources: map[string]string{"main.go": "a"}}
	q := p
	q.sources = map[string]string{"main.go": "b"}
	if p.recipe().key() == q.recipe().key() {
		t.Error("another source, the same key")
	}
}

func TestPackagesIndexAndRelease(t *testing.T) {
	p := debPackage{name: "kubeadm", version: "1.33.13-1.1", depends: "cri-tools (>= 1.30.0)", summary: "Command-line utility"}
	index := packagesIndex([]indexEntry{
		{control: p.control(), file: "amd64/" + p.fileName(), sum: checksum([]byte("deb"))},
		{control: p.control(), file: "amd64/other.deb", sum: checksum(nil)},
	})
	for _, want := range []string{
		"Package: kubeadm\nVersion: 1.33.13-1.1\n", "Depends: cri-tools (>= 1.30.0)\n", "Filename: amd64/kubeadm_1.33.13-1.1_",
		"Size: 3\n", "SHA256: ", "\n\nPackage: kubeadm\n",
	} {
		if !bytes.Contains(index, []byte(want)) {
			t.Errorf("Packages lacks %q:\n%s", want, index)
		}
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("X", 3600))
	release := string(releaseFile("1.33", now, map[string][]byte{"Packages": []byte("abc"), "Packages.gz": nil}))
	for _, want := range []string{
		"Date: Sun, 01 Mar 2026 11:00:00 UTC\n",
		"SHA256:\n ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 Packages\n",
		"MD5Sum:\n 900150983cd24fb0d6963f7d28e17f72 3 Packages\n",
	} {
		if !strings.Contains(release, want) {
			t.Errorf("Release lacks %q:\n%s", want, release)
		}
	}
	if got := (Repo{Minor: "1.34"}).URLPath(); got != "/core:/stable:/v1.34/deb/" {
		t.Errorf("served at %s", got)
	}
}

// TestImageThroughDepot writes an image and fetches it as containerd does.
func TestImageThroughDepot(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "pause")
	if err := os.WriteFile(program, []byte("#!"), 0o600); err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(dir, "image")
	spec := ImageSpec{Ref: "registry.k8s.io/pause:3.10", Files: map[string]string{"/pause": program}, Entrypoint: []string{"/pause"}}
	if err := WriteImage(images, spec); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.json")
	raw, err := json.Marshal(depot.Config{Images: []string{images}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	h := depot.Handler(config)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	var m manifest
	w := get("/v2/pause/manifests/3.10?ns=registry.k8s.io")
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK {
		t.Fatalf("manifest: %d %v %s", w.Code, err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != m.MediaType {
		t.Errorf("manifest served as %q, it says %q", got, m.MediaType)
	}
	for _, d := range append(m.Layers, m.Config) {
		w := get("/v2/pause/blobs/" + d.Digest)
		if w.Code != http.StatusOK || int64(w.Body.Len()) != d.Size || "sha256:"+checksum(w.Body.Bytes()).sha256 != d.Digest {
			t.Errorf("blob %s: %d, %d bytes of %d", d.Digest, w.Code, w.Body.Len(), d.Size)
		}
	}
	for _, bad := range []string{"pause:3.10", "registry.k8s.io/pause", "library/pause:1"} {
		if err := WriteImage(t.TempDir(), ImageSpec{Ref: bad}); err == nil {
			t.Errorf("reference %q passed", bad)
		}
	}
}
