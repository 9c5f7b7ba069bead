package planner

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// FuzzBuild plans for all kinds of clusters, half-upgraded ones included. Build
// itself refuses a plan that breaks plan.Validate, so any error but a
// *TargetError is a defect.
func FuzzBuild(f *testing.F) {
	c := load(f)
	f.Add(uint8(3), uint8(2), uint8(33), uint8(1), uint8(1), uint8(0), uint64(0))
	f.Add(uint8(1), uint8(1), uint8(16), uint8(20), uint8(3), uint8(0), uint64(0))
	f.Add(uint8(3), uint8(9), uint8(27), uint8(6), uint8(0), uint8(33), uint64(0xf0f0f0f0f0))
	f.Add(uint8(3), uint8(4), uint8(17), uint8(9), uint8(1), uint8(0), ^uint64(0)>>1&^0xffff) // fewest, from 1.33
	f.Add(uint8(2), uint8(0), uint8(30), uint8(2), uint8(2), uint8(100), uint64(0xffffffffffffffff))
	f.Fuzz(func(t *testing.T, cps, workers, minor, hops, count, percent uint8, bits uint64) {
		from := cluster.Minor{Major: 1, Minor: 16 + uint64(minor)%21}
		m, _ := c.Minor(from)
		facts := topology{1 + int(cps%5), int(workers % 12), m.Seen().String(), ""}.facts(c)
		var targets []cluster.Version
		for range 1 + hops%20 {
			m, known := c.Minor(from.Next())
			if !known {
				break
			}
			targets, from = append(targets, m.Seen()), from.Next()
		}
		r := bitReader(bits)
		disturb(&facts, targets[0], &r)
		policy := testPolicy(targets...)
		policy.CertificateRenewal = r.next()
		if r.next() {
			policy.LoadBalancer = LoadBalancer{Drain: []string{"lb", "drain", "{node}"}, Restore: []string{"lb", "restore", "{node}"}}
		}
		policy.Pools = map[string]Pool{"default": {MaxUnavailable: Amount{Count: int(count), Percent: int(percent) % 101}, Drain: DefaultPool().Drain}}
		if r.next() {
			policy.Workers = Fewest
		}
		policy.Defragment = r.next()
		p, err := Build(facts, targets, c, policy)
		if err != nil {
			var te *TargetError
			if !errors.As(err, &te) {
				t.Fatal(err)
			}
			return
		}
		again, err := Build(facts, targets, c, policy)
		if err != nil || again.ID != p.ID {
			t.Errorf("the same input gave another plan: %v", err)
		}
		checkRoundTrip(t, p)
		for i := range p.Hops {
			checkHop(t, &p.Hops[i], facts)
		}
		checkSkew(t, &p, c)
		checkEdges(t, &p, c)
	})
}

// bitReader deals out a number's bits.
type bitReader uint64

func (b *bitReader) next() bool {
	bit := *b&1 == 1
	*b >>= 1
	return bit
}

// disturb moves some parts of the cluster ahead, as an earlier run would have.
func disturb(f *cluster.Facts, to cluster.Version, r *bitReader) {
	if r.next() {
		f.Kubeadm.ClusterVersion = to
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if r.next() {
			moved(n, to)
		}
		if r.next() {
			kubeletMoved(n, to)
		}
		n.Cordoned = r.next()
		if n.Role == cluster.Worker && r.next() {
			n.Pool = "gpu"
		}
		if r.next() {
			n.Host = nil
		}
	}
	if r.next() {
		f.Etcd.Members = nil
	}
	if r.next() {
		f.Addons = nil
	}
}

func checkRoundTrip(t *testing.T, p plan.Plan) {
	t.Helper()
	b, err := plan.Encode(&p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := plan.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Verify(back); err != nil {
		t.Error(err)
	}
	if again, _ := plan.Encode(back); !bytes.Equal(b, again) {
		t.Error("encode and decode changed the plan")
	}
}

// checkHop holds a hop to the laws that go beyond plan.Validate's.
func checkHop(t *testing.T, h *plan.Hop, f cluster.Facts) {
	t.Helper()
	upgraded := map[string]bool{}   // nodes whose API server moved in this hop
	swapped := false                // a kubelet moved
	cordoned := map[string]string{} // node -> its last lane step so far
	for _, st := range h.Stages {
		for _, w := range st.Waves {
			for _, lane := range w.Lanes {
				for _, s := range lane {
					component := st.Name == plan.ControlPlane && s.Kind == plan.KindCommand && !strings.HasSuffix(s.ID, "/kubelet-config")
					if component && swapped {
						t.Errorf("%s: an API server moves after a kubelet did", s.ID)
					}
					upgraded[s.Node] = upgraded[s.Node] || component
					if s.Args["restart"] == "kubelet" {
						swapped = true
						if cordoned[s.Node] == "" {
							t.Errorf("%s: a kubelet is swapped on a node that was not drained", s.ID)
						}
					}
					switch s.Kind {
					case plan.KindCordon:
						cordoned[s.Node] = s.ID
					case plan.KindUncordon:
						delete(cordoned, s.Node)
					case plan.KindCommand:
						if len(plan.SplitArgv(s.Args["argv"])) < 2 {
							t.Errorf("%s has no command line", s.ID)
						}
					default:
					}
				}
			}
		}
	}
	for node := range cordoned {
		if !f.Node(node).Cordoned {
			t.Errorf("%s is left cordoned after the hop to %s", node, h.To)
		}
	}
	checkEtcd(t, h)
}

// checkEtcd: where etcd's minor changes, exactly the last member's step has no
// way back.
func checkEtcd(t *testing.T, h *plan.Hop) {
	t.Helper()
	for _, st := range h.Stages {
		if st.Name != plan.EtcdStage {
			for _, w := range st.Waves {
				for _, lane := range w.Lanes {
					for _, s := range lane {
						if s.WayBack == plan.WayBackNone {
							t.Errorf("%s has no way back outside the etcd stage", s.ID)
						}
					}
				}
			}
			continue
		}
		for k, w := range st.Waves {
			for i, lane := range w.Lanes {
				for _, s := range lane {
					if s.WayBack == plan.WayBackNone && (k != len(st.Waves)-1 || i != len(w.Lanes)-1) {
						t.Errorf("%s has no way back but is not the last member's", s.ID)
					}
				}
			}
		}
	}
}
