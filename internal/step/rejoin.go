package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Membership is etcd as members leave and join it. Members go by their ids,
// hexadecimal.
type Membership interface {
	// Remove takes a member out of the cluster.
	Remove(ctx context.Context, id string) error
	// Add announces a member that has not run yet, as a learner: it has no vote
	// until it is promoted.
	Add(ctx context.Context, peerURL string) error
	// Promote gives a learner its vote, once it has caught up; a voter has it.
	Promote(ctx context.Context, id string) error
}

// StoreHashes tells whether members hold the same data.
type StoreHashes interface {
	// Hashes gives the hash of every member but one at one revision, of all when that
	// is empty; an error when one of them does not answer. It reads the whole store of
	// each: ask once.
	Hashes(ctx context.Context, except string) ([]MemberHash, error)
}

// MemberHash is what one member stores.
type MemberHash struct {
	Member string // the node's name, where it is known
	Hash   string
}

const (
	backTimeout = 5 * time.Minute  // until a member that was taken back serves
	joinTimeout = 15 * time.Minute // until an empty member has everything and its vote
	joinEvery   = 2 * time.Second
)

// rejoin: the truth is the members' hashes. A member that has begun to leave is
// known by what its host keeps of it, so that whoever goes on does not ask a member
// that is away.
type rejoin struct {
	executions
	members    Members
	membership Membership
	hashes     StoreHashes
	every      time.Duration
	patience   time.Duration // with a member that does not answer
}

func (r *rejoin) Done(ctx context.Context, s plan.Step) (bool, error) {
	m, err := readReturning(s)
	if err != nil {
		return false, err
	}
	now, err := r.listed(ctx, s, m)
	if err != nil || now == nil || now.Version.IsZero() || now.Learner {
		return false, err // it is on its way, or cannot tell
	}
	equal, _, err := r.compare(ctx, s, m)
	return err == nil && equal, err
}

func (r *rejoin) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	m, err := readReturning(s)
	if err != nil {
		return err
	}
	away, err := r.left(ctx, s, m, x.Run)
	if err != nil {
		return err
	}
	if away == nil {
		stays, why, err := r.judge(ctx, s, m)
		if err != nil {
			return err
		}
		r.observer.Note(s.ID, why)
		if stays {
			return nil
		}
	}
	return r.replace(ctx, s, x, m, away)
}

// Known tells whether the member has begun to leave: then nothing that guards a
// beginning may be asked any more.
func (r *rejoin) Known(ctx context.Context, s plan.Step, x plan.Execution) (bool, error) {
	m, err := readReturning(s)
	if err != nil {
		return false, err
	}
	away, err := r.left(ctx, s, m, x.Run)
	return away != nil, err
}

// left reads on the host whether the member has begun to leave; nil: it has not.
func (r *rejoin) left(ctx context.Context, s plan.Step, m returning, run string) (*left, error) {
	const doing = "look whether the member was leaving"
	out, err := r.ask(ctx, s, doing, script([]string{"rejoin_begun"}, m.keep(run)))
	if err != nil || strings.TrimSpace(out) == "" {
		return nil, err
	}
	id, peer, whole := strings.Cut(strings.TrimSpace(out), " ")
	if !whole {
		return nil, failed(s, doing, fmt.Errorf("%s/left holds %q", m.keep(run), out), "")
	}
	return &left{id, peer}, nil
}

// judge tells whether the member may stay as it is. It gets some time to serve: one
// that then does not answer may not be able to start on its data, and what it has
// nobody can compare.
func (r *rejoin) judge(ctx context.Context, s plan.Step, m returning) (stays bool, why string, err error) {
	within, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		now, err := r.listed(ctx, s, m)
		switch {
		case err != nil:
			return false, "", err
		case now == nil:
			return false, "", failed(s, "find the member", fmt.Errorf("no member %s is known", m.name), "")
		case !now.Version.IsZero():
			return r.compare(ctx, s, m)
		}
		select {
		case <-tick.C:
			continue
		case <-within.Done():
		}
		if ctx.Err() != nil {
			return false, "", failed(s, "wait for the member", ctx.Err(), "")
		}
		_, err = r.agreed(ctx, s, m, m.name)
		return false, fmt.Sprintf("%s does not serve on its data (%s): it joins again, empty", m.name, now.Problem), err
	}
}

// listed is the member as etcd lists it; nil: it does not.
func (r *rejoin) listed(ctx context.Context, s plan.Step, m returning) (*cluster.Member, error) {
	members, err := r.list(ctx, s)
	return find(members, func(o cluster.Member) bool { return o.Node == s.Node || o.Name == m.name }), err
}

// compare tells whether the member holds what the others hold.
func (r *rejoin) compare(ctx context.Context, s plan.Step, m returning) (equal bool, why string, err error) {
	hashes, err := r.agreed(ctx, s, m, "")
	if err != nil {
		return false, "", err
	}
	mine := ""
	equal = true
	for _, h := range hashes {
		if m.is(s, h) {
			mine = h.Hash
		}
	}
	for _, h := range hashes {
		equal = equal && h.Hash == mine
	}
	if equal {
		return true, fmt.Sprintf("%s holds what the others hold (hash %s)", m.name, mine), nil
	}
	return false, fmt.Sprintf("%s holds other data than the others (hash %s): it joins again, empty", m.name, mine), nil
}

// agreed gives the hashes of all members but one. Where the others disagree among
// themselves, nobody can tell which is right.
func (r *rejoin) agreed(ctx context.Context, s plan.Step, m returning, except string) ([]MemberHash, error) {
	const doing = "compare etcd's data"
	hashes, err := r.hashes.Hashes(ctx, except)
	if err != nil {
		return nil, failed(s, doing, err, "")
	}
	others := map[string]bool{}
	for _, h := range hashes {
		if !m.is(s, h) {
			others[h.Hash] = true
		}
	}
	if len(others) > 1 {
		return nil, failed(s, doing, fmt.Errorf("the other members hold different data: %v", hashes), "which of them is right, nothing can tell; kup rollback --scope data restores the snapshot")
	}
	return hashes, nil
}

// is tells whether a hash is the member's.
func (m returning) is(s plan.Step, h MemberHash) bool {
	return h.Member == s.Node || h.Member == m.name
}

// replace takes the member out and brings it in again, empty, from wherever an
// earlier attempt ended.
func (r *rejoin) replace(ctx context.Context, s plan.Step, x plan.Execution, m returning, away *left) error {
	members, err := r.list(ctx, s)
	if err != nil {
		return err
	}
	if away == nil {
		old := find(members, func(o cluster.Member) bool { return o.Node == s.Node || o.Name == m.name })
		if old == nil {
			return failed(s, "find the member", fmt.Errorf("no member %s is known", m.name), "")
		}
		away = &left{old.ID, old.PeerURL}
		if newer, all := newerWithout(members, away.id, m.version); all {
			return failed(s, "take the member out of etcd", fmt.Errorf("all other members run etcd %s or newer: without %s they agree on that, and an etcd %s could not join again; the member was left as it is", newer.Line(), m.name, m.version), "kup rollback --scope data restores the snapshot")
		}
	}
	if old := find(members, func(o cluster.Member) bool { return o.ID == away.id }); old != nil {
		if members, err = r.takeOut(ctx, s, x, m, *away, members); err != nil {
			return err
		}
	}
	const adding = "announce the empty member to etcd"
	if find(members, away.again) == nil {
		if err := r.membership.Add(ctx, away.peerURL); err != nil {
			return failed(s, adding, err, "")
		}
		if members, err = r.list(ctx, s); err != nil {
			return err
		}
	}
	if find(members, away.again) == nil {
		return failed(s, adding, errors.New("etcd does not list it"), "")
	}
	argv := m.start(x.Run, initialCluster(members, m.name, *away))
	if _, err := r.run(ctx, s, part(x, 1), "start etcd, empty", remote.Command{Argv: argv}); err != nil {
		return err
	}
	return r.await(ctx, s, m, *away)
}

// again tells whether a member is the new one at the address of the old.
func (l left) again(m cluster.Member) bool { return m.ID != l.id && m.PeerURL == l.peerURL }

// takeOut stops the member, sets its data aside and removes it from the cluster,
// provided that the others can do without it.
func (r *rejoin) takeOut(ctx context.Context, s plan.Step, x plan.Execution, m returning, away left, members []cluster.Member) ([]cluster.Member, error) {
	const doing = "take the member out of etcd"
	if err := quorumWithout(members, away.id); err != nil {
		return nil, failed(s, doing, err, "bring the other members back first, or restore the snapshot")
	}
	if old := find(members, func(o cluster.Member) bool { return o.ID == away.id }); old.Leader {
		if err := r.members.MoveLeader(ctx, s.Node); err != nil {
			return nil, failed(s, "move etcd's leadership away", err, "")
		}
	}
	argv := m.stop(x.Run, away)
	if _, err := r.run(ctx, s, part(x, 0), "stop etcd", remote.Command{Argv: argv}); err != nil {
		return nil, err
	}
	members, err := r.list(ctx, s) // some time has passed
	if err != nil {
		return nil, err
	}
	if err := quorumWithout(members, away.id); err != nil {
		return nil, failed(s, doing, err, "bring the other members back first, or restore the snapshot")
	}
	if err := r.membership.Remove(ctx, away.id); err != nil {
		return nil, failed(s, doing, err, "")
	}
	return r.list(ctx, s)
}

// await waits until the new member serves, gives it its vote, and compares its data.
func (r *rejoin) await(ctx context.Context, s plan.Step, m returning, away left) error {
	const doing = "wait for the member"
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		members, err := r.members.Members(ctx)
		if err == nil {
			now := find(members, away.again)
			switch {
			case now == nil:
				return failed(s, doing, errors.New("etcd does not list it any more"), "")
			case now.Version.IsZero():
				err = fmt.Errorf("it does not answer yet: %s", now.Problem)
			case now.Version.Line() != m.version.Line():
				return failed(s, doing, fmt.Errorf("it runs %s, want %s", now.Version, m.version), "")
			default:
				return r.admit(ctx, s, m, now.ID)
			}
		}
		select {
		case <-ctx.Done():
			return failed(s, doing, fmt.Errorf("%w: %w", ctx.Err(), err), m.log(s.Node))
		case <-tick.C:
		}
	}
}

func (r *rejoin) admit(ctx context.Context, s plan.Step, m returning, id string) error {
	if err := r.membership.Promote(ctx, id); err != nil {
		return failed(s, "give the member its vote", err, "")
	}
	equal, why, err := r.compare(ctx, s, m)
	if err == nil && !equal {
		err = failed(s, "compare etcd's data", errors.New(why), "")
	}
	if err == nil {
		r.observer.Note(s.ID, why)
	}
	return err
}

func (r *rejoin) list(ctx context.Context, s plan.Step) ([]cluster.Member, error) {
	members, err := r.members.Members(ctx)
	return members, failed(s, "ask etcd for its members", err, "")
}

func find(members []cluster.Member, is func(cluster.Member) bool) *cluster.Member {
	if i := slices.IndexFunc(members, is); i >= 0 {
		return &members[i]
	}
	return nil
}

// quorumWithout tells why the others could not go on without the member. They must be
// able to agree twice: that it leaves, while it still counts, and on everything after.
func quorumWithout(members []cluster.Member, id string) error {
	others, healthy, voters := 0, 0, 0
	var bad []string
	for _, m := range members {
		if m.Learner {
			continue
		}
		voters++
		switch {
		case m.ID == id:
		case m.Healthy:
			others, healthy = others+1, healthy+1
		default:
			others++
			bad = append(bad, fmt.Sprintf("%s (%s)", m.Name, m.Problem))
		}
	}
	switch need := voters/2 + 1; {
	case others == 0:
		return errors.New("it is the only one: without it there is no data")
	case others < need:
		return fmt.Errorf("there are %d members, and no quorum is left when it is stopped", voters)
	case healthy < need:
		return fmt.Errorf("of the other %d members %d are healthy, and %d must be; not healthy: %s", others, healthy, need, strings.Join(bad, ", "))
	}
	return nil
}

// newerWithout tells whether all members but one run a newer minor than a version: etcd
// raises the version that a cluster agrees on as soon as none is older.
func newerWithout(members []cluster.Member, id string, than cluster.Version) (oldest cluster.Version, all bool) {
	for _, m := range members {
		switch {
		case m.ID == id || m.Learner:
		case m.Version.IsZero() || !than.Line().Less(m.Version.Line()):
			return cluster.Version{}, false
		case oldest.IsZero() || m.Version.Less(oldest):
			oldest = m.Version
		}
	}
	return oldest, !oldest.IsZero()
}

// initialCluster is what the new member is to know of the others, and of itself.
func initialCluster(members []cluster.Member, name string, away left) string {
	out := []string{name + "=" + away.peerURL}
	for _, m := range members {
		if !away.again(m) && m.ID != away.id && m.Name != "" {
			out = append(out, m.Name+"="+m.PeerURL)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
