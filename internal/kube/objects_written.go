package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// recorded are the resources that people and their tools write and that had, or
// have, a version that goes. Of these only the metadata is read. Left out are
// those that only Kubernetes writes (EndpointSlices, Leases, ReplicaSets, …), and
// those that are read in full elsewhere.
var recorded = []schema.GroupResource{
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicies"},
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicybindings"},
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"},
	{Group: "apiregistration.k8s.io", Resource: "apiservices"},
	{Group: "auditregistration.k8s.io", Resource: "auditsinks"},
	{Group: "autoscaling", Resource: "horizontalpodautoscalers"},
	{Group: "certificates.k8s.io", Resource: "clustertrustbundles"},
	{Group: "flowcontrol.apiserver.k8s.io", Resource: "flowschemas"},
	{Group: "flowcontrol.apiserver.k8s.io", Resource: "prioritylevelconfigurations"},
	{Group: "networking.k8s.io", Resource: "clustercidrs"},
	{Group: "networking.k8s.io", Resource: "ingressclasses"},
	{Group: "networking.k8s.io", Resource: "ingresses"},
	{Group: "networking.k8s.io", Resource: "networkpolicies"},
	{Group: "networking.k8s.io", Resource: "servicecidrs"},
	{Group: "node.k8s.io", Resource: "runtimeclasses"},
	{Group: "policy", Resource: "poddisruptionbudgets"},
	{Group: "policy", Resource: "podsecuritypolicies"},
	{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"},
	{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Resource: "roles"},
	{Group: "resource.k8s.io", Resource: "deviceclasses"},
	{Group: "resource.k8s.io", Resource: "devicetaintrules"},
	{Group: "resource.k8s.io", Resource: "resourceclaims"},
	{Group: "resource.k8s.io", Resource: "resourceclaimparameters"},
	{Group: "resource.k8s.io", Resource: "resourceclaimtemplates"},
	{Group: "resource.k8s.io", Resource: "resourceclasses"},
	{Group: "resource.k8s.io", Resource: "resourceclassparameters"},
	{Group: "scheduling.k8s.io", Resource: "podgroups"},
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"},
	{Group: "scheduling.k8s.io", Resource: "workloads"},
	{Group: "settings.k8s.io", Resource: "podpresets"},
	{Group: "storage.k8s.io", Resource: "csidrivers"},
	{Group: "storage.k8s.io", Resource: "storageclasses"},
	{Group: "storage.k8s.io", Resource: "volumeattributesclasses"},
	{Group: "storagemigration.k8s.io", Resource: "storageversionmigrations"},
}

// written reads the records of all resources in the table that the server has.
func (r *objectReader) written(ctx context.Context, g *errgroup.Group) error {
	served, err := r.discover(ctx)
	if err != nil {
		return err
	}
	for _, resource := range recorded {
		kind, found := served[resource]
		if !found {
			continue
		}
		read := r.part(ctx, "the versions that "+resource.String()+" were written in", func(ctx context.Context) error {
			return r.resource(ctx, resource.WithVersion(kind.Version), kind.Kind)
		})
		// Go would wait for a free place while holding one.
		if !g.TryGo(read) {
			if err := read(); err != nil {
				return err
			}
		}
	}
	return nil
}

// resource reads the records of one resource, page by page.
func (r *objectReader) resource(ctx context.Context, resource schema.GroupVersionResource, kind string) error {
	list, err := collect(ctx, r, metav1.ListOptions{}, r.records.Resource(resource).List,
		func(l *metav1.PartialObjectMetadataList) []cluster.Written {
			var out []cluster.Written
			for i := range l.Items {
				out = append(out, records(kind, &l.Items[i].ObjectMeta)...)
				if resource.Resource == "podsecuritypolicies" {
					name := l.Items[i].Name
					r.keep(func(o *cluster.Objects) { o.PodSecurityPolicies = append(o.PodSecurityPolicies, name) })
				}
			}
			return out
		})
	r.keep(func(o *cluster.Objects) { o.Written = append(o.Written, list...) })
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil // gone since discovery, or a resource that cannot be listed
	}
	return err
}

// discover gives the version and kind under which the server has each resource of
// the table: its preferred version where that has it. Servers since 1.26 answer
// with all groups at once; older ones are asked for the groups of the table only.
func (r *objectReader) discover(ctx context.Context) (map[schema.GroupResource]schema.GroupVersionKind, error) {
	for range 2 { // the core group's versions, and the other groups
		if err := r.spend(); err != nil {
			return nil, err
		}
	}
	asked := map[string]bool{}
	for _, resource := range recorded {
		asked[resource.Group] = true
	}
	groups, lists, _, err := r.discovery.GroupsAndMaybeResourcesWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("discover the API's groups: %w", err)
	}
	out := map[schema.GroupResource]schema.GroupVersionKind{}
	for i := range groups.Groups {
		if !asked[groups.Groups[i].Name] {
			continue
		}
		if err := r.versions(ctx, &groups.Groups[i], lists, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// versions goes through one group, the preferred version first. Lists are what
// the server gave with the groups; nil: nothing.
func (r *objectReader) versions(ctx context.Context, group *metav1.APIGroup, lists map[schema.GroupVersion]*metav1.APIResourceList, out map[schema.GroupResource]schema.GroupVersionKind) error {
	order := []string{group.PreferredVersion.Version}
	for _, v := range group.Versions {
		if v.Version != group.PreferredVersion.Version {
			order = append(order, v.Version)
		}
	}
	for _, v := range order {
		at := schema.GroupVersion{Group: group.Name, Version: v}
		list := lists[at]
		if lists == nil {
			if err := r.spend(); err != nil {
				return err
			}
			var err error
			if list, err = r.discovery.ServerResourcesForGroupVersionWithContext(ctx, at.String()); err != nil {
				return fmt.Errorf("discover %s: %w", at, err)
			}
		}
		if list == nil {
			continue
		}
		for _, resource := range list.APIResources {
			name := schema.GroupResource{Group: group.Name, Resource: resource.Name}
			if _, known := out[name]; !known {
				out[name] = at.WithKind(resource.Kind)
			}
		}
	}
	return nil
}

// records are the alpha and beta versions that an object's metadata names: in the
// annotation of kubectl apply, and as the newest entry of each manager.
func records(kind string, meta *metav1.ObjectMeta) []cluster.Written {
	var out []cluster.Written
	if text := meta.Annotations[corev1.LastAppliedConfigAnnotation]; text != "" {
		var last metav1.TypeMeta
		if json.Unmarshal([]byte(text), &last) == nil && provisional(last.APIVersion) {
			out = append(out, cluster.Written{APIVersion: last.APIVersion, Kind: last.Kind, Namespace: meta.Namespace, Name: meta.Name, Applied: true})
		}
	}
	newest := map[string]metav1.ManagedFieldsEntry{}
	var order []string
	for _, entry := range meta.ManagedFields {
		if !repeats(entry) {
			continue
		}
		before, known := newest[entry.Manager]
		if !known {
			order = append(order, entry.Manager)
		}
		if !known || at(before).Before(at(entry)) {
			newest[entry.Manager] = entry
		}
	}
	for _, manager := range order {
		if entry := newest[manager]; provisional(entry.APIVersion) {
			out = append(out, cluster.Written{
				APIVersion: entry.APIVersion, Kind: kind, Namespace: meta.Namespace, Name: meta.Name,
				Manager: manager, Applied: entry.Operation == metav1.ManagedFieldsOperationApply, At: at(entry),
			})
		}
	}
	return out
}

func at(entry metav1.ManagedFieldsEntry) time.Time {
	if entry.Time == nil {
		return time.Time{}
	}
	return entry.Time.UTC()
}

// repeats tells whether the manager is one that will write again in the same
// way: not Kubernetes itself, which moves with the upgrade, and not a person's
// single kubectl edit. What kubectl apply sends is in its annotation, and what Helm
// sends is in its releases.
func repeats(entry metav1.ManagedFieldsEntry) bool {
	switch {
	case entry.Operation == metav1.ManagedFieldsOperationApply && strings.HasPrefix(entry.Manager, "kubectl"):
		return true
	case strings.HasPrefix(entry.Manager, "kubectl"), strings.HasPrefix(entry.Manager, "api-priority-and-fairness"):
		return false
	}
	switch entry.Manager {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubeadm", "cloud-controller-manager", "before-first-apply", "helm":
		return false
	}
	return true
}
