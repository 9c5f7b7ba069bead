package depot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Config says what is served.
type Config struct {
	// Files maps URL prefixes such as "/core:/stable:/v1.33/deb/" to directories.
	Files map[string]string `json:"files"`
	// Images are image directories: refs.json maps full references to manifest
	// digests, blobs/sha256/<hex> holds manifests, configs and layers.
	Images []string `json:"images"`
}

// RefsFile is the name of an image directory's index.
const RefsFile = "refs.json"

var (
	digestRE   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	registryRE = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)
)

// Handler serves what the file config names: a read-only OCI distribution API
// under /v2/, plain files elsewhere. The file is read again for every request,
// so that replacing it is all it takes to publish something.
func Handler(config string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		c, err := load(config)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		switch {
		case r.URL.Path == "/healthz":
			fmt.Fprintln(w, "ok")
		case r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/"):
			c.registry(w, r)
		default:
			c.file(w, r)
		}
	})
}

func load(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c Config) file(w http.ResponseWriter, r *http.Request) {
	for prefix, dir := range c.Files {
		if strings.HasPrefix(r.URL.Path, prefix) {
			http.StripPrefix(strings.TrimSuffix(prefix, "/"), http.FileServer(http.Dir(dir))).ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

func (c Config) registry(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if r.URL.Path == "/v2" || r.URL.Path == "/v2/" {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{}")
		return
	}
	m := registryRE.FindStringSubmatch(r.URL.Path)
	if m == nil {
		registryError(w, "UNSUPPORTED", "no such endpoint")
		return
	}
	name, what, ref := m[1], m[2], m[3]
	digest := ref
	if what == "manifests" && !strings.HasPrefix(ref, "sha256:") {
		found, err := c.resolve(r.URL.Query().Get("ns"), name, ref)
		if err != nil {
			registryError(w, "MANIFEST_UNKNOWN", err.Error())
			return
		}
		digest = found
	}
	if !digestRE.MatchString(digest) {
		registryError(w, "DIGEST_INVALID", "not a sha256 digest")
		return
	}
	c.blob(w, r, what, digest)
}

func (c Config) blob(w http.ResponseWriter, r *http.Request, what, digest string) {
	for _, dir := range c.Images {
		path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
		if _, err := os.Stat(path); err != nil {
			continue
		}
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Type", "application/octet-stream")
		if what == "manifests" {
			w.Header().Set("Content-Type", mediaType(path))
		}
		http.ServeFile(w, r, path)
		return
	}
	registryError(w, "BLOB_UNKNOWN", "no such blob")
}

// resolve finds name:tag of the registry ns; a client that is not a mirror's
// names no registry and gets the only image of that name.
func (c Config) resolve(ns, name, tag string) (string, error) {
	for _, dir := range c.Images {
		raw, err := os.ReadFile(filepath.Join(dir, RefsFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		refs := map[string]string{}
		if err := json.Unmarshal(raw, &refs); err != nil {
			return "", fmt.Errorf("%s: %w", dir, err)
		}
		names := make([]string, 0, len(refs))
		for ref := range refs {
			names = append(names, ref)
		}
		slices.Sort(names)
		for _, ref := range names {
			host, rest, _ := strings.Cut(ref, "/")
			if rest == name+":"+tag && (ns == "" || ns == host) {
				return refs[ref], nil
			}
		}
	}
	return "", fmt.Errorf("the lab does not serve %s/%s:%s", ns, name, tag)
}

func mediaType(path string) string {
	raw, err := os.ReadFile(path)
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if err != nil || json.Unmarshal(raw, &m) != nil || m.MediaType == "" {
		return "application/vnd.oci.image.manifest.v1+json"
	}
	return m.MediaType
}

func registryError(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}
