package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// Key names an object independent of the API version it was read at.
type Key struct {
	Resource  string // "pods", "deployments.apps"
	Namespace string
	Name      string
}

func (k Key) String() string {
	if k.Namespace == "" {
		return k.Resource + " " + k.Name
	}
	return k.Resource + " " + k.Namespace + "/" + k.Name
}

// Snapshot is every object of the cluster, secret values as digests.
type Snapshot struct {
	Objects map[Key]map[string]any
	// versions is the API version each resource was read at.
	versions map[string]schema.GroupVersionResource
}

const listPage = 500

// takeSnapshot lists every resource there is. A resource that an earlier
// snapshot read is read at the same version if that is still served, so that
// the comparison sees changes of objects, not of versions.
func takeSnapshot(ctx context.Context, disco discovery.DiscoveryInterface, client dynamic.Interface, earlier *Snapshot) (*Snapshot, error) {
	resources, err := listable(disco)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Objects: map[Key]map[string]any{}, versions: resources}
	names := make([]string, 0, len(resources))
	for name := range resources {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if earlier != nil {
			if gvr, ok := earlier.versions[name]; ok && gvr != resources[name] {
				err := s.list(ctx, client, name, gvr)
				if err == nil {
					continue
				}
				if !apierrors.IsNotFound(err) {
					return nil, err
				}
			}
		}
		if err := s.list(ctx, client, name, resources[name]); err != nil && !apierrors.IsMethodNotSupported(err) {
			return nil, err
		}
	}
	return s, nil
}

func listable(disco discovery.DiscoveryInterface) (map[string]schema.GroupVersionResource, error) {
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("discover resources: %w", err)
	}
	out := map[string]schema.GroupVersionResource{}
	for _, l := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "get"}}, lists) {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range l.APIResources {
			gvr := gv.WithResource(r.Name)
			out[gvr.GroupResource().String()] = gvr
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the API serves no resources")
	}
	return out, nil
}

func (s *Snapshot) list(ctx context.Context, client dynamic.Interface, resource string, gvr schema.GroupVersionResource) error {
	s.versions[resource] = gvr
	opts := metav1.ListOptions{Limit: listPage}
	for {
		page, err := client.Resource(gvr).List(ctx, opts)
		if err != nil {
			return fmt.Errorf("list %s: %w", gvr, err)
		}
		for i := range page.Items {
			o := &page.Items[i]
			key := Key{Resource: resource, Namespace: o.GetNamespace(), Name: o.GetName()}
			s.Objects[key] = withoutSecrets(resource, o)
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return nil
		}
	}
}

// withoutSecrets replaces the values of Secrets by their digests: equality
// needs no more, and nothing secret can be printed.
func withoutSecrets(resource string, o *unstructured.Unstructured) map[string]any {
	if resource != "secrets" {
		return o.Object
	}
	data, _, _ := unstructured.NestedMap(o.Object, "data")
	for k, v := range data {
		sum := sha256.Sum256([]byte(fmt.Sprint(v)))
		data[k] = "sha256:" + hex.EncodeToString(sum[:])
	}
	if data != nil {
		o.Object["data"] = data
	}
	return o.Object
}
