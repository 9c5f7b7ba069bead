package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Bundle is all that nodes need of one Kubernetes release.
type Bundle struct {
	Version string // v1.33.13
	Repo    Repo
	Images  []string // image directories for package depot
	Refs    []string // the images' references
	Pause   string   // reference of the sandbox image
}

// Bundle builds what is missing of a release: packages, the images its kubeadm
// names, and images of further etcd versions (such as "3.5.33").
func (s *Store) Bundle(ctx context.Context, version string, etcd ...string) (Bundle, error) {
	repo, err := s.AptRepo(ctx, version)
	if err != nil {
		return Bundle{}, err
	}
	binaries, err := s.Kubernetes(ctx, version)
	if err != nil {
		return Bundle{}, err
	}
	out, err := command{
		argv: []string{filepath.Join(binaries, "kubeadm"), "config", "images", "list", "--kubernetes-version", version},
	}.run(ctx)
	if err != nil {
		return Bundle{}, err
	}
	refs := strings.Fields(out)
	for _, v := range etcd {
		refs = append(refs, etcdRef(v))
	}
	b := Bundle{Version: version, Repo: repo}
	done := map[string]bool{}
	for _, ref := range refs {
		if done[ref] {
			continue
		}
		done[ref] = true
		spec, err := s.imageSpec(ctx, ref, binaries)
		if err != nil {
			return Bundle{}, err
		}
		dir, err := s.image(ctx, spec)
		if err != nil {
			return Bundle{}, err
		}
		b.Images = append(b.Images, dir)
		b.Refs = append(b.Refs, ref)
		if strings.Contains(ref, "/pause:") {
			b.Pause = ref
		}
	}
	if b.Pause == "" {
		return Bundle{}, fmt.Errorf("kubeadm %s names no pause image in %q", version, out)
	}
	return b, nil
}

func etcdRef(version string) string { return "registry.k8s.io/etcd:" + version + "-0" }

// imageSpec says what an image that kubeadm names is made of.
func (s *Store) imageSpec(ctx context.Context, ref, binaries string) (ImageSpec, error) {
	name, tag, err := nameAndTag(ref)
	if err != nil {
		return ImageSpec{}, err
	}
	spec := ImageSpec{Ref: ref, Files: map[string]string{}}
	switch {
	case name == "etcd":
		version, _, _ := strings.Cut(tag, "-")
		dir, err := s.Etcd(ctx, version)
		if err != nil {
			return spec, err
		}
		tools, err := s.Etcd(ctx, etcdTools(version))
		if err != nil {
			return spec, err
		}
		spec.Files["/usr/local/bin/etcd"] = filepath.Join(dir, "etcd")
		spec.Files["/usr/local/bin/etcdctl"] = filepath.Join(tools, "etcdctl")
		spec.Files["/usr/local/bin/etcdutl"] = filepath.Join(tools, "etcdutl")
	case name == "coredns":
		dir, err := s.CoreDNS(ctx, tag)
		if err != nil {
			return spec, err
		}
		spec.Files["/coredns"] = filepath.Join(dir, "coredns")
		spec.Entrypoint = []string{"/coredns"}
	case name == "pause":
		dir, err := s.Pause(ctx)
		if err != nil {
			return spec, err
		}
		spec.Files["/pause"] = filepath.Join(dir, "pause")
		spec.Entrypoint = []string{"/pause"}
	case strings.HasPrefix(name, "kube-"):
		spec.Files["/usr/local/bin/"+name] = filepath.Join(binaries, name)
		if name == "kube-proxy" {
			rootfs, err := s.Rootfs(ctx)
			if err != nil {
				return spec, err
			}
			spec.Base = []string{rootfs.KubeProxyLayer}
		}
	default:
		return spec, fmt.Errorf("kubeadm names image %s, which the lab cannot build", ref)
	}
	for _, file := range spec.Files {
		if _, err := os.Stat(file); err != nil {
			return spec, err
		}
	}
	return spec, nil
}

// nameAndTag is the last part of a reference's path and its tag.
func nameAndTag(ref string) (name, tag string, err error) {
	base := ref[strings.LastIndexByte(ref, '/')+1:]
	name, tag, ok := strings.Cut(base, ":")
	if !ok || name == "" || tag == "" {
		return "", "", fmt.Errorf("image reference %q has no tag", ref)
	}
	return name, tag, nil
}
