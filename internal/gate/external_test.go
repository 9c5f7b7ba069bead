package gate

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// An external member has no pod, and kubeadm renews none of its certificates.
func TestGatesOfAnExternalEtcd(t *testing.T) {
	facts := &cluster.Facts{
		Etcd:  cluster.Etcd{Topology: "external"},
		Nodes: []cluster.Node{{Name: "cp-1", Role: cluster.ControlPlane}, {Name: "e-1", Role: cluster.EtcdHost}},
	}
	named := member("e-1", "3.6.5")
	named.Name, named.Node = "infra0", "e-1"
	was, is := certs(2026, "apiserver", "apiserver-etcd-client", "etcd-healthcheck-client"), append(certs(2027, "apiserver"), certs(2026, "apiserver-etcd-client", "etcd-healthcheck-client")...)
	for _, tc := range []struct {
		id   plan.GateID
		fake *fake
		want plan.State
	}{
		{"etcd-member:e-1@v3.6.5", &fake{members: []cluster.Member{named}}, plan.Holds},
		{"etcd-member:e-1@v3.6.6", &fake{members: []cluster.Member{named}}, plan.NotYet},
		{"certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", was), is: on("cp-1", is)}, plan.Holds},
		{"certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", was), is: on("cp-1", was)}, plan.Never},
	} {
		d := Deps{Etcd: tc.fake, Nodes: tc.fake, Certificates: tc.fake, Baselines: fakeBaselines{tc.fake}, Facts: facts, EtcdCertificates: []string{"etcd-healthcheck-client"}}
		g, err := New(d).Gate(tc.id)
		if err != nil {
			t.Fatal(err)
		}
		if v := g.Check(t.Context()); v.State != tc.want {
			t.Errorf("%s: %s (%s), want %s", tc.id, v.State, v.Reason, tc.want)
		}
	}
}
