package etcd

import (
	"context"
	"errors"
	"fmt"
)

// Verify is [VerifyIn], and asks the members, too: whether the file is of their
// cluster, and whether they hold the same data as far as they still can tell.
// Compared says with what the data were compared.
func (c *Cluster) Verify(ctx context.Context, path, scratch string, want Snapshot) (p Proof, compared string, err error) {
	o, err := c.observe(ctx)
	if err != nil {
		return p, "", err
	}
	content, err := c.outline(ctx, path)
	if err != nil {
		return p, "", err
	}
	if err := belongs(content.members, o.ids()); err != nil {
		if len(want.Members) == 0 || belongs(content.members, want.Members) != nil {
			return p, "", &SnapshotError{Path: path, Proof: ProofIdentity, Err: err}
		}
		// A restore gives a cluster members of its own: the file is what its description
		// says, and no member of today can have its history.
		p, err = VerifyIn(ctx, path, scratch, want)
		return p, recorded(want) + "; the members were made anew since", err
	}
	at := want.HashRevision
	if at == 0 {
		at = content.newest
	}
	point, _, err := c.agree(ctx, at)
	if err != nil {
		if ctx.Err() != nil {
			return p, "", ctx.Err()
		}
		p, err2 := VerifyIn(ctx, path, scratch, want)
		if errors.Is(err, errPassed) {
			return p, recorded(want) + fmt.Sprintf("; the members no longer hold revision %d", at), err2
		}
		return p, recorded(want) + "; the members could not be asked: " + err.Error(), err2
	}
	want.HashRevision, want.CompactRevision, want.Hash = point.Revision, point.CompactRevision, point.Hash
	p, err = prove(ctx, path, scratch, want, c.again)
	if errors.Is(err, errPassed) { // compacted while it was looked at
		want.HashRevision, want.CompactRevision, want.Hash = 0, 0, 0
		p, err = VerifyIn(ctx, path, scratch, want)
		return p, "nothing: the members were compacted meanwhile", err
	}
	return p, fmt.Sprintf("the %d members, at revision %d", len(o.seen), p.Point.Revision), err
}

// recorded says what a file without members to ask is compared with.
func recorded(want Snapshot) string {
	if want.HashRevision == 0 {
		return "nothing"
	}
	return "what the members answered when it was taken"
}

// Recorded says what [VerifyIn] compares the data with.
func (s Snapshot) Recorded() string { return recorded(s) }

// outline reads what a file says, of a file that is whole.
func (c *Cluster) outline(ctx context.Context, path string) (contents, error) {
	if _, _, err := checksum(ctx, path); err != nil {
		return contents{}, &SnapshotError{Path: path, Proof: ProofTrailer, Err: err}
	}
	content, err := inspect(ctx, path)
	if err != nil {
		return contents{}, &SnapshotError{Path: path, Proof: ProofStructure, Err: err}
	}
	return content, nil
}
