package cluster_test

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// What kubeadm recorded counts; where it recorded nothing, the oldest API server there is.
func TestRecorded(t *testing.T) {
	server := func(version string) cluster.Node {
		pod := cluster.StaticPod{Component: "kube-apiserver"}
		if version != "" {
			pod.Version = cluster.MustParseVersion(version)
		}
		return cluster.Node{StaticPods: []cluster.StaticPod{{Component: "etcd"}, pod}}
	}
	for name, tt := range map[string]struct {
		recorded         string
		nodes            []cluster.Node
		oldest, standing string
	}{
		"nothing known":        {nodes: []cluster.Node{{}, server("")}},
		"the oldest is last":   {nodes: []cluster.Node{server("v1.34.2"), server("v1.34.1"), server("v1.33.9")}, oldest: "v1.33.9", standing: "v1.33.9"},
		"the oldest is first":  {nodes: []cluster.Node{server("v1.33.9"), server(""), server("v1.34.2")}, oldest: "v1.33.9", standing: "v1.33.9"},
		"kubeadm recorded one": {recorded: "v1.34.0", nodes: []cluster.Node{server("v1.33.9")}, oldest: "v1.33.9", standing: "v1.34.0"},
	} {
		f := cluster.Facts{Nodes: tt.nodes}
		if tt.recorded != "" {
			f.Kubeadm.ClusterVersion = cluster.MustParseVersion(tt.recorded)
		}
		for what, v := range map[string][2]cluster.Version{
			"the oldest API server": {parsed(tt.oldest), f.OldestAPIServer()},
			"what is recorded":      {parsed(tt.standing), f.Recorded()},
		} {
			if v[0] != v[1] {
				t.Errorf("%s: %s is %v, want %v", name, what, v[1], v[0])
			}
		}
	}
}

func parsed(s string) cluster.Version {
	if s == "" {
		return cluster.Version{}
	}
	return cluster.MustParseVersion(s)
}
