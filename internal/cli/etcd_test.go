package cli

import (
	"testing"

	"github.com/kup-project/kup/internal/inventory"
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
			if unit := s.etcdUnits()["e-1"].Unit; (unit == "member.service") != (name == "external") {
				t.Errorf("unit %q", unit)
			}
		})
	}
}
