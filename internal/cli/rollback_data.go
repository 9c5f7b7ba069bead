package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/internal/stored"
	"github.com/kup-project/kup/pkg/plan"
)

// lookAtData reads the hop's snapshot and compares it with what is stored now. What
// forbids the scope, or cannot be told, becomes part of the evidence.
func lookAtData(ctx context.Context, s *session, u *runRecord, e *planner.Evidence) (err error) {
	line := u.undone().Line()
	a, saved := u.state.Artefact(line, step.ArtefactSnapshot, "")
	if !saved {
		return nil
	}
	if why := s.shut(a); why != "" {
		e.Refused[plan.ScopeData] = why
		return nil
	}
	base, err := stateDir(u.plan.Facts.Identity.UID)
	if err != nil {
		return err
	}
	if err := makeDurably(base); err != nil {
		return err
	}
	storeSide{dir: base}.removeLeftOver()
	dir, err := os.MkdirTemp(base, copyPrefix)
	if err != nil {
		return fmt.Errorf("look at the snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, plain, err := s.dataOf(ctx, u.id, a, dir)
	if is[*snapshot.SettingsError](err) || is[*snapshot.MachineError](err) {
		return err // of the identity that was given, or of this machine
	}
	if err != nil {
		return refuseData(ctx, e, err)
	}
	known, err := readSnapshot(ctx, file)
	if err != nil {
		return refuseData(ctx, e, err)
	}
	known.Plain = plain
	losses, err := s.lossesSince(ctx, known, file, filepath.Join(dir, "now.db"))
	if err != nil {
		return err
	}
	e.Losses[plan.ScopeData], e.Saved = losses, known
	return nil
}

// refuseData closes the scope, for a reason other than an interruption.
func refuseData(ctx context.Context, e *planner.Evidence, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.Refused[plan.ScopeData] = err.Error()
	return nil
}

// snapshotHere gives the snapshot as a whole file of this machine: the run's own, or one
// that is brought to dir from a control plane that has it.
func (s *session) snapshotHere(ctx context.Context, run string, a journal.Artefact, dir string) (string, error) {
	if step.Verify(ctx, s.hosts, artefact(a)) == nil {
		return a.Path, nil
	}
	peers, err := s.controlPlanes()
	if err != nil {
		return "", err
	}
	there := path.Join(detached.Base, run, filepath.Base(a.Path))
	file := filepath.Join(dir, filepath.Base(a.Path))
	var errs []error
	for _, h := range peers {
		err := fill(file, &remoteFile{ctx: ctx, host: h, path: there})
		copied := a
		copied.Path = file
		if err == nil {
			err = step.Verify(ctx, s.hosts, artefact(copied))
		}
		if err == nil {
			return file, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", h, err))
	}
	return "", fmt.Errorf("no whole copy of the snapshot of hop %s was found, here or on a control plane: %w", a.Hop, errors.Join(errs...))
}

// fill writes a file of this machine.
func fill(file string, from io.Reader) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, from)
	return err
}

// readSnapshot reads the pods of each node, and proves that it is the store of an API
// server: of any other all pods would seem to be surplus.
func readSnapshot(ctx context.Context, file string) (*planner.Saved, error) {
	out := &planner.Saved{Pods: map[string][]string{}}
	served := false
	var err error
	out.Revision, err = stored.Objects(ctx, file, "", func(o stored.Object) error {
		served = served || (o.Path == "namespaces" && o.Name == "kube-system")
		switch {
		case o.Path != stored.PodPath:
		case o.Pod == nil:
			return fmt.Errorf("pod %s/%s is stored encrypted or damaged, so it cannot be told which pods of a node are surplus", o.Namespace, o.Name)
		case o.Pod.Node != "" && !o.Pod.Static:
			out.Pods[o.Pod.Node] = append(out.Pods[o.Pod.Node], o.Pod.UID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !served {
		return nil, fmt.Errorf("the snapshot has no namespace kube-system below %s: API servers with --etcd-prefix are restored by hand, see docs/disaster-recovery.md", stored.DefaultPrefix)
	}
	for _, uids := range out.Pods {
		slices.Sort(uids)
	}
	return out, nil
}

// lossesSince compares the store as it is now, whether or not an API server answers, with
// the snapshot, and sets the revision that is known of it.
func (s *session) lossesSince(ctx context.Context, known *planner.Saved, snapshot, now string) ([]plan.Loss, error) {
	if err := s.connectEtcd(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		known.Live = known.Revision
		return []plan.Loss{unseen(err.Error())}, nil
	}
	return lossesIn(ctx, s.etcd, known, snapshot, now)
}

// presentStore is the store as it is now.
type presentStore interface {
	Copy(ctx context.Context, file string) error
	Highest(ctx context.Context) (int64, error)
}

// lossesIn lists what a store has that the snapshot has not. What cannot be told is a
// loss of its own. That the bump covers it cannot be told either: it is as large as ever
// a cluster wrote between two looks. A store below the snapshot is another one: a restore
// would put this cluster's data on strange members.
func lossesIn(ctx context.Context, store presentStore, known *planner.Saved, snapshot, now string) ([]plan.Loss, error) {
	var d stored.Difference
	err := store.Copy(ctx, now)
	if err == nil {
		d, err = stored.Compare(ctx, snapshot, now, "")
	}
	highest, unread := store.Highest(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	older := new(stored.OlderError)
	switch {
	case (unread == nil && highest < known.Revision) || (unread != nil && errors.As(err, &older)):
		return nil, otherStore(max(highest, older.Live), known.Revision)
	case err != nil:
		known.Live = max(known.Revision, highest)
		return []plan.Loss{unseen(err.Error())}, nil
	}
	known.Live = max(known.Revision, d.Live, highest)
	losses := lossesOf(d)
	if unread != nil {
		losses = append(losses, plan.Loss{
			Kind: plan.LossUnread, Resource: "etcd", Name: "revisions",
			Detail: fmt.Sprintf("what members have above revision %d is not known: %v", d.Live, unread),
		})
	}
	return losses, nil
}

// otherStore refuses a store that is not the snapshot's.
func otherStore(live, revision int64) error {
	return &usageError{
		err:  fmt.Errorf("etcd is at revision %d, below the snapshot's %d: this is not the store that the snapshot was taken of, so nothing is restored there", live, revision),
		hint: "see to it that kup.yaml names the hosts of the cluster that the run upgraded; members that lost their data are restored by hand: docs/disaster-recovery.md",
	}
}

// lossesOf gives a difference as what a restore costs.
func lossesOf(d stored.Difference) []plan.Loss {
	kinds := map[stored.Change]plan.LossKind{
		stored.Created: plan.LossCreated, stored.Changed: plan.LossChanged, stored.Deleted: plan.LossDeleted,
		stored.Stops: plan.LossPodStops, stored.Starts: plan.LossPodStart, stored.Moves: plan.LossPodMoves,
		stored.Claimed: plan.LossClaimed, stored.Released: plan.LossReleased,
	}
	var out []plan.Loss
	for _, x := range slices.Concat(d.Objects, d.Pods, d.Volumes) {
		out = append(out, plan.Loss{Kind: kinds[x.Change], Resource: x.Resource, Namespace: x.Namespace, Name: x.Name, Node: x.Node, Detail: x.Detail})
	}
	resources := make([]string, 0, len(d.Rewritten))
	for resource := range d.Rewritten {
		resources = append(resources, resource)
	}
	slices.Sort(resources)
	for _, resource := range resources {
		t := d.Rewritten[resource]
		out = append(out, plan.Loss{
			Kind: plan.LossChanged, Resource: resource, Name: plan.LossCounted,
			Detail: fmt.Sprintf("%d created, %d changed, %d deleted; controllers and kubelets write them by themselves", t.Created, t.Changed, t.Deleted),
		})
	}
	return out
}

// inheritBaselines gives a rollback the baselines of the run that it takes back, which its last
// steps compare with.
func (s *session) inheritBaselines(ctx context.Context, r *runRecord, m *memory) error {
	wanted := map[string]bool{}
	r.plan.Steps(func(_ *plan.Hop, _ *plan.Stage, st *plan.Step) bool {
		if _, have := m.Get(st.Args["hop"], step.ArtefactBaseline, ""); st.Kind == plan.KindCompare && !have {
			wanted[st.Args["hop"]] = true
		}
		return true
	})
	if r.plan.Rollback == nil || r.plan.Rollback.Scope != plan.ScopeData || len(wanted) == 0 {
		return nil
	}
	u, err := s.findNamed(ctx, r.plan.Facts.Identity.UID, r.plan.Rollback.Run)
	if err != nil {
		return err
	}
	peers, err := s.controlPlanes()
	if err != nil {
		return err
	}
	for _, a := range u.state.Artefacts {
		if a.Name != step.ArtefactBaseline || !wanted[a.Hop] {
			continue
		}
		if a.Path, err = brought(ctx, m.Dir(), u.id, a, peers); err != nil {
			return err
		}
		if err := m.Put(ctx, artefact(a)); err != nil {
			return err
		}
	}
	return nil
}
