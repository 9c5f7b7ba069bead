package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// bench rehearses restores on a node, with the etcd of its member.
type bench struct{ step.Bench }

// Rehearse implements snapshot.Rehearser.
func (b bench) Rehearse(ctx context.Context, file string, want snapshot.Meta) (snapshot.Rehearsal, error) {
	r, err := b.Bench.Rehearse(ctx, file, step.Snapshot{
		SHA256: want.SHA256, Revision: want.Revision, Keys: want.Keys,
		HashRevision: want.HashRevision, CompactRevision: want.CompactRevision, Hash: want.Hash,
	})
	var exit *remote.ExitError
	why, cannot := step.CannotRehearse(err)
	switch {
	case err == nil:
	case cannot:
		return snapshot.Rehearsal{}, fmt.Errorf("%w: %s on %s", snapshot.ErrCannotRehearse, why, b.Node)
	case errors.As(err, &exit):
		return snapshot.Rehearsal{}, &snapshot.BadError{Name: want.Name, Err: fmt.Errorf("rehearse the restore on %s: %w", b.Node, err)}
	default: // a connection that was lost says nothing of the snapshot
		return snapshot.Rehearsal{}, fmt.Errorf("%w: %s: %w", snapshot.ErrCannotRehearse, b.Node, err)
	}
	return snapshot.Rehearsal{With: r.With, Version: r.Version, Revision: r.Revision, Keys: r.Keys}, nil
}

// benchOf is where the plan of a run rehearses the restore of a hop's snapshot; nil: it
// does not.
func (s *session) benchOf(r *runRecord, hop string) (out snapshot.Rehearser) {
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, st *plan.Step) bool {
		if st.Kind != plan.KindRehearse || st.Args["hop"] != hop {
			return true
		}
		host, err := s.hosts.Host(st.Node)
		if err != nil {
			return false // the step itself will say so
		}
		bump, _ := strconv.ParseInt(st.Args["bump"], 10, 64) // the step's own checks refuse others
		out = bench{step.Bench{
			Host: host, Node: st.Node, Version: st.Args["version"], Image: st.Args["image"], Socket: st.Args["socket"], Bump: bump,
			Dir: path.Join(detached.Base, r.id, "bench-"+hop),
		}}
		return false
	})
	return out
}

// cannot is a rehearsal that nobody can make.
type cannot struct{ why string }

// Rehearse implements snapshot.Rehearser.
func (c cannot) Rehearse(context.Context, string, snapshot.Meta) (snapshot.Rehearsal, error) {
	return snapshot.Rehearsal{}, fmt.Errorf("%w: %s", snapshot.ErrCannotRehearse, c.why)
}

// benchByHand is where a restore is rehearsed that no plan speaks of: beside the oldest
// member that does not lead, as a plan would have it. Its directory there has one name for all, so that the
// next rehearsal removes what one that was killed left.
func (s *session) benchByHand(ctx context.Context) snapshot.Rehearser {
	if s.api == nil || s.etcd == nil {
		return cannot{"neither the API nor the hosts say what the members run"}
	}
	facts, err := s.api.Standing(ctx)
	if err == nil {
		facts.Etcd.Members, err = s.etcd.Members(ctx)
	}
	if err != nil {
		return cannot{oneLine(err.Error())}
	}
	var oldest *cluster.Node
	var leads string
	for _, m := range facts.Etcd.Members {
		if m.Leader {
			leads = m.Node
		}
	}
	for i := range facts.Nodes {
		n := &facts.Nodes[i]
		pod := n.Static("etcd")
		if pod == nil || s.hosts.byNode[n.Name] == nil {
			continue
		}
		if oldest == nil || pod.Version.Less(oldest.Static("etcd").Version) || (oldest.Name == leads && pod.Version == oldest.Static("etcd").Version) {
			oldest = n
		}
	}
	if oldest == nil {
		return cannot{"no node of the inventory runs a member as a static pod"}
	}
	pod := oldest.Static("etcd")
	b := step.Bench{
		Host: s.hosts.byNode[oldest.Name], Node: oldest.Name, Version: pod.Version.Bare(), Image: pod.Image, Socket: oldest.CRISocket,
		Dir: path.Join(detached.Base, "bench"),
	}
	if s.catalog.EtcdBumps(pod.Version) {
		b.Bump = safeBump
	}
	return bench{b}
}
