package machine

import (
	"context"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// initWriter reads a configuration for kubeadm init, which says which node it is for.
func (r *kubeadmRun) initWriter() (*manifest.Writer, error) {
	if !r.on("dry-run", false) {
		return nil, fmt.Errorf("hollow kubeadm knows the phases of init with --dry-run only")
	}
	raw, err := r.p.FS.ReadFile(r.p.Path(r.flags["config"]))
	if err != nil {
		return nil, fmt.Errorf("unable to read config from %q: %w", r.flags["config"], err)
	}
	w := &manifest.Writer{Kubeadm: r.line()}
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		if w.Config, err = manifest.ReadConfig(document); err == nil {
			continue
		}
		var own struct {
			Kind             string
			LocalAPIEndpoint struct{ AdvertiseAddress string }
			NodeRegistration struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &own); err != nil || own.Kind != "InitConfiguration" {
			return nil, fmt.Errorf("unable to read config from %q: invalid configuration: kind %q", r.flags["config"], own.Kind)
		}
		w.Node, w.IP = own.NodeRegistration.Name, own.LocalAPIEndpoint.AdvertiseAddress
	}
	if w.Config == nil || w.Node == "" || w.IP == "" {
		return nil, fmt.Errorf("unable to read config from %q: it wants an InitConfiguration and a ClusterConfiguration", r.flags["config"])
	}
	w.Images, err = w.Config.Images(r.m.cfg.Catalog, r.line())
	return w, err
}

// initControlPlane is kubeadm init phase control-plane all --dry-run.
func (r *kubeadmRun) initControlPlane(context.Context) error {
	w, err := r.initWriter()
	if err != nil {
		return err
	}
	all, err := w.All()
	if err != nil {
		return err
	}
	return r.aside(all)
}

// initEtcd is kubeadm init phase etcd local --dry-run.
func (r *kubeadmRun) initEtcd(context.Context) error {
	w, err := r.initWriter()
	if err != nil {
		return err
	}
	text, err := w.Etcd(nil)
	if err != nil {
		return err
	}
	return r.aside(map[string][]byte{manifest.Etcd: text})
}

// aside writes manifests where a dry run does.
func (r *kubeadmRun) aside(manifests map[string][]byte) error {
	dir := path.Join(kubeadmTemp, "kubeadm-init-dryrun"+r.suffix())
	if err := r.p.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range manifests {
		if err := r.p.FS.WriteFile(path.Join(dir, name+".yaml"), text, 0o600); err != nil {
			return err
		}
		r.say("[dryrun] Wrote certificates, kubeconfig files and control plane manifests to the %q directory", dir)
	}
	return nil
}

// releaseImages are the images of a version for the program's defaults.
func (r *kubeadmRun) releaseImages() (catalog.Images, error) {
	v := r.version
	if text := r.flags["kubernetes-version"]; text != "" {
		var err error
		if v, err = cluster.ParseVersion(text); err != nil {
			return catalog.Images{}, fmt.Errorf("couldn't parse Kubernetes version %q", text)
		}
	}
	row, ok := r.m.cfg.Catalog.Minor(v.Line())
	if !ok {
		return catalog.Images{}, fmt.Errorf("this version of kubeadm does not support %s", v)
	}
	return row.Images(v, r.flags["image-repository"], ""), nil
}

// imagesOf are all of them, in kubeadm's order.
func imagesOf(i catalog.Images) []string {
	return append(append([]string(nil), i.ControlPlane...), i.KubeProxy, i.CoreDNS, i.Pause, i.Etcd)
}

func (r *kubeadmRun) listImages(context.Context) error {
	images, err := r.releaseImages()
	if err != nil {
		return err
	}
	for _, image := range imagesOf(images) {
		r.say("%s", image)
	}
	return nil
}

func (r *kubeadmRun) pullImages(ctx context.Context) error {
	images, err := r.releaseImages()
	if err != nil {
		return err
	}
	r.m.mutated(r.p.Args)
	for _, image := range imagesOf(images) {
		if err := r.m.pull(ctx, image); err != nil {
			return fmt.Errorf("failed to pull image %q: %w", image, err)
		}
		r.say("[config/images] Pulled %s", image)
	}
	return nil
}

// tagOf is the tag of an image.
func tagOf(image string) string { return image[strings.LastIndex(image, ":")+1:] }
