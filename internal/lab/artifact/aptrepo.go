package artifact

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5" // apt's indices carry it beside SHA-256
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Repo is the apt repository of one minor.
type Repo struct {
	Minor   string // "1.33"
	Version string // package version: "1.33.13-1.1"
	Dir     string // what is to be served at URLPath
}

// URLPath is where the repository is served, as on the public host.
func (r Repo) URLPath() string { return "/core:/stable:/v" + r.Minor + "/deb/" }

const aptRecipe = "4"

// AptRepo returns the signed repository of a release's minor.
func (s *Store) AptRepo(ctx context.Context, version string) (Repo, error) {
	minor, err := Minor(version)
	if err != nil {
		return Repo{}, err
	}
	binaries, err := s.Kubernetes(ctx, version)
	if err != nil {
		return Repo{}, err
	}
	crictl, err := s.Crictl(ctx)
	if err != nil {
		return Repo{}, err
	}
	rootfs, err := s.Rootfs(ctx)
	if err != nil {
		return Repo{}, err
	}
	keys, err := s.SigningKey(ctx)
	if err != nil {
		return Repo{}, err
	}
	packages, err := kubernetesPackages(version, binaries, crictl, rootfs.CNI)
	if err != nil {
		return Repo{}, err
	}
	r := recipe{kind: "apt", name: version, inputs: []string{aptRecipe, filepath.Base(binaries), filepath.Base(crictl), rootfs.Key, filepath.Base(keys.dir)}}
	for _, p := range packages {
		r.inputs = append(r.inputs, p.control(), p.postinst)
		for _, name := range sortedKeys(p.files) {
			r.inputs = append(r.inputs, name, p.files[name])
		}
	}
	dir, err := s.ensure(ctx, r, func(ctx context.Context, dir string) error {
		return buildAptRepo(ctx, dir, minor, packages, keys)
	})
	return Repo{Minor: minor, Version: strings.TrimPrefix(version, "v") + "-1.1", Dir: dir}, err
}

func buildAptRepo(ctx context.Context, dir, minor string, packages []debPackage, keys SigningKey) error {
	arch := filepath.Join(dir, runtime.GOARCH)
	if err := os.Mkdir(arch, 0o755); err != nil {
		return err
	}
	var entries []indexEntry
	for _, p := range packages {
		if err := p.build(ctx, arch); err != nil {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(arch, p.fileName()))
		if err != nil {
			return err
		}
		entries = append(entries, indexEntry{control: p.control(), file: runtime.GOARCH + "/" + p.fileName(), sum: checksum(raw)})
	}
	index := packagesIndex(entries)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write(index); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	files := map[string][]byte{"Packages": index, "Packages.gz": zipped.Bytes()}
	files["Release"] = releaseFile(minor, time.Now(), files)
	if err := keys.sign(ctx, files); err != nil {
		return err
	}
	for name, raw := range files {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}

type sums struct {
	size        int
	md5, sha256 string
}

func checksum(raw []byte) sums {
	m, h := md5.Sum(raw), sha256.Sum256(raw)
	return sums{size: len(raw), md5: hex.EncodeToString(m[:]), sha256: hex.EncodeToString(h[:])}
}

type indexEntry struct {
	control string
	file    string
	sum     sums
}

// packagesIndex is the repository's Packages file.
func packagesIndex(entries []indexEntry) []byte {
	var b bytes.Buffer
	for i, e := range entries {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.control)
		fmt.Fprintf(&b, "Filename: %s\nSize: %d\nMD5sum: %s\nSHA256: %s\n", e.file, e.sum.size, e.sum.md5, e.sum.sha256)
	}
	return b.Bytes()
}

// releaseFile is the repository's Release file over the given index files.
func releaseFile(minor string, now time.Time, files map[string][]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Origin: kup-lab:core:stable:v%s\nLabel: kup-lab:core:stable:v%s\nArchitectures: %s\nDate: %s\n",
		minor, minor, runtime.GOARCH, now.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	fmt.Fprintf(&b, "Description: Kubernetes %s packages of the kup lab\n", minor)
	for _, kind := range []string{"MD5Sum", "SHA256"} {
		fmt.Fprintf(&b, "%s:\n", kind)
		for _, name := range sortedKeys(files) {
			sum := checksum(files[name])
			hash := sum.md5
			if kind == "SHA256" {
				hash = sum.sha256
			}
			fmt.Fprintf(&b, " %s %d %s\n", hash, sum.size, name)
		}
	}
	return b.Bytes()
}
