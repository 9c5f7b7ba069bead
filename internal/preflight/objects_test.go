package preflight

import (
	"testing"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// from121 is a cluster at v1.21.14 on its way over 1.22.
func from121(change func(*cluster.Objects)) func(*Input) {
	return func(in *Input) {
		at(in, "v1.21.14", "v3.4.13")
		in.Path, in.Facts.Kubeadm.APIVersion = path("v1.22.17", "v1.23.17"), "kubeadm.k8s.io/v1beta2"
		in.Scan.Objects = &cluster.Objects{}
		change(in.Scan.Objects)
	}
}

func ingress(name string) cluster.Written {
	return cluster.Written{APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress", Namespace: "shop", Name: name, Applied: true}
}

func objectCases() []ruleCase {
	many := func(o *cluster.Objects) {
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			o.Written = append(o.Written, ingress(name))
		}
	}
	things := cluster.Definition{Name: "things.acme.io", Group: "acme.io", Kind: "Thing", Versions: []string{"v1", "v1beta1"}, Served: []string{"v1"}, Stored: []string{"v1"}}
	return []ruleCase{
		{"KUP-110", "kubectl apply, and a version that stays", from121(func(o *cluster.Objects) {
			o.Written = []cluster.Written{
				ingress("web"), {APIVersion: "autoscaling/v2beta2", Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "web", Applied: true},
				{APIVersion: "extensions/v1beta1", Kind: "Deployment", Namespace: "shop", Name: "gone already", Applied: true},
				{APIVersion: "acme.io/v1beta1", Kind: "Ingress", Namespace: "shop", Name: "a custom one", Applied: true},
			}
		})},
		{"KUP-110", "many", from121(many)},
		{"KUP-110", "server-side apply, and nothing in its place", from121(func(o *cluster.Objects) {
			w := ingress("web")
			w.Manager, w.At = "argocd-controller", time.Date(2023, 5, 1, 0, 0, 0, 0, time.UTC)
			o.Written = []cluster.Written{w, ingress("web")}
		})},
		{"KUP-111", "a controller", from121(func(o *cluster.Objects) {
			w := ingress("web")
			w.Manager, w.Applied, w.At = "traefik", false, time.Date(2023, 5, 1, 0, 0, 0, 0, time.UTC)
			twice := w
			twice.Name = "applied"
			o.Written = []cluster.Written{w, twice, ingress("applied")}
		})},
		{"KUP-112", "a release", from121(func(o *cluster.Objects) {
			o.Releases = []cluster.Release{
				{Namespace: "shop", Name: "web", Revision: 3, Chart: "web-1.2.3", Objects: []cluster.Manifest{
					{APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress", Name: "web"}, {APIVersion: "policy/v1beta1", Kind: "PodDisruptionBudget", Name: "web"},
				}},
				{Namespace: "shop", Name: "fine", Revision: 1},
			}
		})},
		{"KUP-113", "files", from121(func(o *cluster.Objects) {
			o.Manifests = &cluster.Manifests{Objects: []cluster.Manifest{
				{APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress", Namespace: "shop", Name: "web", File: "web.yaml", Line: 3},
				{APIVersion: "extensions/v1beta1", Kind: "Deployment", Name: "old", File: "old.yaml", Line: 1},
				{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: "new", File: "new.yaml", Line: 1},
			}}
		})},
		{"KUP-114", "templates", from121(func(o *cluster.Objects) {
			o.Manifests = &cluster.Manifests{Unreadable: []string{"templates/web.yaml (a template)"}}
		})},
		{"KUP-115", "a version that is gone", from121(func(o *cluster.Objects) {
			d := things
			d.Stored = []string{"v1alpha1", "v1"}
			o.Definitions = []cluster.Definition{things, d}
		})},
		{"KUP-116", "not structural", from121(func(o *cluster.Objects) {
			d := things
			d.NonStructural, d.PreservesUnknown = true, true
			o.Definitions = []cluster.Definition{things, d}
		})},
		{"KUP-117", "no backend", from121(func(o *cluster.Objects) {
			d, unknown := things, things
			d.Converter, unknown.Converter = &cluster.Backend{Service: "acme/convert"}, &cluster.Backend{Service: "acme/other", Unknown: true}
			o.Definitions = []cluster.Definition{d, unknown}
		})},
		{"KUP-118", "not served", from121(func(o *cluster.Objects) {
			old := cluster.Manifest{APIVersion: "acme.io/v1beta1", Kind: "Thing", Name: "one", File: "thing.yaml", Line: 1}
			o.Definitions = []cluster.Definition{things}
			o.Manifests = &cluster.Manifests{Objects: []cluster.Manifest{old, {APIVersion: "acme.io/v1", Kind: "Thing", Name: "two", File: "thing.yaml", Line: 9}}}
			o.Releases = []cluster.Release{{Namespace: "acme", Name: "acme", Revision: 1, Objects: []cluster.Manifest{old}}}
		})},
	}
}

// TestQuietObjects: what is in order is not mentioned.
func TestQuietObjects(t *testing.T) {
	in := clean(t)
	in.Waves = [][]string{{"cp-1"}, {"w-1"}}
	in.Scan.Objects = quietObjects()
	if got := Check(in); len(got) != 0 {
		t.Errorf("a healthy cluster has findings:\n%s", list(got))
	}
	in.Path = nil
	in.Scan.Objects.Webhooks = append(in.Scan.Objects.Webhooks, cluster.WebhookReach{
		Configuration: "policy", Kind: "Validating", Name: "v.policy.io", FailClosed: true, Pods: true, Leases: true, SystemPods: true, TimeoutSeconds: 30,
		Backend: &cluster.Backend{Service: "policy/webhook", Ready: 1, Nodes: []string{"w-1"}},
	})
	if got := Check(in); len(got) != 0 {
		t.Errorf("without a path there are findings:\n%s", list(got))
	}
}

func quietObjects() *cluster.Objects {
	two := &cluster.Backend{Service: "policy/webhook", Ready: 2, Nodes: []string{"w-1", "w-2"}}
	hook := func(change func(*cluster.WebhookReach)) cluster.WebhookReach {
		w := cluster.WebhookReach{Configuration: "policy", Kind: "Validating", Name: "v.policy.io", FailClosed: true, TimeoutSeconds: 10, Pods: true, OwnPods: true, Backend: two}
		change(&w)
		return w
	}
	one := &cluster.Backend{Service: "policy/webhook", Ready: 1, Nodes: []string{"w-2"}}
	return &cluster.Objects{
		Written: []cluster.Written{
			ingress("gone long ago"), {APIVersion: "resource.k8s.io/v1beta1", Kind: "DeviceClass", Name: "goes later", Applied: true},
			{APIVersion: "gateway.networking.k8s.io/v1beta1", Kind: "HTTPRoute", Name: "custom", Applied: true},
		},
		Releases:    []cluster.Release{{Namespace: "shop", Name: "web", Revision: 1, Objects: []cluster.Manifest{{APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress", Name: "web"}}}},
		Definitions: []cluster.Definition{{Name: "things.acme.io", Group: "acme.io", Kind: "Thing", Versions: []string{"v1"}, Served: []string{"v1"}, Stored: []string{"v1"}, NonStructural: true}},
		Manifests:   &cluster.Manifests{Objects: []cluster.Manifest{{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: "web", File: "web.yaml", Line: 1}}},
		Webhooks: []cluster.WebhookReach{
			hook(func(*cluster.WebhookReach) {}),
			hook(func(w *cluster.WebhookReach) { w.Backend = one }), // w-2 is not drained here
			hook(func(w *cluster.WebhookReach) { w.FailClosed, w.Backend = false, one }),
			hook(func(w *cluster.WebhookReach) { w.Backend = nil }),
			hook(func(w *cluster.WebhookReach) {
				w.Backend = &cluster.Backend{Service: "policy/webhook", Unknown: true}
			}),
			hook(func(w *cluster.WebhookReach) { w.FailClosed, w.Leases, w.TimeoutSeconds = false, true, 5 }),
			hook(func(w *cluster.WebhookReach) { w.SystemPods, w.Conditional = true, true }),
		},
		PodSecurityPolicies: nil,
		Templates: []cluster.Template{
			{Kind: "DaemonSet", Namespace: "calico-system", Name: "calico-node", Desired: 5, Images: []string{"docker.io/calico/node:v3.31.2"}, NeedsMaster: true, ToleratesOnlyMaster: true},
			{Kind: "Deployment", Namespace: "shop", Name: "web", Desired: 2, Images: []string{"nginx:1.29", "registry.k8s.io/metrics-server/metrics-server:v0.7.2"}},
			{Kind: "Deployment", Namespace: "kube-system", Name: "ccm", Desired: 1, Images: []string{"registry.k8s.io/provider-aws/cloud-controller-manager:v1.33.1"}},
		},
		Corefile: &cluster.Corefile{Image: "registry.k8s.io/coredns/coredns:v1.12.0", Plugins: []cluster.Plugin{
			{Name: "cache", Options: []string{"disable"}}, {Name: "errors"}, {Name: "forward", Options: []string{"max_concurrent"}}, {Name: "kubernetes", Options: []string{"fallthrough", "pods", "ttl"}},
		}},
		ProxyMode: "ipvs",
	}
}
