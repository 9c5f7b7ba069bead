package preflight

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func hazardCases() []ruleCase {
	type (
		node  = cluster.Node
		state = cluster.HostState
	)
	old := func(in *Input) { in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta3" }
	full := func(quota int64) func(*Input) {
		return oneHost("cp-1", func(_ *node, s *state) { s.EtcdManifest.Quota = quota })
	}
	size := func(member, quota int64) func(*Input) {
		return func(in *Input) { in.Facts.Etcd.Members[0].DBSize, in.Facts.Etcd.Members[0].Quota = member, quota }
	}
	return []ruleCase{
		{"KUP-170", "near etcd's default", and(full(0), size(1900<<20, 0))},
		{"KUP-170", "near the flag's", and(full(8<<30), size(7<<30, 0))},
		{"KUP-171", "an upgrade of etcd that did not end", func(in *Input) { in.Facts.Etcd.Members[2].Version = cluster.MustParseVersion("v3.5.27") }},
		{"KUP-172", "a release candidate", func(in *Input) { in.Facts.Kubeadm.EtcdImageTag = "3.6.0-rc.5-0" }},
		{"KUP-172", "no version", func(in *Input) { in.Facts.Kubeadm.EtcdImageTag = "latest" }},
		{"KUP-173", "3.5.0 on the way", and(going("v1.21.14", "v3.4.13", "v1.22.0"), func(in *Input) { in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta2" })},
		{"KUP-173", "3.5.1 runs", and(going("v1.23.17", "v3.5.1", "v1.24.17"), old)},
		{"KUP-180", "early patches on the way", and(going("v1.31.14", "v3.5.24", "v1.32.0", "v1.33.13"))},
		{"KUP-180", "kubeadm 1.30.0", and(going("v1.29.15", "v3.5.16", "v1.30.0"), old)},
		{"KUP-180", "aggregated APIs", and(going("v1.26.15", "v3.5.10", "v1.27.2"), old, func(in *Input) {
			in.Facts.APIServices = []cluster.APIService{{Name: "v1beta1.metrics.k8s.io", Available: true}}
		})},
		{"KUP-180", "kubelets that no patch mends", and(going("v1.16.15", "v3.3.15", "v1.17.17"), func(in *Input) { in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta2" })},
		{"KUP-180", "no flags", oneHost("w-1", func(_ *node, s *state) { s.KubeadmFlags = []string{} })},
		{"KUP-180", "the last flag goes", and(oneHost("w-1", func(_ *node, s *state) { s.KubeadmFlags = []string{"container-runtime-endpoint"} }), going("v1.33.13", "v3.5.26", "v1.34.4", "v1.35.0"))},
		{"KUP-180", "a worker of another name", and(oneHost("w-1", func(_ *node, s *state) { s.Hostname = "ip-10-0-0-31" }), going("v1.33.13", "v3.5.26", "v1.34.1"))},
		{"KUP-180", "one member", func(in *Input) {
			in.Facts.Etcd.Members = in.Facts.Etcd.Members[:1]
			in.Facts.Nodes = append(in.Facts.Nodes[:1:1], in.Facts.Nodes[3:]...)
			in.Nodes = []string{"cp-1", "w-1", "w-2"}
		}},
		{"KUP-181", "into 1.31", going("v1.30.14", "v3.5.26", "v1.31.14", "v1.32.13")},
		{"KUP-190", "an older patch", func(in *Input) { in.Facts.Available["1.33"] = path("v1.33.12", "v1.33.13", "v1.33.15") }},
	}
}

// TestHazardsStayQuiet: a hazard whose condition does not hold, or whose releases are
// not on the way, is no finding.
func TestHazardsStayQuiet(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"no aggregated API":           going("v1.26.15", "v3.5.10", "v1.27.16", "v1.28.15", "v1.29.15"),
		"a control plane's host name": and(oneHost("cp-1", func(_ *cluster.Node, s *cluster.HostState) { s.Hostname = "cp-1.example.org" }), going("v1.33.13", "v3.5.26", "v1.34.1")),
		"an instance configuration": oneHost("w-1", func(_ *cluster.Node, s *cluster.HostState) {
			s.KubeadmFlags, s.InstanceConfig = []string{}, true
		}),
		"etcd tells its quota": and(lookedAt, func(in *Input) { in.Facts.Etcd.Members[0].DBSize, in.Facts.Etcd.Members[0].Quota = 3<<30, 8<<30 }),
		"the newest patch":     func(in *Input) { in.Facts.Available["1.33"] = path("v1.33.12", "v1.33.13") },
		"a patch hop": func(in *Input) {
			in.Path, in.Facts.Available = path("v1.33.14"), map[string][]cluster.Version{"1.33": path("v1.33.14", "v1.33.15")}
		},
	} {
		in := clean(t)
		change(&in)
		for _, f := range Check(in) {
			if f.Rule >= "KUP-170" {
				t.Errorf("%s: %s", name, list([]Finding{f}))
			}
		}
	}
}
