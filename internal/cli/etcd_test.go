package cli

import (
	"errors"
	"testing"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/snapshot"
)

func TestEtcdAccess(t *testing.T) {
	const nodes = `apiVersion: kup/v1alpha1
ssh: {config: none, user: ops, knownHosts: [/dev/null]}
nodes:
  - {name: cp-1, role: control-plane, address: 10.0.0.11}
  - {name: w-1, role: worker, address: 10.0.0.21}
`
	for name, tc := range map[string]struct{ text, node, address, cert string }{
		"stacked": {nodes, "cp-1", "", ""},
		"external": {nodes + `  - {name: e-1, role: etcd, address: 10.0.0.31}
etcd:
  topology: external
  members: [{node: e-1, endpoint: "10.0.0.31:2379", unit: member.service, certificates: {cert: /etc/etcd/client.crt}}]
`, "e-1", "10.0.0.31:2379", "/etc/etcd/client.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			inv, err := inventory.Parse("kup.yaml", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			s := &session{inv: inv}
			if s.hosts, err = openHosts(&system{}, inv); err != nil {
				t.Fatal(err)
			}
			access := s.members()
			if len(access) != 1 || access[0].Node != tc.node || access[0].Address != tc.address || access[0].Certificates.Cert != tc.cert || access[0].Host == nil {
				t.Errorf("%+v", access)
			}
			if err := s.knowsMembers(); err != nil {
				t.Error(err)
			}
			if unit := s.etcdUnits()["e-1"].Unit; (unit == "member.service") != (name == "external") {
				t.Errorf("unit %q", unit)
			}
		})
	}
}

// Of an external etcd snapshots are taken as of any other, but rehearsed nowhere: and
// where the inventory names none of its hosts nobody is asked.
func TestSnapshotsOfAnExternalEtcd(t *testing.T) {
	inv, err := inventory.Parse("kup.yaml", []byte(`apiVersion: kup/v1alpha1
ssh: {config: none, user: ops, knownHosts: [/dev/null]}
nodes:
  - {name: cp-1, role: control-plane, address: 10.0.0.11}
etcd: {topology: external}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{inv: inv}
	if s.hosts, err = openHosts(&system{}, inv); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rehearser().Rehearse(t.Context(), "etcd.db", snapshot.Meta{}); !errors.Is(err, snapshot.ErrCannotRehearse) {
		t.Errorf("it is rehearsed: %v", err)
	}
	if err := s.knowsMembers(); !is[*usageError](err) {
		t.Errorf("no host of a member: %v", err)
	}
}
