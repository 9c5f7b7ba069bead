package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// moved makes the node's control-plane components look upgraded.
func moved(n *cluster.Node, v cluster.Version) {
	for i := range n.StaticPods {
		if n.StaticPods[i].Component != "etcd" {
			n.StaticPods[i].Version = v
		}
	}
	n.Host.Kubeadm = v
}

func kubeletMoved(n *cluster.Node, v cluster.Version) { n.Kubelet, n.Host.Kubelet = v, v }

func mutations(p plan.Plan) []string {
	var ids []string
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Mutates {
			ids = append(ids, s.ID)
		}
		return true
	})
	return ids
}

func TestBuildGoesOnWhereAnEarlierRunEnded(t *testing.T) {
	c := load(t)
	to := cluster.MustParseVersion("v1.34.4")
	m, _ := c.Minor(to.Line())
	applied := func(f *cluster.Facts) {
		f.Kubeadm.ClusterVersion = to
		moved(f.Node("cp-1"), to)
	}
	components := func(f *cluster.Facts) {
		applied(f)
		moved(f.Node("cp-2"), to)
		moved(f.Node("cp-3"), to)
	}
	kubelets := func(f *cluster.Facts) {
		components(f)
		for _, name := range []string{"cp-1", "cp-2", "cp-3"} {
			kubeletMoved(f.Node(name), to)
		}
	}
	etcd := func(f *cluster.Facts) {
		kubelets(f)
		for i := range f.Etcd.Members {
			f.Etcd.Members[i].Version = cluster.MustParseVersion("v3.6.5")
		}
	}
	workers := func(f *cluster.Facts) {
		etcd(f)
		for _, name := range []string{"w-1", "w-2"} {
			kubeletMoved(f.Node(name), to)
		}
	}
	for _, tc := range []struct {
		name          string
		change        func(*cluster.Facts)
		first, absent string
	}{
		{"nothing done", func(*cluster.Facts) {}, "1.34/control-plane/cp-1/kubeadm", "/none/"},
		{"apply cut short on the second node", func(f *cluster.Facts) { moved(f.Node("cp-2"), to) }, "1.34/control-plane/cp-2/apply", "cp-1/apply"},
		{"first control plane done", applied, "1.34/control-plane/cp-2/kubeadm", "apply"},
		{"all components done", components, "1.34/control-plane/cp-1/cordon", "/node/"},
		{"a control plane's kubelet done", func(f *cluster.Facts) { components(f); kubeletMoved(f.Node("cp-1"), to) }, "1.34/control-plane/cp-2/cordon", "control-plane/cp-1"},
		{"control plane done", kubelets, "1.34/etcd/cp-2/move-leader", "/control-plane/"},
		{"one member left", func(f *cluster.Facts) {
			kubelets(f)
			for i := range 2 {
				f.Etcd.Members[i+1].Version = cluster.MustParseVersion("v3.6.5")
			}
		}, "1.34/etcd/cp-1/move-leader", "etcd/cp-2"},
		{"etcd done", etcd, "1.34/workers/w-1/cordon", "/etcd/"},
		{"one worker left", func(f *cluster.Facts) { etcd(f); kubeletMoved(f.Node("w-1"), to) }, "1.34/workers/w-2/cordon", "w-1"},
		{"swapped but not restarted", func(f *cluster.Facts) { etcd(f); f.Node("w-1").Host.Kubelet = to }, "1.34/workers/w-1/cordon", "/etcd/"},
		{"workers done", workers, "1.34/addons/cp-1/coredns", "/workers/"},
		{"all but kube-proxy done", func(f *cluster.Facts) {
			workers(f)
			f.Addons[0].Image = m.Images(to, "", "").CoreDNS + "@sha256:77"
		}, "1.34/addons/cp-1/kube-proxy", "coredns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := topology{3, 2, "v1.33.13", "v3.5.26"}.facts(c)
			tc.change(&f)
			p, err := Build(f, []cluster.Version{to}, c, testPolicy(to))
			if err != nil {
				t.Fatal(err)
			}
			ids := mutations(p)
			if len(ids) == 0 || ids[0] != tc.first {
				t.Errorf("first mutation is %v, want %s", ids[:min(1, len(ids))], tc.first)
			}
			if i := slices.IndexFunc(ids, func(id string) bool { return strings.Contains(id, tc.absent) }); i >= 0 {
				t.Errorf("%s is planned again", ids[i])
			}
		})
	}
	t.Run("everything done", func(t *testing.T) {
		p, err := Build(topology{3, 2, to.String(), ""}.facts(c), []cluster.Version{to}, c, testPolicy(to))
		if err != nil || len(p.Hops) != 0 || len(p.Notices) != 0 {
			t.Errorf("got %d hops, %d notices, %v", len(p.Hops), len(p.Notices), err)
		}
	})
}

func TestBuildChoices(t *testing.T) {
	c := load(t)
	to := cluster.MustParseVersion("v1.34.4")
	for _, tc := range []struct {
		name      string
		top       topology
		change    func(*cluster.Facts, *Policy)
		has, lack string // parts of the outline
	}{
		{"cordoned nodes stay so", topology{3, 2, "v1.33.13", "v3.5.26"}, func(f *cluster.Facts, _ *Policy) { f.Node("w-1").Cordoned = true }, "w-1 is cordoned and stays so", "workers/w-1/uncordon"},
		{"external etcd is left alone", topology{3, 2, "v1.33.13", "v3.5.26"}, func(f *cluster.Facts, _ *Policy) { f.Etcd.Topology = "external" }, "1.34/workers/w-1", "/etcd/"},
		{"no renewal when not wanted", topology{3, 2, "v1.32.13", ""}, func(_ *cluster.Facts, p *Policy) { p.CertificateRenewal = false }, "certificate-renewal=false", "certificates-renewed"},
		{"external certificates are not renewed", topology{1, 0, "v1.32.13", ""}, func(f *cluster.Facts, _ *Policy) {
			for i := range f.Nodes[0].Host.Certificates {
				f.Nodes[0].Host.Certificates[i].External = strings.HasPrefix(f.Nodes[0].Host.Certificates[i].Name, "etcd-")
			}
		}, "/etcd/cp-1/etcd", "renew-etcd"},
		{"kube-proxy that is not there", topology{3, 2, "v1.33.13", "v3.5.26"}, func(f *cluster.Facts, _ *Policy) { f.Addons = f.Addons[:1] }, "addons/cp-1/coredns", "addons/cp-1/kube-proxy"},
		{"an endpoint on a control plane", topology{3, 2, "v1.33.13", "v3.5.26"}, func(f *cluster.Facts, _ *Policy) { f.Kubeadm.Endpoint = "10.90.0.11:6443" }, "! [] the control-plane endpoint 10.90.0.11:6443 is on cp-1", "no load balancer commands"},
		{"a pinned etcd stays", topology{3, 2, "v1.33.13", "v3.5.33"}, func(f *cluster.Facts, _ *Policy) { f.Kubeadm.EtcdImageTag = "3.5.33-0" }, "etcd stays at v3.5.33", "the old etcd can no longer"},
		{"two members", topology{2, 0, "v1.33.13", "v3.5.26"}, nil, "! [] there are 2 etcd members", "no load balancer commands are configured: never"},
		{"nodes outside the API are no nodes", topology{3, 2, "v1.33.13", "v3.5.26"}, func(f *cluster.Facts, _ *Policy) { f.Node("w-2").InAPI = false }, "workers/w-1", "w-2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := tc.top.facts(c)
			target := to
			if tc.top.version == "v1.32.13" {
				target = cluster.MustParseVersion("v1.33.13")
			}
			policy := testPolicy(target)
			if tc.change != nil {
				tc.change(&f, &policy)
			}
			p, err := Build(f, []cluster.Version{target}, c, policy)
			if err != nil {
				t.Fatal(err)
			}
			text := outline(p)
			if !strings.Contains(text, tc.has) || strings.Contains(text, tc.lack) {
				t.Errorf("want %q and not %q in\n%s", tc.has, tc.lack, text)
			}
		})
	}
}
