package preflight

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// storedAs is objects of one kind in etcd.
func storedAs(path, group, version, kind string, count int, examples ...string) cluster.StoredKind {
	return cluster.StoredKind{
		StoredPath: cluster.StoredPath{Path: path, Count: count, Examples: examples}, Group: group, Version: version, Kind: kind,
	}
}

// stored gives an input such objects, besides those that every cluster has.
func stored(in *Input, kinds ...cluster.StoredKind) *cluster.Stored {
	in.Scan.Stored = &cluster.Stored{
		Revision: 4711, Prefix: "/registry/", Aggregated: []string{"metrics.k8s.io"},
		Kinds: append([]cluster.StoredKind{
			storedAs("apiregistration.k8s.io/apiservices", "apiregistration.k8s.io", "v1", "APIService", 30, "v1."),
			storedAs("masterleases", "", "v1", "Endpoints", 3, "10.0.0.1"),
			storedAs("minions", "", "v1", "Node", 5, "cp-1"),
			storedAs("pods", "", "v1", "Pod", 40, "kube-system/coredns-a"),
			storedAs("ranges", "", "v1", "RangeAllocation", 2, "serviceips", "servicenodeports"),
		}, kinds...),
	}
	return in.Scan.Stored
}

func widgets() cluster.StoredDefinition {
	return cluster.StoredDefinition{
		Name: "widgets.shop.example", Group: "shop.example", Kind: "Widget", Resource: "widgets",
		Versions: []cluster.StoredDefinitionVersion{{Name: "v1", Served: true, Storage: true}}, StoredVersions: []string{"v1"},
	}
}

func storedCases() []ruleCase {
	from := func(version, etcd string, to []cluster.Version, kinds ...cluster.StoredKind) func(*Input) {
		return func(in *Input) {
			at(in, version, etcd)
			in.Path, in.Facts.Kubeadm.APIVersion = to, "kubeadm.k8s.io/v1beta3"
			stored(in, kinds...)
		}
	}
	claim := storedAs("resourceclaims", "resource.k8s.io", "v1alpha2", "ResourceClaim", 2, "ml/gpu-a", "ml/gpu-b")
	policy := storedAs("podsecuritypolicy", "policy", "v1beta1", "PodSecurityPolicy", 3, "privileged", "restricted", "system")
	return []ruleCase{
		{"KUP-120", "a version that can be stored anew", from("v1.35.4", "v3.6.11", path("v1.36.3"),
			storedAs("horizontalpodautoscalers", "autoscaling", "v2beta2", "HorizontalPodAutoscaler", 7, "shop/a", "shop/b", "shop/c", "shop/d", "shop/e"))},
		{"KUP-120", "the same three hops on", from("v1.33.13", "v3.5.26", path("v1.34.4", "v1.35.4", "v1.36.3"),
			storedAs("priorityclasses", "scheduling.k8s.io", "v1alpha1", "PriorityClass", 1, "old"))},
		{"KUP-120", "no version in common", from("v1.34.4", "v3.6.11", path("v1.35.4"),
			storedAs("storageversionmigrations", "storagemigration.k8s.io", "v1alpha1", "StorageVersionMigration", 2, "a", "b"))},
		{"KUP-120", "in common only later", from("v1.31.14", "v3.5.26", path("v1.32.13", "v1.33.13", "v1.34.4"),
			storedAs("resourceslices", "resource.k8s.io", "v1alpha3", "ResourceSlice", 1, "node-a"))},
		{"KUP-120", "left over, and read again", from("v1.33.13", "v3.5.26", path("v1.34.4"), claim)},
		{"KUP-121", "a kind that goes", from("v1.24.17", "v3.5.26", path("v1.25.16", "v1.26.15"), policy)},
		{"KUP-122", "a version the definition lost", func(in *Input) {
			s := stored(in, storedAs("shop.example/widgets", "shop.example", "v1beta1", "Widget", 1, "shop/a"),
				storedAs("shop.example/widgets", "shop.example", "v1", "Widget", 9, "shop/b"))
			s.Definitions = []cluster.StoredDefinition{widgets()}
		}},
		{"KUP-123", "encrypted", func(in *Input) {
			stored(in).Encrypted = []cluster.StoredPath{{Path: "configmaps", Count: 40, Examples: []string{"shop/a"}}, {Path: "secrets", Count: 12, Examples: []string{"shop/t"}}}
		}},
		{"KUP-124", "of a removed server", func(in *Input) {
			stored(in, storedAs("gone.example/things", "gone.example", "v1", "Thing", 4, "a/b", "c/d"))
		}},
		{"KUP-124", "of Kubernetes' own past", from("v1.33.13", "v3.5.26", path("v1.34.4"), policy)},
		{"KUP-124", "readable and not served", from("v1.26.15", "v3.5.26", path("v1.27.16"), policy)},
		{"KUP-125", "not an object", func(in *Input) {
			stored(in).Unreadable = []cluster.StoredPath{{Path: "configmaps", Count: 1, Examples: []string{"shop/broken"}}}
		}},
	}
}

// TestStoredObjectsThatStayReadable are quiet plans: what a long-lived cluster
// has, and no hop minds.
func TestStoredObjectsThatStayReadable(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"only what every cluster has": func(in *Input) { stored(in) },
		"versions that are not served any more and still read": func(in *Input) {
			stored(in,
				storedAs("cronjobs", "batch", "v1beta1", "CronJob", 3, "shop/a"),
				storedAs("ingress", "extensions", "v1beta1", "Ingress", 3, "shop/a"),
				storedAs("ingress", "networking.k8s.io", "v1beta1", "Ingress", 3, "shop/b"),
				storedAs("deployments", "extensions", "v1beta1", "Deployment", 3, "shop/a"),
				storedAs("poddisruptionbudgets", "policy", "v1beta1", "PodDisruptionBudget", 3, "shop/a"),
				storedAs("flowschemas", "flowcontrol.apiserver.k8s.io", "v1beta3", "FlowSchema", 3, "exempt"),
				storedAs("events", "events.k8s.io", "v1beta1", "Event", 3, "shop/a"))
		},
		"custom resources in a version that is listed": func(in *Input) {
			s := stored(in, storedAs("shop.example/widgets", "shop.example", "v1", "Widget", 1, "shop/a"))
			s.Definitions = []cluster.StoredDefinition{widgets()}
		},
		"an aggregated server that shares the store": func(in *Input) {
			stored(in, storedAs("metrics.k8s.io/things", "metrics.k8s.io", "v1", "Thing", 1, "a"))
		},
		"no path": func(in *Input) {
			in.Path = nil
			stored(in, storedAs("resourceclaims", "resource.k8s.io", "v1alpha2", "ResourceClaim", 1, "a/b"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := clean(t)
			change(&in)
			if got := Check(in); len(got) != 0 {
				t.Errorf("findings:\n%s", list(got))
			}
		})
	}
}

// TestStoredGroupsThatCannotBeSeen: where definitions are encrypted, nobody knows
// which custom resources are left over.
func TestStoredGroupsThatCannotBeSeen(t *testing.T) {
	in := clean(t)
	stored(&in, storedAs("shop.example/widgets", "shop.example", "v1", "Widget", 1, "shop/a")).Encrypted = []cluster.StoredPath{
		{Path: "apiextensions.k8s.io/customresourcedefinitions", Count: 1, Examples: []string{"widgets.shop.example"}},
	}
	if got := Check(in); len(got) != 1 || got[0].Rule != "KUP-123" {
		t.Errorf("findings:\n%s", list(got))
	}
}
