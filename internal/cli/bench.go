package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/inventory"
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

// anyBench rehearses restores on the first control plane that says which etcd its member
// runs. It needs no API.
type anyBench struct{ session *session }

// rehearser restores a snapshot aside with the cluster's own etcd.
func (s *session) rehearser() snapshot.Rehearser { return anyBench{s} }

// Rehearse implements snapshot.Rehearser.
func (b anyBench) Rehearse(ctx context.Context, file string, want snapshot.Meta) (snapshot.Rehearsal, error) {
	if b.session.inv.Etcd.Topology == inventory.External {
		return snapshot.Rehearsal{}, fmt.Errorf("%w: it is external, and kup restores nothing on its hosts", snapshot.ErrCannotRehearse)
	}
	var errs []error
	for _, n := range b.session.inv.Nodes {
		if n.Role != cluster.ControlPlane {
			continue
		}
		at, err := b.session.benchAt(ctx, n.Name, want.EtcdVersion)
		if err == nil {
			return at.Rehearse(ctx, file, want)
		}
		errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
	}
	if err := errors.Join(errs...); err != nil {
		return snapshot.Rehearsal{}, fmt.Errorf("%w: %s", snapshot.ErrCannotRehearse, oneLine(err.Error()))
	}
	return snapshot.Rehearsal{}, fmt.Errorf("%w: no control plane is in the inventory", snapshot.ErrCannotRehearse)
}

var (
	manifestImage = regexp.MustCompile(`(?m)^\s*(?:- )?image:\s*"?([^"\s]+:([^"\s:/@]+))"?\s*$`)
	kubeletSocket = regexp.MustCompile(`--container-runtime-endpoint=([^"\s]+)`)
)

// benchAt asks a control plane for the etcd of its static pod. One that is a minor older
// than what wrote the snapshot cannot read it.
func (s *session) benchAt(ctx context.Context, node, wrote string) (bench, error) {
	h, err := s.hosts.Host(node)
	if err != nil {
		return bench{}, err
	}
	manifest, err := h.ReadFile(ctx, "/etc/kubernetes/manifests/etcd.yaml")
	if err != nil {
		return bench{}, err
	}
	image := manifestImage.FindSubmatch(manifest)
	if image == nil {
		return bench{}, errors.New("etcd's manifest names no image with a tag")
	}
	v, err := catalog.TagVersion(string(image[2]))
	if err != nil {
		return bench{}, err
	}
	if from, err := cluster.ParseVersion(wrote); err == nil && v.Line().Less(from.Line()) {
		return bench{}, fmt.Errorf("its etcd is %s, and etcd %s took the snapshot", v.Bare(), from.Bare())
	}
	out := bench{step.Bench{Host: h, Node: node, Version: v.Bare(), Image: string(image[1]), Dir: path.Join(detached.Base, "bench")}}
	if s.catalog.EtcdBumps(v) {
		out.Bump = safeBump
	}
	if flags, err := h.ReadFile(ctx, "/var/lib/kubelet/kubeadm-flags.env"); err == nil { // newer kubelets have it elsewhere: containerd's own is tried
		if socket := kubeletSocket.FindSubmatch(flags); socket != nil {
			out.Socket = string(socket[1])
		}
	}
	return out, nil
}
