package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/pkg/cluster"
)

func facts() cluster.Facts {
	return cluster.Facts{
		Identity: cluster.Identity{Name: "prod", Endpoint: "https://10.0.0.10:6443"},
		Etcd:     cluster.Etcd{Topology: "stacked"},
		Nodes: []cluster.Node{
			{Name: "cp-1", Role: cluster.ControlPlane, Address: "10.0.0.11", OS: "Ubuntu 24.04.2 LTS"},
			{Name: "cp-2.example.org", Role: cluster.ControlPlane, Address: "fd00::12", OS: "Ubuntu 24.04.2 LTS"},
			{Name: "1", Role: cluster.Worker, Address: "10.0.0.21", Pool: "gpu", OS: "Debian GNU/Linux 12 (bookworm)"},
			{Name: "on", Role: cluster.Worker, Address: "w.example.org", Pool: "default"},
		},
	}
}

func TestRender(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	text := Render(Draft{Facts: facts(), Kubeconfig: "./admin.conf", Context: "admin@prod"})
	golden(t, "testdata/render.golden.yaml", text)
	inv := parseOK(t, string(text))
	var got []cluster.Node
	for _, n := range inv.Nodes {
		got = append(got, cluster.Node{Name: n.Name, Role: n.Role, Address: n.Address, Pool: n.Pool})
	}
	want := facts().Nodes
	for i := range want {
		want[i].OS = ""
		fill(&want[i].Pool, DefaultPool)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if c := inv.Cluster; c != (Cluster{Name: "prod", Kubeconfig: "/etc/kup/admin.conf", Context: "admin@prod"}) {
		t.Errorf("cluster: %+v", c)
	}
}

// TestRenderShowsDefaults uncomments every setting: what the file shows as the
// default must be the default, for each package manager.
func TestRenderShowsDefaults(t *testing.T) {
	for _, os := range []string{"", "Ubuntu 24.04.2 LTS", "Rocky Linux 9.5 (Blue Onyx)", "Flatcar Container Linux"} {
		f := cluster.Facts{Nodes: []cluster.Node{{Name: "cp-1", Role: cluster.ControlPlane, Address: "10.0.0.11", OS: os}}}
		text := Render(Draft{Facts: f})
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			if rest := strings.TrimLeft(line, " "); len(rest) > 1 && rest[0] == '#' && rest[1] != ' ' {
				lines[i] = line[:len(line)-len(rest)] + rest[1:]
			}
		}
		commented, written := parseOK(t, string(text)), parseOK(t, strings.Join(lines, "\n"))
		if commented.Digest() != written.Digest() {
			t.Errorf("%q: the defaults shown are not the defaults:\n%s", os, cmp.Diff(commented, written))
		}
		c, w := commented.SSH, written.SSH
		w.Port, w.Identities, w.KnownHosts = 0, nil, nil // theirs come from ssh_config
		if diff := cmp.Diff(c, w); diff != "" {
			t.Errorf("%q: ssh (-default +shown):\n%s", os, diff)
		}
		for _, field := range leaves() {
			name := field[strings.LastIndexByte(field, '.')+1:]
			if !strings.Contains(string(text), name+":") {
				t.Errorf("%q: %s is not shown", os, field)
			}
		}
	}
}

func TestGuessManager(t *testing.T) {
	for _, tc := range []struct {
		os   []string
		want Manager
	}{
		{nil, ""}, {[]string{""}, ""}, {[]string{"Ubuntu 22.04"}, APT}, {[]string{"Debian GNU/Linux 12", "Ubuntu 24.04"}, APT},
		{[]string{"Red Hat Enterprise Linux 9.4 (Plow)", ""}, DNF}, {[]string{"Ubuntu 22.04", "Rocky Linux 9"}, ""}, {[]string{"Talos"}, ""},
	} {
		var nodes []cluster.Node
		for _, os := range tc.os {
			nodes = append(nodes, cluster.Node{OS: os})
		}
		if got, _ := guessManager(nodes); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.os, got, tc.want)
		}
	}
}
