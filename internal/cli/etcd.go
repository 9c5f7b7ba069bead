package cli

import (
	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

// members are the ways to etcd's members: a stacked one through its control plane with
// kubeadm's certificates, an external one through its own host with those of the
// inventory.
func (s *session) members() []etcd.Access {
	var out []etcd.Access
	for _, n := range s.inv.Nodes {
		host := s.hosts.byNode[n.Name]
		access := etcd.Access{Node: n.Name, Host: host, Dial: host.DialContext}
		switch s.inv.Etcd.Topology {
		case inventory.External:
			m, there := s.inv.EtcdMemberOn(n.Name)
			if !there {
				continue
			}
			access.Address = m.Endpoint
			access.Certificates = etcd.Certificates{CA: m.Certificates.CA, Cert: m.Certificates.Cert, Key: m.Certificates.Key}
		default:
			if n.Role != cluster.ControlPlane {
				continue
			}
		}
		out = append(out, access)
	}
	return out
}

// etcdUnits are the members of an external etcd, as the survey asks for them.
func (s *session) etcdUnits() map[string]survey.EtcdUnit {
	if s.inv.Etcd.Topology != inventory.External {
		return nil
	}
	out := map[string]survey.EtcdUnit{}
	for _, m := range s.inv.Etcd.Members {
		out[m.Node] = survey.EtcdUnit{Unit: m.Unit, DataDirectory: m.DataDirectory, Config: m.Config}
	}
	return out
}
