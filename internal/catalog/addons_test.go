package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestAddon(t *testing.T) {
	c := load(t)
	for _, tc := range []struct{ image, name, last string }{
		{"docker.io/calico/node:v3.28.1", "Calico", "1.30"},
		{"mirror.example:5000/proxy/calico/node:v3.26.0@sha256:abc", "Calico", "1.28"},
		{"calico/node:v3.30.2", "Calico", "unknown"},
		{"calico/node", "Calico", "unknown"},
		{"registry.k8s.io/ingress-nginx/controller:v1.10.0@sha256:abc", "ingress-nginx", "1.29"},
		{"registry.k8s.io/ingress-nginx/controller:v1.10.1", "ingress-nginx", "1.30"},
		{"registry.k8s.io/ingress-nginx/controller:v1.9.6", "ingress-nginx", "1.29"},
		{"quay.io/kubernetes-ingress-controller/nginx-ingress-controller:0.30.0", "ingress-nginx", "1.21"},
		{"registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.1", "cluster-autoscaler", "1.33"},
		{"registry.k8s.io/provider-aws/cloud-controller-manager:v1.32.4", "AWS cloud controller manager", "1.33"},
		{"mcr.microsoft.com/oss/kubernetes/azure-cloud-controller-manager:v1.1.2", "Azure cloud controller manager", "unknown"},
		{"registry.k8s.io/metrics-server/metrics-server:v0.7.2", "metrics-server", ""},
		{"quay.io/cilium/cilium:v1.18.3", "Cilium", "1.33"},
		{"quay.io/cilium/cilium-envoy:v1.18.3", "", ""},
		{"acme/notcalico/node:v3.28.1", "", ""},
		{"nginx:1.29", "", ""},
	} {
		a, found := c.Addon(tc.image)
		last := ""
		switch {
		case found && !a.Known:
			last = "unknown"
		case a.Last != nil:
			last = a.Last.String()
		}
		if found != (tc.name != "") || a.Name != tc.name || last != tc.last {
			t.Errorf("%s: %t %q until %q, want %q until %q", tc.image, found, a.Name, last, tc.name, tc.last)
		}
	}
}

func TestAddonRowsAreWellFormed(t *testing.T) {
	c := load(t)
	for _, row := range c.addons {
		if row.Name == "" || len(row.Images) == 0 || !strings.HasPrefix(row.Look, "https://") || (row.Follows == nil) == (len(row.Lines) == 0) {
			t.Errorf("%s is incomplete", row.Name)
		}
		if row.Follows != nil && row.Follows.Source == "" {
			t.Errorf("%s has no source", row.Name)
		}
		for i, set := range row.Lines {
			if set.Source == "" {
				t.Errorf("%s %s has no source", row.Name, set.First)
			}
			if set.From != nil && set.To != nil && set.To.Less(*set.From) {
				t.Errorf("%s %s ends before it begins", row.Name, set.First)
			}
			if i > 0 && set.First.Less(row.Lines[i-1].First) {
				t.Errorf("%s: %s stands after %s", row.Name, set.First, row.Lines[i-1].First)
			}
		}
	}
	for _, r := range c.renamed {
		if r.Source == "" || r.Old == "" || r.New == "" {
			t.Errorf("%+v is incomplete", r)
		}
	}
	for _, p := range c.proxies {
		if p.Source == "" || p.Instead == "" || p.Removed == nil && p.Deprecated == nil {
			t.Errorf("%+v is incomplete", p)
		}
	}
	if c.corefile.Versions.Source == "" {
		t.Error("the versions of CoreDNS have no source")
	}
	for _, p := range c.corefile.Plugins {
		if p.Source == "" {
			t.Errorf("plugin %s has no source", p.Name)
		}
	}
	for m := oldest; !newest.Less(m); m = m.Next() {
		if !slices.ContainsFunc(c.corefile.Checks, func(r struct {
			Range
			Unmoved bool   `json:"unmoved"`
			Source  string `json:"source"`
		}) bool {
			return r.Holds(m) && r.Source != ""
		}) {
			t.Errorf("no row says whether kubeadm %s looks at the Corefile", m)
		}
	}
}

// TestDefaultCorefiles: what kubeadm itself writes must never be held against a
// cluster. The plugins are those of cmd/kubeadm/app/phases/addons/dns/manifests.go
// of v1.16.15, v1.18.20, v1.20.15, v1.21.14 and v1.32.13; every minor's are those of
// one of them.
func TestDefaultCorefiles(t *testing.T) {
	c := load(t)
	common := []cluster.Plugin{{Name: "errors"}, {Name: "kubernetes", Options: []string{"fallthrough", "pods", "ttl"}}, {Name: "prometheus"}, {Name: "loop"}, {Name: "reload"}, {Name: "loadbalance"}}
	with := func(more ...cluster.Plugin) []cluster.Plugin { return append(slices.Clone(common), more...) }
	plain := func(name string, options ...string) cluster.Plugin {
		return cluster.Plugin{Name: name, Options: options}
	}
	for from, plugins := range map[uint64][]cluster.Plugin{
		16: with(plain("health"), plain("ready"), plain("forward"), plain("cache")),
		17: with(plain("health", "lameduck"), plain("ready"), plain("forward"), plain("cache")),
		18: with(plain("health", "lameduck"), plain("ready"), plain("forward"), plain("cache")),
		19: with(plain("health", "lameduck"), plain("ready"), plain("forward", "max_concurrent"), plain("cache")),
		31: with(plain("health", "lameduck"), plain("ready"), plain("forward", "max_concurrent"), plain("cache")),
		32: with(plain("health", "lameduck"), plain("ready"), plain("forward", "max_concurrent"), plain("cache", "disable")),
		36: with(plain("health", "lameduck"), plain("ready"), plain("forward", "max_concurrent"), plain("cache", "disable")),
	} {
		if got := c.UnknownInCorefile(cluster.Minor{Major: 1, Minor: from + 1}, plugins); len(got) > 0 {
			t.Errorf("the default of 1.%d is refused by the next minor: %q", from, got)
		}
	}
	other := []cluster.Plugin{{Name: "hosts", Options: []string{"10.0.0.1", "fallthrough"}}, {Name: "template"}, {Name: "cache", Options: []string{"keepttl"}}}
	if got := c.UnknownInCorefile(cluster.Minor{Major: 1, Minor: 30}, other); !slices.Equal(got, []string{"template", "cache/keepttl"}) {
		t.Errorf("unknown in 1.30: %q", got)
	}
}

func TestRemovedKind(t *testing.T) {
	c := load(t)
	if api, ok := c.RemovedKind("networking.k8s.io/v1beta1", "Ingress"); !ok || api.In.String() != "1.22" || api.Replacement != "networking.k8s.io/v1" {
		t.Errorf("%+v %t", api, ok)
	}
	for _, kind := range []string{"Ingress", ""} {
		if _, ok := c.RemovedKind("networking.k8s.io/v1", kind); ok {
			t.Errorf("networking.k8s.io/v1 %s is not removed", kind)
		}
	}
}
