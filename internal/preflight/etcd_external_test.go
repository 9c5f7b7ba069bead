package preflight

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// external moves etcd's members to hosts of their own, e-cp-1 and so on, and has change
// spoil what was seen of the last.
func external(change func(in *Input, last *cluster.Node)) func(*Input) {
	return func(in *Input) {
		f := &in.Facts
		f.Etcd.Topology = "external"
		for i := range f.Etcd.Members {
			m := &f.Etcd.Members[i]
			m.Node = "e-" + m.Name
			f.Nodes = append(f.Nodes, cluster.Node{Name: m.Node, Role: cluster.EtcdHost, Arch: "amd64", Host: &cluster.Host{
				DiskFree: map[string]uint64{"/var/lib/kup": 20 << 30},
				Etcd: &cluster.EtcdUnit{
					Unit: "etcd.service", Active: true, Binary: "/usr/local/bin/etcd", Version: m.Version,
					DataDirectory: "/var/lib/etcd", DataSize: m.DBSize,
				},
			}})
		}
		change(in, &f.Nodes[len(f.Nodes)-1])
	}
}

func TestExternalEtcdIsUpgraded(t *testing.T) {
	in := clean(t)
	external(func(*Input, *cluster.Node) {})(&in)
	for _, f := range Check(in) {
		if f.Severity == Block {
			t.Errorf("%s: %s %s", f.Rule, f.Object, f.Why)
		}
	}
}
