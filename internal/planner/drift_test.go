package planner

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

func driftFacts() cluster.Facts {
	v := cluster.MustParseVersion("v1.33.13")
	pods := []cluster.StaticPod{{Component: "kube-apiserver", Version: v}, {Component: "etcd", Version: cluster.MustParseVersion("3.5.33")}}
	return cluster.Facts{
		Identity: cluster.Identity{UID: "u", CA: "sha256:ca"},
		Kubeadm:  cluster.Kubeadm{ConfigDigest: "sha256:1", KubeletConfigDigest: "sha256:2"},
		Nodes: []cluster.Node{
			{Name: "cp-1", Role: cluster.ControlPlane, InAPI: true, Kubelet: v, Runtime: "containerd://1.6.20", StaticPods: pods},
			{Name: "w-1", Role: cluster.Worker, InAPI: true, Kubelet: v, Runtime: "containerd://1.6.20"},
		},
		Etcd: cluster.Etcd{Members: []cluster.Member{{ID: "a1", Name: "cp-1", Node: "cp-1", PeerURL: "https://10.0.0.11:2380"}}},
	}
}

func driftPlan() *plan.Plan {
	return &plan.Plan{Facts: driftFacts(), Hops: []plan.Hop{{
		From: cluster.MustParseVersion("v1.33.13"), To: cluster.MustParseVersion("v1.34.4"), Etcd: cluster.MustParseVersion("3.6.5"),
		Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{
			{{ID: "pin", Kind: plan.KindPinEtcd, Args: map[string]string{"tag": "3.5.33-0"}}, {ID: "unpin", Kind: plan.KindUnpinEtcd, Args: map[string]string{"tag": "3.5.33-0"}}},
			{{ID: "apply", Node: "cp-1", Kind: plan.KindCommand, Args: map[string]string{"component": "control-plane"}},
				{ID: "etcd", Node: "cp-1", Kind: plan.KindCommand, Args: map[string]string{"component": "etcd"}}},
			{{ID: "swap", Node: "w-1", Kind: plan.KindPackages, Args: map[string]string{"restart": "kubelet"}}},
		}}}}},
	}}}
}

func both(a, b func(*cluster.Facts)) func(*cluster.Facts) {
	return func(f *cluster.Facts) {
		a(f)
		b(f)
	}
}

func TestDrift(t *testing.T) {
	v34 := cluster.MustParseVersion("v1.34.4")
	static := func(component string, v cluster.Version) func(*cluster.Facts) {
		return func(f *cluster.Facts) { f.Nodes[0].Static(component).Version = v }
	}
	tagged := func(tag string) func(*cluster.Facts) {
		return func(f *cluster.Facts) { f.Kubeadm.EtcdImageTag, f.Kubeadm.ConfigDigest = tag, "sha256:tagged" }
	}
	const tag = "etcd.local.imageTag of ConfigMap kube-system/kubeadm-config"
	tests := map[string]struct {
		progress map[string]Progress
		change   func(*cluster.Facts)
		want     []string // objects of the differences
	}{
		"nothing moved":                 {nil, func(*cluster.Facts) {}, nil},
		"another cluster":               {nil, func(f *cluster.Facts) { f.Identity.UID = "v" }, []string{"cluster uid"}},
		"another CA":                    {nil, func(f *cluster.Facts) { f.Identity.CA = "sha256:other" }, []string{"cluster CA"}},
		"a node is new":                 {nil, func(f *cluster.Facts) { f.Nodes = append(f.Nodes, cluster.Node{Name: "w-2", InAPI: true}) }, []string{"node w-2"}},
		"a node is gone":                {nil, func(f *cluster.Facts) { f.Nodes = f.Nodes[:1] }, []string{"node w-1"}},
		"a runtime was replaced":        {nil, func(f *cluster.Facts) { f.Nodes[1].Runtime = "containerd://2.0.0" }, []string{"node w-1: runtime"}},
		"a member was replaced":         {nil, func(f *cluster.Facts) { f.Etcd.Members[0].ID = "b2" }, []string{"etcd members"}},
		"our member joined again":       {map[string]Progress{"etcd": TakenBack}, func(f *cluster.Facts) { f.Etcd.Members[0].ID = "b2" }, nil},
		"it joined again, and moved":    {map[string]Progress{"etcd": EndedAnew}, both(static("etcd", cluster.MustParseVersion("3.6.5")), func(f *cluster.Facts) { f.Etcd.Members[0].ID = "b2" }), nil},
		"it joined again, and may move": {map[string]Progress{"etcd": BegunAnew}, func(f *cluster.Facts) { f.Etcd.Members[0].ID = "b2" }, nil},
		"etcd was not asked":            {nil, func(f *cluster.Facts) { f.Etcd.Members = nil }, nil},
		"somebody upgraded the kubelet": {nil, func(f *cluster.Facts) { f.Nodes[1].Kubelet = v34 }, []string{"node w-1: kubelet"}},
		"our swap may have happened":    {map[string]Progress{"swap": Begun}, func(f *cluster.Facts) { f.Nodes[1].Kubelet = v34 }, nil},
		"our swap may not have":         {map[string]Progress{"swap": Begun}, func(*cluster.Facts) {}, nil},
		"our swap was undone":           {map[string]Progress{"swap": Ended}, func(*cluster.Facts) {}, []string{"node w-1: kubelet"}},
		"our apply is done":             {map[string]Progress{"apply": Ended}, static("kube-apiserver", v34), nil},
		"apply does not excuse etcd":    {map[string]Progress{"apply": Begun}, static("etcd", cluster.MustParseVersion("3.6.5")), []string{"node cp-1: etcd"}},
		"our member was replaced":       {map[string]Progress{"etcd": Begun}, static("etcd", cluster.MustParseVersion("3.6.5")), nil},
		"a mirror pod is absent":        {nil, func(f *cluster.Facts) { f.Nodes[0].StaticPods = nil }, nil},
		"kubeadm-config was edited":     {nil, func(f *cluster.Facts) { f.Kubeadm.ConfigDigest = "sha256:x" }, []string{"ConfigMap kube-system/kubeadm-config"}},
		"etcd was pinned by somebody":   {nil, tagged("3.5.33-0"), []string{"ConfigMap kube-system/kubeadm-config"}},
		"our tag may be set":            {map[string]Progress{"pin": Begun}, tagged("3.5.33-0"), nil},
		"our tag may not be set":        {map[string]Progress{"pin": Begun}, func(*cluster.Facts) {}, nil},
		"our tag is set":                {map[string]Progress{"pin": Ended}, tagged("3.5.33-0"), nil},
		"our tag was taken out":         {map[string]Progress{"pin": Ended}, func(*cluster.Facts) {}, []string{tag}},
		"our tag was replaced":          {map[string]Progress{"pin": Ended}, tagged("3.6.5-0"), []string{tag}},
		"our tag may be out again":      {map[string]Progress{"pin": Ended, "unpin": Begun}, func(*cluster.Facts) {}, nil},
		"our tag may still be there":    {map[string]Progress{"pin": Ended, "unpin": Begun}, tagged("3.5.33-0"), nil},
		"our tag is out again":          {map[string]Progress{"pin": Ended, "unpin": Ended}, func(*cluster.Facts) {}, nil},
		"our tag came back":             {map[string]Progress{"pin": Ended, "unpin": Ended}, tagged("3.5.33-0"), []string{tag, "ConfigMap kube-system/kubeadm-config"}},
		"something else was edited":     {map[string]Progress{"pin": Ended, "unpin": Ended}, func(f *cluster.Facts) { f.Kubeadm.ConfigDigest = "sha256:x" }, []string{"ConfigMap kube-system/kubeadm-config"}},
		"kubeadm-config is ours":        {map[string]Progress{"apply": Begun}, func(f *cluster.Facts) { f.Kubeadm.ConfigDigest = "sha256:x" }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := driftFacts()
			tt.change(&now)
			var got []string
			for _, d := range Drift(driftPlan(), func(s string) Progress { return tt.progress[s] }, &now) {
				got = append(got, d.Object)
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A member that was taken out is away, then announced without a name, and at last there
// under a new id: whoever goes on with its rejoin finds it in any of these. The name of a
// member on a host of its own is not the host's.
func TestDriftWhileAMemberRejoins(t *testing.T) {
	facts := driftFacts()
	facts.Etcd.Members = []cluster.Member{
		{ID: "a1", Name: "one", Node: "db-1", PeerURL: "https://10.0.0.31:2380"},
		{ID: "b1", Name: "two", PeerURL: "https://10.0.0.32:2380"}, // it did not answer
		{ID: "c1", Name: "three", Node: "db-3", PeerURL: "https://10.0.0.33:2380"},
	}
	p := &plan.Plan{Facts: facts, Hops: []plan.Hop{{
		From: cluster.MustParseVersion("v1.34.4"), To: cluster.MustParseVersion("v1.33.13"),
		Stages: []plan.Stage{{Waves: []plan.Wave{{Lanes: []plan.Lane{
			{{ID: "rejoin", Node: "db-2", Kind: plan.KindRejoin, Args: map[string]string{"member": "two"}}},
		}}}}},
	}}}
	for name, tt := range map[string]struct {
		progress Progress
		second   []cluster.Member
		differs  bool
	}{
		"not begun":             {Untouched, facts.Etcd.Members[1:2], false},
		"gone, not begun":       {Untouched, nil, true},
		"gone":                  {Begun, nil, false},
		"announced":             {Begun, []cluster.Member{{ID: "d1", PeerURL: "https://10.0.0.32:2380"}}, false},
		"back":                  {Begun, []cluster.Member{{ID: "d1", Name: "two", Node: "db-2", PeerURL: "https://10.0.0.32:2380"}}, false},
		"over":                  {Ended, []cluster.Member{{ID: "d1", Name: "two", Node: "db-2", PeerURL: "https://10.0.0.32:2380"}}, false},
		"gone after it ended":   {Ended, nil, true},
		"another was announced": {Begun, []cluster.Member{{ID: "d1", PeerURL: "https://10.0.0.39:2380"}}, true},
	} {
		now := facts
		now.Etcd.Members = append([]cluster.Member{facts.Etcd.Members[0], facts.Etcd.Members[2]}, tt.second...)
		if found := Drift(p, func(string) Progress { return tt.progress }, &now); (len(found) > 0) != tt.differs {
			t.Errorf("%s: %v", name, found)
		}
	}
}
