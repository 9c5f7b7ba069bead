package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	kubeadmConfigMap = "kubeadm-config"
	kubeletConfigMap = "kubelet-config"
	clusterConfigKey = "ClusterConfiguration"
	kubeletConfigKey = "kubelet"
)

// UploadConfig stores kubeadm's and the kubelets' configuration in the cluster, as
// kubeadm of a minor does.
func UploadConfig(api Objects, config *manifest.Config, kubeadm cluster.Minor) error {
	text, err := config.YAML()
	if err != nil {
		return err
	}
	if err := putConfigMap(api, kubeadmConfigMap, clusterConfigKey, string(text)); err != nil {
		return err
	}
	stored, err := get[corev1.ConfigMap](api, resourceConfigMaps, systemNamespace, kubeletConfigMap)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	old := ""
	if err == nil {
		old = stored.Data[kubeletConfigKey]
	}
	kubelets, err := manifest.Kubelets(old, kubeadm)
	if err != nil {
		return err
	}
	return putConfigMap(api, kubeletConfigMap, kubeletConfigKey, kubelets)
}

func putConfigMap(api Objects, name, key, text string) error {
	err := modify(api, resourceConfigMaps, systemNamespace, name, func(c *corev1.ConfigMap) { c.Data = map[string]string{key: text} })
	if apierrors.IsNotFound(err) {
		err = create(api, resourceConfigMaps, &corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name},
			Data: map[string]string{key: text},
		})
	}
	if err != nil {
		return fmt.Errorf("ConfigMap %s/%s: %w", systemNamespace, name, err)
	}
	return nil
}

// uploadConfig is kubeadm's phase upload-config. From 1.34 on it removes the node's
// annotation with the runtime's socket, although the file that replaces it is only
// written by the phase kubelet-config.
func (r *kubeadmRun) uploadConfig(ctx context.Context, u *upgrade) error {
	r.say("[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace")
	if err := r.m.wait(ctx, uploadTime); err != nil {
		return err
	}
	if err := UploadConfig(u.api, u.config, r.line()); err != nil {
		return fmt.Errorf("error uploading the kubeadm ClusterConfiguration: %w", err)
	}
	r.say("[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster")
	if r.line().Less(manifest.LocalSocket) {
		return r.annotate(u, u.socket)
	}
	return r.annotate(u, "")
}

// annotate sets the node's annotation with the runtime's socket, or removes it.
func (r *kubeadmRun) annotate(u *upgrade, socket string) error {
	err := modify(u.api, resourceNodes, "", r.m.cfg.Name, func(n *corev1.Node) {
		if socket == "" {
			delete(n.Annotations, annotationSocket)
			return
		}
		if n.Annotations == nil {
			n.Annotations = map[string]string{}
		}
		n.Annotations[annotationSocket] = socket
	})
	if err != nil {
		return fmt.Errorf("error patching Node %q: %w", r.m.cfg.Name, err)
	}
	return nil
}

// kubeconfig is kubeadm's phase of that name: from 1.33 on, the kubelet of a control
// plane talks to the API server beside it.
func (r *kubeadmRun) kubeconfig(_ context.Context, u *upgrade) error {
	const file = "/etc/kubernetes/kubelet.conf"
	if r.line().Less(localMode) || !u.controlPlane || r.on("dry-run", false) {
		return nil
	}
	text, err := r.p.FS.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	shared, local := "server: https://"+u.config.Endpoint(), "server: https://"+r.m.cfg.IP+":6443"
	changed := bytes.Replace(text, []byte(shared), []byte(local), 1)
	if u.config.Endpoint() == "" || bytes.Equal(text, changed) {
		return nil
	}
	if err := r.p.FS.WriteFile(file, changed, 0o600); err != nil {
		return err
	}
	r.m.stopKubelet() // kubeadm restarts it
	return r.m.startKubelet()
}

// kubeletConfig is kubeadm's phase kubelet-config.
func (r *kubeadmRun) kubeletConfig(ctx context.Context, u *upgrade) error {
	stored, err := get[corev1.ConfigMap](u.api, resourceConfigMaps, systemNamespace, kubeletConfigMap)
	if err != nil {
		return fmt.Errorf("failed to get config map: %w", err)
	}
	dir, dry := manifest.KubeletDir, r.on("dry-run", false)
	f := r.p.FS
	if dry {
		dir = path.Join(kubeadmTemp, "kubeadm-upgrade-dryrun"+r.suffix())
	} else {
		if err := r.m.wait(ctx, configTime); err != nil {
			return err
		}
		backup := path.Join(kubeadmTemp, "kubeadm-kubelet-config"+r.suffix())
		r.say("[upgrade] Backing up kubelet config file to %s/config.yaml", backup)
		old, err := f.ReadFile(manifest.KubeletConfig)
		if err != nil {
			return fmt.Errorf("error backing up the kubelet config file: %w", err)
		}
		if err := errors.Join(f.MkdirAll(backup, 0o700), f.WriteFile(backup+"/config.yaml", old, 0o600)); err != nil {
			return fmt.Errorf("error backing up the kubelet config file: %w", err)
		}
	}
	if err := f.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	instance, err := r.instance(dir, dry)
	if err != nil {
		return err
	}
	text, err := manifest.Kubelet(stored.Data[kubeletConfigKey], instance)
	if err != nil {
		return err
	}
	r.say("[kubelet-start] Writing kubelet configuration to file %q", path.Join(dir, "config.yaml"))
	if err := f.WriteFile(path.Join(dir, "config.yaml"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("error writing kubelet configuration to file: %w", err)
	}
	if !dry && !r.line().Less(manifest.LocalSocket) {
		if err := r.annotate(u, ""); err != nil {
			return err
		}
	}
	r.say("[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!")
	return nil
}

// instance gives the node's own kubelet configuration and, from 1.34 on, makes it out
// of the kubelet's flags, which it leaves behind without the socket.
func (r *kubeadmRun) instance(dir string, dry bool) (string, error) {
	if r.line().Less(manifest.LocalSocket) {
		return "", nil
	}
	f := r.p.FS
	file := path.Join(dir, path.Base(manifest.KubeletInstance))
	if have, err := f.ReadFile(file); err == nil {
		return string(have), r.editFlags(dry)
	}
	socket := manifest.Socket
	text, err := f.ReadFile(manifest.KubeletFlags)
	if err != nil && !dry {
		return "", fmt.Errorf("error reading kubeadm flags file: %w", err)
	}
	for _, flag := range manifest.ReadFlags(string(text)) {
		if value, found := strings.CutPrefix(flag, "--container-runtime-endpoint="); found {
			socket = value
		}
	}
	made := manifest.Instance(socket)
	if err := f.WriteFile(file, []byte(made), 0o644); err != nil {
		return "", fmt.Errorf("error writing kubelet instance configuration: %w", err)
	}
	return made, r.editFlags(dry)
}

// editFlags removes the flags that a kubeadm takes out of the kubelet's file.
func (r *kubeadmRun) editFlags(dry bool) error {
	text, err := r.p.FS.ReadFile(manifest.KubeletFlags)
	if err != nil || dry {
		return nil //nolint:nilerr // without the file there are no flags
	}
	flags := manifest.ReadFlags(string(text))
	kept := slices.DeleteFunc(slices.Clone(flags), func(flag string) bool {
		return strings.HasPrefix(flag, "--container-runtime-endpoint=") ||
			strings.HasPrefix(flag, "--pod-infra-container-image=") && r.line() == minor(35)
	})
	if len(kept) == len(flags) {
		return nil
	}
	return r.p.FS.WriteFile(manifest.KubeletFlags, []byte(manifest.Flags(kept...)), 0o644)
}

// suffix makes a temporary directory's name unique.
func (r *kubeadmRun) suffix() string {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.pid++
	return fmt.Sprintf("%010d", r.m.pid)
}

// addons is kubeadm's phase addon: it waits for the last control plane.
func (r *kubeadmRun) addons(ctx context.Context, u *upgrade, names ...string) error {
	if !u.controlPlane {
		r.say("[upgrade/addon] Skipping the addon phase. Not a control plane node.")
		return nil
	}
	pods, err := u.api.List(resourcePods, systemNamespace)
	if err != nil {
		return fmt.Errorf("failed to list kube-apiserver Pod from cluster: %w", err)
	}
	servers, err := apiServers(pods)
	if err != nil {
		return fmt.Errorf("failed to determine whether all the control plane instances have been upgraded: %w", err)
	}
	var behind []string
	for node, v := range servers {
		if v != servers[r.m.cfg.Name] {
			behind = append(behind, node)
		}
	}
	if slices.Sort(behind); len(behind) > 0 {
		r.say("[upgrade/addon] Skipping upgrade of addons because control plane instances %v have not been upgraded", behind)
		return nil
	}
	if r.on("dry-run", false) {
		return nil
	}
	for _, name := range names {
		if err := r.addon(ctx, u, name); err != nil {
			return err
		}
	}
	return nil
}

// addon gives one add-on its new image; one that the cluster does not have stays
// away.
func (r *kubeadmRun) addon(ctx context.Context, u *upgrade, name string) error {
	if err := r.m.wait(ctx, addonTime); err != nil {
		return err
	}
	set := func(image string) func(*corev1.PodTemplateSpec) {
		return func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Image = image }
	}
	var err error
	switch name {
	case "coredns":
		err = modify(u.api, resourceDeployments, systemNamespace, name, func(d *appsv1.Deployment) { set(u.images.CoreDNS)(&d.Spec.Template) })
	case "kube-proxy":
		err = modify(u.api, resourceDaemonSets, systemNamespace, name, func(d *appsv1.DaemonSet) { set(u.images.KubeProxy)(&d.Spec.Template) })
	}
	if err := absent(err); err != nil {
		return fmt.Errorf("addon %s: %w", name, err)
	}
	r.say("[addons] Applied essential addon: %s", name)
	return nil
}

// addonsInOldOrder: kubeadm 1.28 to 1.31 moves the add-ons within node's phase
// control-plane, when this is the last one.
func (r *kubeadmRun) addonsInOldOrder(ctx context.Context, u *upgrade) error {
	isNode := slices.Contains(r.p.Args, "node")
	if !isNode || r.line().Less(addonsLast) || !r.line().Less(phasesSplit) {
		return nil
	}
	return r.addons(ctx, u, "coredns", "kube-proxy")
}
