package apiserver

import (
	"cmp"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// discover says what is served: the groups, or the resources of a version. Clients
// that would like it in one document get it in several.
func (c *call) discover(path []string) (reply, error) {
	served := c.store.served()
	switch {
	case path[0] == "api" && len(path) == 1:
		return reply{http.StatusOK, metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: c.server.Addr()}},
		}}, nil
	case path[0] == "api":
		return resourcesOf(served, schema.GroupVersion{Version: path[1]})
	case len(path) == 1:
		out := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, gv := range versionsOf(served) {
			out.Groups = append(out.Groups, group(gv))
		}
		return reply{http.StatusOK, out}, nil
	case len(path) == 2:
		for _, gv := range versionsOf(served) {
			if gv.Group == path[1] {
				g := group(gv)
				g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				return reply{http.StatusOK, g}, nil
			}
		}
		return reply{}, errNoResource()
	}
	return resourcesOf(served, schema.GroupVersion{Group: path[1], Version: path[2]})
}

// served gives all resources by group and name.
func (s *Store) served() []*resource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*resource
	for _, t := range s.sorted() {
		out = append(out, t.resource)
	}
	return out
}

// versionsOf gives the named groups, each in its version.
func versionsOf(served []*resource) []schema.GroupVersion {
	out := []schema.GroupVersion{authentication, authorization}
	for _, r := range served {
		if gv := r.GroupVersion(); gv.Group != "" && !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupVersion) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version))
	})
	return out
}

func group(gv schema.GroupVersion) metav1.APIGroup {
	version := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
	return metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
}

func resourcesOf(served []*resource, gv schema.GroupVersion) (reply, error) {
	out := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, r := range served {
		if r.GroupVersion() == gv {
			out.APIResources = append(out.APIResources, described(r)...)
		}
	}
	for gvr, kind := range reviews {
		if gvr.GroupVersion() == gv {
			out.APIResources = append(out.APIResources, metav1.APIResource{Name: gvr.Resource, Kind: kind, Verbs: metav1.Verbs{"create"}})
		}
	}
	if len(out.APIResources) == 0 {
		return reply{}, errNoResource()
	}
	return reply{http.StatusOK, out}, nil
}

// described is a resource with its subresources.
func described(r *resource) []metav1.APIResource {
	out := []metav1.APIResource{{
		Name: r.Resource, SingularName: r.singular(), Namespaced: r.namespaced, Kind: r.kind, ShortNames: r.short,
		Verbs: metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
	}}
	part := func(name, group, version, kind string, verbs ...string) {
		out = append(out, metav1.APIResource{Name: r.Resource + "/" + name, Namespaced: r.namespaced, Group: group, Version: version, Kind: kind, Verbs: verbs})
	}
	if r.Group == "" && r.Resource == "pods" {
		part("eviction", "policy", "v1", "Eviction", "create")
		part("log", "", "", "Pod", "get")
	}
	if r.scale {
		part("scale", "autoscaling", "v1", "Scale", "get", "patch", "update")
	}
	if r.status {
		part("status", "", "", r.kind, "get", "patch", "update")
	}
	return out
}
