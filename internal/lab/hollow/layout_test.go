package hollow

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/pkg/cluster"
)

func laidOut(t *testing.T, c Config) layout {
	t.Helper()
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	c.Network = 7
	l, err := layOut(c, known)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayoutDefaults(t *testing.T) {
	l := laidOut(t, Config{Kubernetes: "1.31", ControlPlanes: 3, Workers: 5, Minors: []string{"1.31", "1.32"}})
	if l.Start.Line().String() != "1.31" || l.Etcd != safeEtcd {
		t.Errorf("starts with %s, etcd %s", l.Start, l.Etcd)
	}
	if len(l.Served) != 2 || l.Served[0] != l.Start {
		t.Errorf("served %v", l.Served)
	}
	if len(l.Hosts) != 8 || l.Hosts[0].IP != "127.77.7.11" || l.Hosts[7].IP != "127.77.7.35" {
		t.Errorf("hosts %+v", l.Hosts)
	}
	if !l.Hosts[2].SudoPassword || !l.Hosts[7].BehindBastion {
		t.Errorf("nobody is odd: %+v", l.Hosts)
	}
	if l := laidOut(t, Config{Kubernetes: "v1.34.4"}); l.Etcd != cluster.MustParseVersion("3.6.5") {
		t.Errorf("1.34 starts with etcd %s", l.Etcd)
	}
}

func TestLayoutRefuses(t *testing.T) {
	known, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"too many":       {ControlPlanes: 8},
		"only workers":   {Workers: 1},
		"pace":           {Pace: 2},
		"name":           {Name: "Hollow"},
		"unknown minor":  {Kubernetes: "1.99"},
		"no version":     {Kubernetes: "new"},
		"unknown served": {Minors: []string{"2.0"}},
		"etcd":           {Etcd: "three"},
	} {
		if _, err := layOut(c, known); err == nil {
			t.Errorf("%s: %+v was taken", name, c)
		}
	}
}

func TestWrittenInventoryIsValid(t *testing.T) {
	dir := t.TempDir()
	l := laidOut(t, Config{ControlPlanes: 3, Workers: 5})
	k, err := newKeys(&l)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFiles(dir, &l, &k, []byte("kind: Config\n")); err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Load(filepath.Join(dir, inventoryFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Nodes) != len(l.Hosts) {
		t.Fatalf("%d nodes, want %d", len(inv.Nodes), len(l.Hosts))
	}
	for i, n := range inv.Nodes {
		h := l.Hosts[i]
		if n.Name != h.Name || n.Address != h.IP || n.Role != h.Role {
			t.Errorf("node %+v, want %+v", n, h)
		}
		if got := inv.SSHFor(n.Name).Bastion != ""; got != h.BehindBastion {
			t.Errorf("%s: bastion %t, want %t", n.Name, got, h.BehindBastion)
		}
	}
	if fi, err := os.Stat(filepath.Join(dir, identityFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", fi, err)
	}
}
