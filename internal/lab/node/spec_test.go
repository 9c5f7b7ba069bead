package node

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpecDefaults(t *testing.T) {
	got, err := Spec{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{
		Name: "dev", ControlPlanes: 3, Workers: 2, Kubernetes: "1.33", Etcd: "3.5.33",
		Minors: []string{"1.33", "1.34", "1.35"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSpecServesTheStartingReleaseFirst(t *testing.T) {
	got, err := Spec{ControlPlanes: 1, Kubernetes: "v1.34.2", Minors: []string{"1.33", "1.34", "1.35"}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1.34.2", "1.33", "1.35"}, got.Minors); diff != "" {
		t.Error(diff)
	}
	if got.Etcd != "" {
		t.Errorf("etcd %q for a minor whose default is safe", got.Etcd)
	}
}

func TestSpecRefuses(t *testing.T) {
	for name, s := range map[string]Spec{
		"name with a slash":  {Name: "../x"},
		"name as an option":  {Name: "-rf"},
		"long name":          {Name: strings.Repeat("a", 33)},
		"no control plane":   {Workers: 1},
		"many workers":       {ControlPlanes: 1, Workers: 51},
		"negative":           {ControlPlanes: -1},
		"kubernetes":         {Kubernetes: "latest"},
		"an old minor":       {Kubernetes: "1.30"},
		"another major":      {Kubernetes: "2.33"},
		"etcd":               {Etcd: "3.5"},
		"etcd with a suffix": {Etcd: "3.5.33-0"},
		"minors":             {Minors: []string{"1.34", "x"}},
	} {
		if _, err := s.withDefaults(); err == nil {
			t.Errorf("%s: %+v passed", name, s)
		}
	}
}

func TestLayOut(t *testing.T) {
	type odd struct{ Bastion, Password string }
	for _, tc := range []struct {
		cps, workers int
		want         odd
		addresses    string
	}{
		{3, 2, odd{"w-2", "cp-3"}, "10.210.7.11 10.210.7.12 10.210.7.13 10.210.7.31 10.210.7.32"},
		{1, 1, odd{"w-1", "w-1"}, "10.210.7.11 10.210.7.31"},
		{1, 0, odd{}, "10.210.7.11"},
		{2, 0, odd{"", "cp-2"}, "10.210.7.11 10.210.7.12"},
	} {
		lay := layOut(Spec{ControlPlanes: tc.cps, Workers: tc.workers}, netip.MustParsePrefix("10.210.7.0/24"))
		var got odd
		var addresses []string
		cidrs := map[string]bool{}
		for _, n := range lay.Nodes {
			if n.BehindBastion {
				got.Bastion += n.Name
			}
			if n.SudoPassword {
				got.Password += n.Name
			}
			addresses = append(addresses, n.IP)
			if cidrs[n.PodCIDR] {
				t.Errorf("%s: range %s is given twice", n.Name, n.PodCIDR)
			}
			cidrs[n.PodCIDR] = true
		}
		if got != tc.want {
			t.Errorf("%d+%d: %+v, want %+v", tc.cps, tc.workers, got, tc.want)
		}
		if s := strings.Join(addresses, " "); s != tc.addresses {
			t.Errorf("%d+%d: %s", tc.cps, tc.workers, s)
		}
	}
}

func TestLargestLabHasAddresses(t *testing.T) {
	lay := layOut(Spec{ControlPlanes: maxControlPlanes, Workers: maxWorkers}, netip.MustParsePrefix("10.210.0.0/24"))
	seen := map[string]bool{lay.Depot: true, lay.LoadBalancer: true, lay.Bastion: true, lay.Gateway: true}
	for _, n := range lay.Nodes {
		if seen[n.IP] {
			t.Errorf("%s: address %s is given twice", n.Name, n.IP)
		}
		seen[n.IP] = true
	}
}

func TestOverlaps(t *testing.T) {
	_, own, err := net.ParseCIDR("10.210.3.0/25")
	if err != nil {
		t.Fatal(err)
	}
	if !overlaps(netip.MustParsePrefix("10.210.3.0/24"), []net.Addr{own}) {
		t.Error("this machine's own network was taken")
	}
	if overlaps(netip.MustParsePrefix("10.210.4.0/24"), []net.Addr{own}) {
		t.Error("a free network was refused")
	}
}

func TestImagesFor(t *testing.T) {
	refs := []string{
		"registry.k8s.io/kube-apiserver:v1.33.13", "registry.k8s.io/kube-proxy:v1.33.13", "registry.k8s.io/coredns/coredns:v1.12.0",
		"registry.k8s.io/pause:3.10", "registry.k8s.io/etcd:3.5.24-0", "registry.k8s.io/etcd:3.5.33-0",
	}
	cp := imagesFor(Node{Role: RoleControlPlane}, refs, "3.5.33")
	if diff := cmp.Diff(append(refs[:4:4], refs[5]), cp); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(refs[1:4], imagesFor(Node{Role: RoleWorker}, refs, "3.5.33")); diff != "" {
		t.Error(diff)
	}
	if got := imagesFor(Node{Role: RoleControlPlane}, refs[4:5], ""); len(got) != 1 {
		t.Errorf("without a choice kubeadm's own etcd is left out: %v", got)
	}
}

func TestEtcdImages(t *testing.T) {
	for _, tc := range []struct {
		kubernetes, etcd string
		want             []string
	}{
		{"1.33", "", []string{"3.5.33"}},
		{"1.33", "3.5.24", []string{"3.5.24", "3.5.33"}},
		{"v1.33.13", "3.5.33", []string{"3.5.33"}},
		{"1.34", "", nil},
		{"1.34", "3.6.4", []string{"3.6.4"}},
	} {
		spec, err := Spec{Kubernetes: tc.kubernetes, Etcd: tc.etcd}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.etcdImages(); !slices.Equal(got, tc.want) {
			t.Errorf("%s with etcd %q serves %v, want %v", tc.kubernetes, tc.etcd, got, tc.want)
		}
	}
}
