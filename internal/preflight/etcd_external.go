package preflight

import (
	"fmt"
	"path/filepath"

	"github.com/kup-project/kup/pkg/cluster"
)

// releaseSize is how much a release of etcd takes on a member's host: the archive, its
// programs, and those that they replace.
const releaseSize = 300 << 20

// leastData is less than any member of a cluster takes: its log alone is larger.
const leastData = 1 << 20

// checkExternal wants, of an external etcd, everything seen that a swap of a member needs:
// each member on a host of the inventory, run by a unit that starts an etcd.
func checkExternal(in Input) []Finding {
	if in.Facts.Etcd.Topology != "external" {
		return nil
	}
	hosts := in.Facts.EtcdHosts()
	if len(hosts) == 0 {
		return []Finding{{Object: "etcd", Why: "its members run outside the control planes, and the inventory names none of their hosts", Fix: "set etcd.topology: external in kup.yaml and list their hosts under nodes with role: etcd"}}
	}
	if len(in.Facts.Etcd.Members) == 0 {
		return []Finding{{Object: "etcd", Why: "its members could not be asked", Fix: "`kup plan` says why; check etcd.members[].endpoint and certificates in kup.yaml"}}
	}
	var out []Finding
	runs := map[string]bool{}
	for _, m := range in.Facts.Etcd.Members {
		runs[m.Node] = true
		if n := in.Facts.Node(m.Node); n == nil || n.Role != cluster.EtcdHost {
			out = append(out, Finding{Object: "etcd member " + m.Name, Why: "it runs on no host of the inventory", Fix: fmt.Sprintf("add its host to nodes with role: etcd, or etcdctl member remove %s", m.ID)})
		}
	}
	for _, n := range hosts {
		if why, fix := in.externalHost(n, runs[n.Name]); why != "" {
			out = append(out, Finding{Object: "host " + n.Name, Why: why, Fix: fix})
		}
	}
	return out
}

// externalHost says what keeps a host's member from being swapped; empty: nothing.
func (in Input) externalHost(n *cluster.Node, member bool) (why, fix string) {
	switch {
	case !member:
		return "no member of the cluster runs there", "remove it from nodes in kup.yaml, or add its member to the cluster"
	case n.Host == nil || n.Host.Etcd == nil:
		return "it could not be surveyed over SSH", "check address, user and key in kup.yaml; `kup plan` says why"
	}
	u := n.Host.Etcd
	switch {
	case !u.Active:
		return "unit " + u.Unit + " is not active there", "correct etcd.members[].unit in kup.yaml, or start it"
	case filepath.Base(u.Binary) != "etcd" || u.Version.IsZero():
		return "unit " + u.Unit + " does not start a program etcd that tells its version, but " + orNothing(u.Binary), "have the unit start etcd itself; kup replaces no container and no wrapper"
	case u.DataSize < leastData:
		return u.DataDirectory + " there holds no member's data", "correct etcd.members[].dataDirectory in kup.yaml: what a swap sets aside, and a way back, are the data there"
	case len(in.Path) == 0:
		return "", ""
	}
	need := uint64(u.DataSize) + releaseSize
	if at, free, known := freeAt(n.Host, "/var/lib/kup"); known && free < need {
		return fmt.Sprintf("%s has %s free, and a release and a copy of the member's data take up to %s", at, bytes(free), bytes(need)), "make room there"
	}
	return "", ""
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
