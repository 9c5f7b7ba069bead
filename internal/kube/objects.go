package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kup-project/kup/pkg/cluster"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

const (
	// objectRequests bounds what one look at the objects asks of the API.
	objectRequests = 120
	// objectReaders is how many lists are read at the same time.
	objectReaders = 4
	// bodyPage and helmPage are how many objects one List asks for where a single
	// object may have hundreds of kilobytes.
	bodyPage = 50
	helmPage = 20
)

// errSpent ends a look at the objects that would ask too much of the API.
var errSpent = fmt.Errorf("more than %d requests would be needed", objectRequests)

// Objects reads what the API's objects say about the versions they are written
// in, which webhooks stand in the way of what, and which add-ons run. What these
// credentials may not see is named in Unchecked; the error is about ctx.
func (c *Client) Objects(ctx context.Context) (cluster.Objects, error) {
	records, err := metadata.NewForConfig(c.config)
	if err != nil {
		return cluster.Objects{}, fmt.Errorf("read the objects: %w", err)
	}
	discover, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return cluster.Objects{}, fmt.Errorf("read the objects: %w", err)
	}
	r := &objectReader{client: c, records: records, discovery: discover, backends: map[string]*cluster.Backend{}}
	r.left.Store(objectRequests)
	if err := r.read(ctx); err != nil {
		return cluster.Objects{}, fmt.Errorf("read the objects: %w", err)
	}
	r.sort()
	return r.out, nil
}

// objectReader gathers one look at the objects.
type objectReader struct {
	client    *Client
	records   metadata.Interface
	discovery *discovery.DiscoveryClient
	left      atomic.Int32 // requests that may still be made

	mutex    sync.Mutex // guards what follows
	out      cluster.Objects
	backends map[string]*cluster.Backend // by service, namespace/name
}

func (r *objectReader) read(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(objectReaders)
	// What other rules lean on comes first, so that a cluster with very many
	// objects spends its last requests on records.
	g.Go(r.part(gctx, "the configuration of the cluster's DNS", r.corefile))
	g.Go(r.part(gctx, "kube-proxy's mode and feature gates", r.proxyMode))
	g.Go(r.part(gctx, "what admission webhooks are asked about", r.webhooks))
	g.Go(r.part(gctx, "CustomResourceDefinitions", r.definitions))
	g.Go(r.part(gctx, "the pod templates of workloads", r.templates))
	g.Go(r.part(gctx, "Helm's releases", r.releases))
	g.Go(r.part(gctx, "the versions that objects were written in", func(ctx context.Context) error { return r.written(ctx, g) }))
	return g.Wait()
}

// part observes what the rest can do without: why it failed is kept, unless ctx
// ended.
func (r *objectReader) part(ctx context.Context, what string, observe func(context.Context) error) func() error {
	return func() error {
		err := observe(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.keep(func(o *cluster.Objects) {
				o.Unchecked = append(o.Unchecked, fmt.Sprintf("%s could not be read in full: %s", what, strings.ReplaceAll(err.Error(), "\n", "; ")))
			})
		}
		return nil
	}
}

func (r *objectReader) keep(add func(*cluster.Objects)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	add(&r.out)
}

func (r *objectReader) spend() error {
	if r.left.Add(-1) < 0 {
		return errSpent
	}
	return nil
}

// pages hands over a collection page by page, each request on the reader's
// account. When the server has forgotten the revision of the first page, the list
// starts again in one piece; begin is called before each start.
func pages[L page](ctx context.Context, r *objectReader, o metav1.ListOptions, get func(context.Context, metav1.ListOptions) (L, error), begin func(), take func(L)) error {
	begin()
	for {
		if err := r.spend(); err != nil {
			return err
		}
		list, err := get(ctx, o)
		if o.Continue != "" && apierrors.IsResourceExpired(err) {
			o.Continue, o.Limit = "", 0
			begin()
			continue
		}
		if err != nil {
			return err
		}
		take(list)
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// collect is pages into one slice. What came before an error is given with it.
func collect[L page, T any](ctx context.Context, r *objectReader, o metav1.ListOptions, get func(context.Context, metav1.ListOptions) (L, error), items func(L) []T) ([]T, error) {
	if o.Limit == 0 {
		o.Limit = pageSize
	}
	var out []T
	err := pages(ctx, r, o, get, func() { out = nil }, func(l L) { out = append(out, items(l)...) })
	return out, err
}

// configMap gives a ConfigMap of kube-system, or nil when there is none.
func (r *objectReader) configMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	if err := r.spend(); err != nil {
		return nil, err
	}
	m, err := r.client.clientset.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // its absence is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap kube-system/%s: %w", name, err)
	}
	return m, nil
}

// sort gives the same order whatever came first, and once what a list gave twice
// because it started again.
func (r *objectReader) sort() {
	o := &r.out
	slices.SortFunc(o.Written, func(a, b cluster.Written) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Manager, b.Manager))
	})
	o.Written = slices.Compact(o.Written)
	slices.SortFunc(o.Releases, func(a, b cluster.Release) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(o.Definitions, func(a, b cluster.Definition) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(o.Webhooks, func(a, b cluster.WebhookReach) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Configuration, b.Configuration), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(o.Templates, func(a, b cluster.Template) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	o.Templates = slices.CompactFunc(o.Templates, func(a, b cluster.Template) bool {
		return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name
	})
	slices.Sort(o.PodSecurityPolicies)
	o.PodSecurityPolicies = slices.Compact(o.PodSecurityPolicies)
	slices.Sort(o.Unchecked)
}

// provisional tells whether the version part of an apiVersion is an alpha or
// beta: only those have ever been removed.
// Source: https://kubernetes.io/docs/reference/using-api/deprecation-policy/
func provisional(apiVersion string) bool {
	version := apiVersion[strings.LastIndexByte(apiVersion, '/')+1:]
	return strings.Contains(version, "alpha") || strings.Contains(version, "beta")
}
