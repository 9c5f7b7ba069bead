package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/kup-project/kup/pkg/cluster"
)

// API reads what the API server that answers serves, with its OpenAPI v3 documents.
// A server older than 1.24 has none: then there are none.
func (c *Client) API(ctx context.Context) (cluster.API, error) {
	discover, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return cluster.API{}, fmt.Errorf("read the API's schema: %w", err)
	}
	version, err := discover.ServerVersionWithContext(ctx)
	if err != nil {
		return cluster.API{}, fmt.Errorf("read the API's schema: its version: %w", err)
	}
	out := cluster.API{Version: looseVersion(version.GitVersion)}
	if out.Resources, err = apiResources(ctx, discover); err != nil {
		return cluster.API{}, fmt.Errorf("read the API's schema: its resources: %w", err)
	}
	custom, err := c.customGroups(ctx)
	if err != nil {
		return cluster.API{}, fmt.Errorf("read the API's schema: %w", err)
	}
	wanted := map[string]bool{}
	for i := range out.Resources {
		r := &out.Resources[i]
		r.Custom = custom.names[r.Name+"."+r.Group] || custom.versions[schema.GroupVersion{Group: r.Group, Version: r.Version}]
		if !r.Custom {
			wanted[r.Path()] = true
		}
	}
	if out.Documents, err = openAPI(ctx, discover.RESTClient(), wanted); err != nil {
		return cluster.API{}, fmt.Errorf("read the API's schema: %w", err)
	}
	return out, nil
}

// apiResources gives every resource that is served, the preferred version of a group
// first. A version whose aggregated server does not answer is left out.
func apiResources(ctx context.Context, d *discovery.DiscoveryClient) ([]cluster.APIResource, error) {
	groups, lists, failed, err := d.GroupsAndMaybeResourcesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	var out []cluster.APIResource
	for i := range groups.Groups {
		g := &groups.Groups[i]
		for _, v := range versionsOf(g) {
			at := schema.GroupVersion{Group: g.Name, Version: v}
			list := lists[at]
			if lists == nil {
				if list, err = d.ServerResourcesForGroupVersionWithContext(ctx, at.String()); err != nil && !apierrors.IsServiceUnavailable(err) {
					return nil, fmt.Errorf("%s: %w", at, err)
				}
			}
			if failed[at] != nil || list == nil {
				continue
			}
			for _, r := range list.APIResources {
				if !isSubresource(r.Name) {
					out = append(out, cluster.APIResource{
						Group: g.Name, Version: v, Name: r.Name, Kind: r.Kind, Namespaced: r.Namespaced, Listable: slices.Contains(r.Verbs, "list"),
					})
				}
			}
		}
	}
	return out, nil
}

func isSubresource(name string) bool { return slices.Contains([]byte(name), '/') }

// versionsOf are a group's versions, the preferred one first.
func versionsOf(g *metav1.APIGroup) []string {
	out := []string{g.PreferredVersion.Version}
	for _, v := range g.Versions {
		if v.Version != g.PreferredVersion.Version {
			out = append(out, v.Version)
		}
	}
	return out
}

// customGroups are those that no release of Kubernetes describes.
type customGroups struct {
	names    map[string]bool              // of definitions, plural.group
	versions map[schema.GroupVersion]bool // that aggregated API servers answer for
}

func (c *Client) customGroups(ctx context.Context) (customGroups, error) {
	out := customGroups{map[string]bool{}, map[schema.GroupVersion]bool{}}
	records, err := metadata.NewForConfig(c.config)
	if err != nil {
		return out, err
	}
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	names, err := all(ctx, metav1.ListOptions{}, records.Resource(definitions).List, func(l *metav1.PartialObjectMetadataList) []metav1.PartialObjectMetadata { return l.Items })
	if err != nil && !apierrors.IsNotFound(err) {
		return out, fmt.Errorf("names of the CustomResourceDefinitions: %w", err)
	}
	for i := range names {
		out.names[names[i].Name] = true
	}
	services := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	list, err := all(ctx, metav1.ListOptions{}, c.dynamic.Resource(services).List, func(l *unstructured.UnstructuredList) []unstructured.Unstructured { return l.Items })
	if err != nil && !apierrors.IsNotFound(err) {
		return out, fmt.Errorf("APIServices: %w", err)
	}
	for i := range list {
		var service struct {
			Spec struct {
				Group   string
				Version string
				Service *struct{ Name string }
			}
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list[i].Object, &service); err == nil && service.Spec.Service != nil {
			out.versions[schema.GroupVersion{Group: service.Spec.Group, Version: service.Spec.Version}] = true
		}
	}
	return out, nil
}

// openAPIReaders is how many documents are read at the same time.
const openAPIReaders = 4

// openAPI reads the documents of the paths that are wanted and served.
func openAPI(ctx context.Context, core rest.Interface, wanted map[string]bool) (map[string]json.RawMessage, error) {
	raw, err := core.Get().AbsPath("/openapi/v3").SetHeader("Accept", "application/json").Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list of OpenAPI v3 documents: %w", err)
	}
	var index struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("list of OpenAPI v3 documents: %w", err)
	}
	out := map[string]json.RawMessage{}
	var mutex sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openAPIReaders)
	for _, path := range slices.Sorted(maps.Keys(index.Paths)) {
		if !wanted[path] {
			continue
		}
		g.Go(func() error {
			raw, err := core.Get().AbsPath("/openapi/v3/"+path).SetHeader("Accept", "application/json").Do(ctx).Raw()
			if err == nil {
				raw, err = onlySchemas(raw)
			}
			if err != nil {
				return fmt.Errorf("OpenAPI v3 document %s: %w", path, err)
			}
			mutex.Lock()
			defer mutex.Unlock()
			out[path] = raw
			return nil
		})
	}
	return out, g.Wait()
}

// onlySchemas leaves out what tells nothing of objects: paths and prose, most of a
// document.
func onlySchemas(raw []byte) (json.RawMessage, error) {
	var doc struct {
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	for _, s := range doc.Components.Schemas {
		withoutProse(s)
	}
	return json.Marshal(doc)
}

// withoutProse removes descriptions; a property of that name is no text, and stays.
func withoutProse(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, prose := v["description"].(string); prose {
			delete(v, "description")
		}
		for _, inner := range v {
			withoutProse(inner)
		}
	case []any:
		for _, inner := range v {
			withoutProse(inner)
		}
	}
}

// EachObject hands over every object of a resource in its version, one at a time, as
// encoding/json decodes it: no list is held as a whole. When the API forgets the
// revision of the first page, the list starts again, and objects come twice. The error
// names the resource.
func (c *Client) EachObject(ctx context.Context, r cluster.APIResource, take func(map[string]any) error) error {
	next, begun := "", 0
	for {
		request := c.core.Get().AbsPath("/"+r.Path()+"/"+r.Name).Param("limit", strconv.Itoa(pageSize)).SetHeader("Accept", "application/json")
		if next != "" {
			request = request.Param("continue", next)
		}
		body, err := request.Stream(ctx)
		if err == nil {
			next, err = eachInPage(body, take)
			err = errors.Join(err, body.Close())
		}
		if apierrors.IsResourceExpired(err) && begun < maxRestarts {
			next, begun = "", begun+1
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", r.Called(), err)
		}
		if next == "" {
			return nil
		}
	}
}

// maxRestarts is how often a list is begun again whose pages the server forgot.
const maxRestarts = 3

// eachInPage reads one list of JSON and gives where the next page goes on.
func eachInPage(body io.Reader, take func(map[string]any) error) (string, error) {
	var meta metav1.ListMeta
	d := json.NewDecoder(body)
	if _, err := d.Token(); err != nil {
		return "", err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "metadata":
			err = d.Decode(&meta)
		case "items":
			err = eachItemOf(d, take)
		default:
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return "", err
		}
	}
	_, err := d.Token()
	return meta.Continue, err
}

func eachItemOf(d *json.Decoder, take func(map[string]any) error) error {
	open, err := d.Token()
	if err != nil || open == nil { // null
		return err
	}
	for d.More() {
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			return err
		}
		if err := take(o); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
