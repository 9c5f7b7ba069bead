package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
)

// snapshotTries bounds how often a snapshot is taken anew because the store was
// compacted beyond it while it was on its way.
const snapshotTries = 3

// Snapshot is a file that was proven to hold what every member held.
type Snapshot struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the whole file, hexadecimal
	Size   int64  `json:"size"`   // bytes
	// Revision is the newest revision in the file, Keys how many keys live at it.
	Revision int64 `json:"revision"`
	Keys     int64 `json:"keys"`
	// HashRevision, CompactRevision and Hash are the point on which the members
	// and the file agree.
	HashRevision    int64  `json:"hashRevision"`
	CompactRevision int64  `json:"compactRevision"`
	Hash            uint32 `json:"hash"`
	// Member is the node whose member sent the file, Version the etcd that it
	// runs: a restore takes that minor's etcdutl.
	Member    string   `json:"member"`
	Version   string   `json:"version"`
	ClusterID string   `json:"clusterID"` // hexadecimal
	Members   []string `json:"members"`   // the ids of all members, hexadecimal, sorted
}

// Point is what the members answered.
func (s Snapshot) Point() Point {
	return Point{Revision: s.HashRevision, CompactRevision: s.CompactRevision, Hash: s.Hash}
}

// Snapshot saves the store to a file in dir, which only root and the user can
// read, and proves it before the file gets its name: see [Verify]. An empty name
// becomes one made of the revision. The store is streamed from a healthy
// follower; from the leader only when there is no other member. The proof needs
// as much room again in dir, for a moment.
//
// Progress is told the bytes received so far; nil is allowed. A failed proof is
// a *SnapshotError.
func (c *Cluster) Snapshot(ctx context.Context, dir, name string, progress func(done int64)) (Snapshot, error) {
	return c.SnapshotAt(ctx, dir, name, 0, progress)
}

// SnapshotAt is [Cluster.Snapshot] at no more than so many bytes a second; 0: as fast
// as they come. The member keeps the state of that moment for as long as it sends.
func (c *Cluster) SnapshotAt(ctx context.Context, dir, name string, bytesPerSecond int64, progress func(done int64)) (Snapshot, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	var s Snapshot
	var err error
	for range snapshotTries {
		s, err = c.snapshot(ctx, dir, name, bytesPerSecond, progress)
		if !errors.Is(err, errPassed) {
			return s, err
		}
	}
	return s, err
}

func (c *Cluster) snapshot(ctx context.Context, dir, name string, bytesPerSecond int64, progress func(int64)) (out Snapshot, err error) {
	point, o, err := c.agree(ctx, 0)
	if err != nil {
		return out, &SnapshotError{Proof: ProofMembers, Err: err}
	}
	source, err := o.source()
	if err != nil {
		return out, &SnapshotError{Proof: ProofMembers, Err: err}
	}
	if name == "" {
		name = fmt.Sprintf("etcd-%d.db", point.Revision)
	}
	path := filepath.Join(dir, name)
	part := path + ".part"
	defer func() {
		if err != nil {
			_ = os.Remove(part) // nothing unproven is left lying about
		}
	}()
	if err := source.conn.stream(ctx, part, bytesPerSecond, progress); err != nil {
		return out, &SnapshotError{Path: path, Proof: ProofStream, Err: err}
	}
	out = Snapshot{
		HashRevision: point.Revision, CompactRevision: point.CompactRevision, Hash: point.Hash,
		Member: source.name(), Version: source.status.GetVersion(), ClusterID: hexID(o.clusterID), Members: o.ids(),
	}
	proof, err := prove(ctx, part, dir, out, c.again)
	if err != nil {
		return Snapshot{}, named(err, path)
	}
	if err := publish(part, path); err != nil {
		return Snapshot{}, err
	}
	out.Path, out.SHA256, out.Size = path, proof.SHA256, proof.Size
	out.Revision, out.Keys = proof.Revision, proof.Keys
	out.HashRevision, out.CompactRevision, out.Hash = proof.Point.Revision, proof.Point.CompactRevision, proof.Point.Hash
	return out, nil
}

// again asks the members anew, at a revision that the file holds.
func (c *Cluster) again(ctx context.Context, revision int64) (Point, error) {
	p, _, err := c.agree(ctx, revision)
	return p, err
}

// source chooses whom to stream from: the most current follower, so that the
// leader keeps its bandwidth for the cluster.
func (o observation) source() (seen, error) {
	leader, ok := o.leader()
	if !ok {
		return seen{}, errNoLeader
	}
	if o.voters() == 1 {
		return leader, nil
	}
	followers := o.successors()
	if len(followers) == 0 {
		return seen{}, errors.New("no follower is healthy enough to take a snapshot from")
	}
	return followers[0], nil
}

// stream writes the member's snapshot to a file and syncs it.
func (m *member) stream(ctx context.Context, path string, bytesPerSecond int64, progress func(int64)) error {
	progress(0)
	var also io.Writer = &meter{tell: progress}
	if bytesPerSecond > 0 {
		also = io.MultiWriter(also, newThrottle(ctx, bytesPerSecond))
	}
	return m.save(ctx, path, also, (*os.File).Sync)
}

// save writes the member's snapshot to a file that only root and the user can read,
// and to another writer. Done is called with the file before it is closed.
func (m *member) save(ctx context.Context, path string, also io.Writer, done func(*os.File) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o600); err != nil { // of a file left over
		return err
	}
	c, _, err := m.get(ctx)
	if err == nil {
		err = receive(ctx, c, io.MultiWriter(f, also))
	}
	if err != nil {
		return &MemberError{Node: m.access.Node, Op: "snapshot", Err: err}
	}
	return done(f)
}

// receive copies the member's stream. It is asked for directly, since clientv3
// would start it again for ever while the member is away.
func receive(ctx context.Context, c *clientv3.Client, to io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream when the file cannot be written
	in, err := pb.NewMaintenanceClient(c.ActiveConnection()).Snapshot(ctx, &pb.SnapshotRequest{}, grpc.ForceCodecV2(newChunks()))
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	var missing uint64
	for {
		r, err := in.Recv()
		switch {
		case errors.Is(err, io.EOF) && missing > 0:
			return fmt.Errorf("%w: %d bytes are missing", io.ErrUnexpectedEOF, missing)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return cmp.Or(ctx.Err(), err)
		}
		if _, err := to.Write(r.GetBlob()); err != nil {
			return err
		}
		missing = r.GetRemainingBytes()
	}
}

// meter counts bytes and tells of every further mebibyte.
type meter struct {
	done, told int64
	tell       func(int64)
}

func (m *meter) Write(p []byte) (int, error) {
	if m.done += int64(len(p)); m.done-m.told >= 1<<20 {
		m.told = m.done
		m.tell(m.done)
	}
	return len(p), nil
}

// throttle takes no more bytes than may come. While it waits nothing is read from the
// connection, and the member stops sending.
type throttle struct {
	ctx   context.Context //nolint:containedctx // io.Writer has no place for it; it lives for one stream
	bytes *rate.Limiter
}

// burst is what may come at once: a tenth of a second's, and at least a piece as members
// send them.
func newThrottle(ctx context.Context, bytesPerSecond int64) throttle {
	return throttle{ctx, rate.NewLimiter(rate.Limit(bytesPerSecond), int(max(bytesPerSecond/10, 32<<10)))}
}

func (t throttle) Write(p []byte) (int, error) {
	for left := len(p); left > 0; {
		n := min(left, t.bytes.Burst())
		if err := t.bytes.WaitN(t.ctx, n); err != nil {
			return len(p) - left, cmp.Or(t.ctx.Err(), err)
		}
		left -= n
	}
	return len(p), nil
}

// publish gives a proven file its name, durably.
func publish(part, path string) error {
	if err := os.Rename(part, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// named puts the final name of a file into the error about its part.
func named(err error, path string) error {
	var s *SnapshotError
	if errors.As(err, &s) {
		s.Path = path
	}
	return err
}
