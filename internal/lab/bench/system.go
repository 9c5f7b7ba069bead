package bench

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kup-project/kup/internal/lab/hollow"
)

const (
	systemNamespace = "kube-system"
	storageClass    = "block"
	csiDriver       = "block.csi.example.com"
)

// system writes what a kubeadm cluster has before anybody uses it: what the hosts put
// into the API, kubeadm's and the kubelets' configuration, the add-ons with their pods.
func (f *filling) system(hosts []*host) error {
	first := hosts[0].objects
	minor, known := f.layout.known.Minor(f.layout.start.Line())
	if !known {
		return fmt.Errorf("images of %s: the catalog knows nothing of it", f.layout.start)
	}
	addons, err := hollow.Addons(minor.Images(f.layout.start, "", ""), podSubnet)
	if err != nil {
		return err
	}
	for _, o := range addons {
		plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
		if o.GetKind() == "Deployment" || o.GetKind() == "DaemonSet" {
			continue // written below, with their pods
		}
		if _, err := first.Create(plural, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	for i, h := range hosts {
		if err := h.enlarge(); err != nil {
			return err
		}
		if err := f.writer.take(h.objects, i == 0); err != nil {
			return fmt.Errorf("objects of %s: %w", h.name, err)
		}
	}
	if err := f.storage(); err != nil {
		return err
	}
	return f.addons(addons)
}

// enlarge gives the node room for the pods of a busy cluster, and its zone.
func (h *host) enlarge() error {
	nodes := corev1.SchemeGroupVersion.WithResource("nodes")
	return h.objects.Modify(nodes, "", h.name, func(o *unstructured.Unstructured) error {
		labels := o.GetLabels()
		labels[corev1.LabelTopologyZone], labels[corev1.LabelTopologyRegion] = h.zone, "region-1"
		o.SetLabels(labels)
		for _, list := range []string{"capacity", "allocatable"} {
			for name, amount := range map[string]string{"cpu": "16", "memory": "64Gi"} {
				if err := unstructured.SetNestedField(o.Object, amount, "status", list, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// addons writes CoreDNS and kube-proxy, and DaemonSets as most clusters have them.
func (f *filling) addons(given []*unstructured.Unstructured) error {
	for _, o := range given {
		switch o.GetKind() {
		case "Deployment":
			d, err := read[appsv1.Deployment](o)
			if err == nil {
				err = f.deployment(d)
			}
			if err != nil {
				return err
			}
		case "DaemonSet":
			d, err := read[appsv1.DaemonSet](o)
			if err == nil {
				err = f.daemonSet(d)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"network-agent", "node-exporter", "log-shipper", "csi-block-node"} {
		if err := f.daemonSet(daemon(name)); err != nil {
			return err
		}
	}
	return nil
}

// daemon is an agent on every node, with daemonsPerNode-1 others.
func daemon(name string) *appsv1.DaemonSet {
	labels := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name, Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					HostNetwork: true, PriorityClassName: "system-node-critical",
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					Containers: []corev1.Container{{
						Name: name, Image: "registry.example.com/agents/" + name + ":v2.8.1",
						Resources:    requests("50m", "64Mi"),
						VolumeMounts: []corev1.VolumeMount{{Name: "host", MountPath: "/host", ReadOnly: true}},
					}},
					Volumes: []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/" + name}}}},
				},
			},
		},
	}
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)},
	}
}

func (f *filling) storage() error {
	wait, keep := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: storageClass}, Provisioner: csiDriver, VolumeBindingMode: &wait, ReclaimPolicy: &keep}
	if err := f.writer.put(class); err != nil {
		return err
	}
	yes, fsGroup := true, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy
	return f.writer.put(&storagev1.CSIDriver{
		ObjectMeta: metav1.ObjectMeta{Name: csiDriver},
		Spec:       storagev1.CSIDriverSpec{AttachRequired: &yes, FSGroupPolicy: &fsGroup, VolumeLifecycleModes: []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}},
	})
}
