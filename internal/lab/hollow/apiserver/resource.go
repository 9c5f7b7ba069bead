package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// resource is a kind of object as it is served.
type resource struct {
	schema.GroupVersionResource
	kind       string
	short      []string
	namespaced bool
	// status and scale tell of subresources.
	status, scale bool
	// counted objects have a generation, which rises with every change of what is
	// wanted.
	counted bool
	// folder is where etcd has the objects, below /registry.
	folder string
	// fields are what a field selector may name, besides name and namespace.
	fields []string
	// custom: it comes from a CustomResourceDefinition.
	custom bool
}

func (r *resource) gvk() schema.GroupVersionKind { return r.GroupVersion().WithKind(r.kind) }

func (r *resource) singular() string { return strings.ToLower(r.kind) }

// empty gives a new object of the Go type; nil when there is none.
func (r *resource) empty() runtime.Object {
	if r.custom {
		return nil
	}
	o, err := scheme.Scheme.New(r.gvk())
	if err != nil {
		return nil // kinds of the API's own extensions are not in client-go's scheme
	}
	return o
}

// key is the object's in etcd.
func (r *resource) key(namespace, name string) string {
	return "/registry/" + r.folder + "/" + strings.TrimPrefix(namespace+"/"+name, "/")
}

// row is a line of the table below. Flags: n namespaced, s status, x scale, g
// generation. Where the folder in etcd is empty it is the resource's name.
type row struct {
	name, kind, flags, folder, short string
	fields                           []string
}

// builtin is what every cluster serves, by group and version.
var builtin = []struct {
	group, version string
	rows           []row
}{
	{"", "v1", []row{
		{"namespaces", "Namespace", "s", "", "ns", []string{"status.phase"}},
		{"nodes", "Node", "s", "minions", "no", []string{"spec.unschedulable"}},
		{"pods", "Pod", "ns", "", "po", []string{"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"}},
		{"services", "Service", "ns", "services/specs", "svc", []string{"spec.clusterIP", "spec.type"}},
		{"endpoints", "Endpoints", "n", "services/endpoints", "ep", nil},
		{"configmaps", "ConfigMap", "n", "", "cm", nil},
		{"secrets", "Secret", "n", "", "", []string{"type"}},
		{"serviceaccounts", "ServiceAccount", "n", "", "sa", nil},
		{"events", "Event", "n", "", "ev", []string{
			"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
			"involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
		}},
		{"persistentvolumes", "PersistentVolume", "s", "", "pv", nil},
		{"persistentvolumeclaims", "PersistentVolumeClaim", "ns", "", "pvc", nil},
		{"replicationcontrollers", "ReplicationController", "nsxg", "controllers", "rc", []string{"status.replicas"}},
		{"limitranges", "LimitRange", "n", "", "limits", nil},
		{"resourcequotas", "ResourceQuota", "ns", "", "quota", nil},
	}},
	{"apps", "v1", []row{
		{"deployments", "Deployment", "nsxg", "", "deploy", nil},
		{"replicasets", "ReplicaSet", "nsxg", "", "rs", []string{"status.replicas"}},
		{"statefulsets", "StatefulSet", "nsxg", "", "sts", nil},
		{"daemonsets", "DaemonSet", "nsg", "", "ds", nil},
		{"controllerrevisions", "ControllerRevision", "n", "", "", nil},
	}},
	{"batch", "v1", []row{
		{"jobs", "Job", "nsg", "", "", []string{"status.successful"}},
		{"cronjobs", "CronJob", "nsg", "", "cj", nil},
	}},
	{"policy", "v1", []row{{"poddisruptionbudgets", "PodDisruptionBudget", "nsg", "", "pdb", nil}}},
	{"coordination.k8s.io", "v1", []row{{"leases", "Lease", "n", "", "", nil}}},
	{"admissionregistration.k8s.io", "v1", []row{
		{"validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "g", "", "", nil},
		{"mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "g", "", "", nil},
	}},
	{"apiregistration.k8s.io", "v1", []row{{"apiservices", "APIService", "s", "apiregistration.k8s.io/apiservices", "", nil}}},
	{"apiextensions.k8s.io", "v1", []row{{"customresourcedefinitions", "CustomResourceDefinition", "sg", "apiextensions.k8s.io/customresourcedefinitions", "crd", nil}}},
	{"rbac.authorization.k8s.io", "v1", []row{
		{"roles", "Role", "n", "", "", nil},
		{"rolebindings", "RoleBinding", "n", "", "", nil},
		{"clusterroles", "ClusterRole", "", "", "", nil},
		{"clusterrolebindings", "ClusterRoleBinding", "", "", "", nil},
	}},
	{"storage.k8s.io", "v1", []row{
		{"storageclasses", "StorageClass", "", "", "sc", nil},
		{"csinodes", "CSINode", "", "", "", nil},
		{"csidrivers", "CSIDriver", "", "", "", nil},
		{"volumeattachments", "VolumeAttachment", "s", "", "", nil},
	}},
	{"discovery.k8s.io", "v1", []row{{"endpointslices", "EndpointSlice", "n", "", "", nil}}},
	{"networking.k8s.io", "v1", []row{
		{"ingresses", "Ingress", "nsg", "ingress", "ing", nil},
		{"networkpolicies", "NetworkPolicy", "ng", "", "netpol", nil},
	}},
	{"scheduling.k8s.io", "v1", []row{{"priorityclasses", "PriorityClass", "g", "", "pc", nil}}},
}

func builtins() []*resource {
	var out []*resource
	for _, group := range builtin {
		gv := schema.GroupVersion{Group: group.group, Version: group.version}
		for _, row := range group.rows {
			r := &resource{
				GroupVersionResource: gv.WithResource(row.name), kind: row.kind, folder: row.folder, fields: row.fields,
				namespaced: strings.Contains(row.flags, "n"), status: strings.Contains(row.flags, "s"),
				scale: strings.Contains(row.flags, "x"), counted: strings.Contains(row.flags, "g"),
			}
			if r.folder == "" {
				r.folder = row.name
			}
			if row.short != "" {
				r.short = []string{row.short}
			}
			out = append(out, r)
		}
	}
	return out
}
