package gate

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Certificates reads the certificates that kubeadm manages on a node, as they are
// now.
type Certificates interface {
	Certificates(ctx context.Context, node string) ([]cluster.Certificate, error)
}

// Baselines is what was observed before a hop (1.34).
type Baselines interface {
	Workloads(hop string) ([]cluster.Workload, error)
	Certificates(hop string) (map[string][]cluster.Certificate, error) // by node
}

// authorities are never renewed by an upgrade.
var authorities = [...]string{"ca", "etcd-ca", "front-proxy-ca"}

func (d *Deps) isEtcd(name string) bool { return slices.Contains(d.EtcdCertificates, name) }

// isManaged tells whether kubeadm renews the certificate: of an external etcd it renews
// none, nor the one that API servers show there.
func (d *Deps) isManaged(name string) bool {
	external := d.Facts != nil && d.Facts.Etcd.Topology == "external"
	return !external || (name != "apiserver-etcd-client" && !d.isEtcd(name))
}

// renewed wants the certificates of the node (of every node when empty) that
// match to expire later than before the hop.
func (d *Deps) renewed(hop, node string, match func(string) bool) check {
	return func(ctx context.Context) plan.Verdict {
		before, err := d.Baselines.Certificates(hop)
		if err != nil {
			return cannotTell("the certificates before hop %s: %v", hop, err)
		}
		nodes := []string{node}
		if node == "" {
			if nodes = slices.Sorted(maps.Keys(before)); len(nodes) == 0 {
				return cannotTell("the certificates before hop %s: none was recorded", hop)
			}
		}
		verdicts := make([]plan.Verdict, len(nodes))
		for i, n := range nodes {
			was, recorded := before[n]
			if !recorded {
				verdicts[i] = cannotTell("the certificates of %s before hop %s were not recorded", n, hop)
				continue
			}
			now, err := d.Certificates.Certificates(ctx, n)
			if err != nil {
				verdicts[i] = cannotTell("the certificates of %s: %v", n, err)
				continue
			}
			verdicts[i] = certificates(n, was, now, func(name string) bool { return d.isManaged(name) && match(name) })
		}
		return worst(verdicts)
	}
}

// certificates compares those of one node. What kubeadm left as it was stays so:
// waiting changes nothing.
func certificates(node string, before, now []cluster.Certificate, match func(string) bool) plan.Verdict {
	for _, was := range before {
		if was.External || !match(was.Name) || slices.Contains(authorities[:], was.Name) {
			continue
		}
		i := slices.IndexFunc(now, func(c cluster.Certificate) bool { return c.Name == was.Name })
		switch {
		case i < 0:
			return notYet("certificate %s of %s cannot be found", was.Name, node)
		case now[i].External || now[i].NotAfter.After(was.NotAfter):
		default:
			return never("certificate %s of %s was not renewed: it still expires on %s; renew it there: kubeadm certs renew %s",
				was.Name, node, now[i].NotAfter.UTC().Format(time.DateOnly), was.Name)
		}
	}
	return holds()
}
