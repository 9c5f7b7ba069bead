package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kup-project/kup/internal/lab/artifact/depot"
)

const imageRecipe = "2"

// ImageSpec describes an image of one or a few static programs.
type ImageSpec struct {
	Ref        string            // full reference, registry included
	Files      map[string]string // path in the image -> file on this machine
	Base       []string          // tar files below the programs
	Entrypoint []string
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Env        []string `json:"Env"`
		Entrypoint []string `json:"Entrypoint,omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// WriteImage writes the image into dir in the form package depot serves.
func WriteImage(dir string, spec ImageSpec) error {
	host, rest, ok := strings.Cut(spec.Ref, "/")
	if !ok || !strings.ContainsAny(host, ".:") || !strings.Contains(rest, ":") {
		return fmt.Errorf("image reference %q needs a registry and a tag, such as registry.k8s.io/pause:3.10", spec.Ref)
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	m := manifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json"}
	cfg := imageConfig{Architecture: runtime.GOARCH, OS: "linux"}
	cfg.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cfg.Config.Entrypoint = spec.Entrypoint
	cfg.RootFS.Type = "layers"
	layers := make([]func(io.Writer) error, 0, len(spec.Base)+1)
	for _, base := range spec.Base {
		layers = append(layers, func(w io.Writer) error { return copyFile(w, base) })
	}
	layers = append(layers, func(w io.Writer) error { return programLayer(w, spec.Files) })
	for _, write := range layers {
		d, err := writeBlob(blobs, "application/vnd.oci.image.layer.v1.tar", write)
		if err != nil {
			return err
		}
		m.Layers = append(m.Layers, d)
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, d.Digest)
	}
	var err error
	if m.Config, err = writeJSONBlob(blobs, "application/vnd.oci.image.config.v1+json", cfg); err != nil {
		return err
	}
	top, err := writeJSONBlob(blobs, m.MediaType, m)
	if err != nil {
		return err
	}
	refs, err := json.Marshal(map[string]string{spec.Ref: top.Digest})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, depot.RefsFile), refs, 0o644)
}

func programLayer(w io.Writer, files map[string]string) error {
	l := newLayer(w)
	for _, name := range sortedKeys(files) {
		if err := l.file(name, files[name], 0o755); err != nil {
			return err
		}
	}
	return l.close()
}

func writeJSONBlob(dir, mediaType string, v any) (descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return writeBlob(dir, mediaType, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(raw))
		return err
	})
}

func writeBlob(dir, mediaType string, write func(io.Writer) error) (descriptor, error) {
	f, err := os.CreateTemp(dir, ".blob-")
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close() //nolint:errcheck // closed and checked below where all went well
	h := sha256.New()
	if err := write(io.MultiWriter(f, h)); err != nil {
		return descriptor{}, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return descriptor{}, err
	}
	if err := f.Chmod(0o644); err != nil {
		return descriptor{}, err
	}
	if err := f.Close(); err != nil {
		return descriptor{}, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if err := os.Rename(f.Name(), filepath.Join(dir, sum)); err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: size}, nil
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = io.Copy(w, f)
	return err
}

// image returns the directory of an image. The paths of its files carry the
// keys of the artifacts they come from, so they are input enough.
func (s *Store) image(ctx context.Context, spec ImageSpec) (string, error) {
	r := recipe{kind: "image", name: strings.NewReplacer("/", "_", ":", "_").Replace(spec.Ref)}
	r.inputs = append(r.inputs, imageRecipe, spec.Ref)
	relative := func(path string) string { return strings.TrimPrefix(path, s.dir) }
	for _, name := range sortedKeys(spec.Files) {
		r.inputs = append(r.inputs, name, relative(spec.Files[name]))
	}
	for _, base := range spec.Base {
		r.inputs = append(r.inputs, relative(base))
	}
	r.inputs = append(r.inputs, spec.Entrypoint...)
	return s.ensure(ctx, r, func(_ context.Context, dir string) error { return WriteImage(dir, spec) })
}
