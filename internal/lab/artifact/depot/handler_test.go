package depot

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func serve(t *testing.T, c Config) func(method, path string) *httptest.ResponseRecorder {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.json")
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	h := Handler(config)
	return func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		return w
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "repo", "InRelease"), "signed")
	write(t, filepath.Join(dir, "private.gpg"), "secret")
	do := serve(t, Config{Files: map[string]string{"/core:/stable:/v1.33/deb/": filepath.Join(dir, "repo")}})
	for _, tc := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/core:/stable:/v1.33/deb/InRelease", 200, "signed"},
		{"HEAD", "/core:/stable:/v1.33/deb/InRelease", 200, ""},
		{"GET", "/core:/stable:/v1.34/deb/InRelease", 404, ""},
		{"GET", "/core:/stable:/v1.33/deb/../private.gpg", 404, ""},
		{"GET", "/core:/stable:/v1.33/deb/%2e%2e/private.gpg", 404, ""},
		{"PUT", "/core:/stable:/v1.33/deb/InRelease", 405, ""},
		{"GET", "/healthz", 200, "ok\n"},
	} {
		w := do(tc.method, tc.path)
		if w.Code != tc.code && (tc.code != 404 || w.Code < 400) {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, w.Code, tc.code)
		}
		if strings.Contains(w.Body.String(), "secret") || tc.body != "" && w.Body.String() != tc.body {
			t.Errorf("%s %s: body %q", tc.method, tc.path, w.Body)
		}
	}
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	hex := strings.Repeat("ab", 32)
	write(t, filepath.Join(dir, RefsFile), `{"registry.k8s.io/etcd:3.5.33-0":"sha256:`+hex+`","docker.io/library/demo:1":"sha256:`+hex+`"}`)
	write(t, filepath.Join(dir, "blobs", "sha256", hex), `{"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	do := serve(t, Config{Images: []string{filepath.Join(dir, "absent"), dir}})
	for _, tc := range []struct {
		path string
		code int
	}{
		{"/v2/", 200},
		{"/v2/etcd/manifests/3.5.33-0?ns=registry.k8s.io", 200},
		{"/v2/etcd/manifests/3.5.33-0", 200},
		{"/v2/library/demo/manifests/1?ns=docker.io", 200},
		{"/v2/etcd/manifests/3.5.33-0?ns=docker.io", 404},
		{"/v2/etcd/manifests/9", 404},
		{"/v2/etcd/manifests/sha256:" + hex, 200},
		{"/v2/etcd/blobs/sha256:" + hex, 200},
		{"/v2/etcd/blobs/sha256:" + strings.Repeat("0", 64), 404},
		{"/v2/etcd/blobs/sha256:..%2F..%2Frefs.json", 404},
		{"/v2/etcd/tags/list", 404},
	} {
		w := do(http.MethodGet, tc.path)
		if w.Code != tc.code {
			t.Errorf("%s: %d, want %d: %s", tc.path, w.Code, tc.code, w.Body)
		}
		if tc.code == 200 && strings.Contains(tc.path, "/etcd/") && w.Header().Get("Docker-Content-Digest") != "sha256:"+hex {
			t.Errorf("%s: no digest", tc.path)
		}
	}
}

func TestBrokenConfigIsAnError(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(filepath.Join(t.TempDir(), "none")).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got %d", w.Code)
	}
}
