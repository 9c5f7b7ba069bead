package snapshot

import "context"

// Prover proves a plain file.
type Prover interface {
	// Prove checks a file's checksum, structure and data, and restores it in a
	// directory of scratch. Fields of want that are empty are not compared.
	Prove(ctx context.Context, file, scratch string, want Meta) (Proof, error)
}

// Proof is what was found in a file that passed.
type Proof struct {
	SHA256          string   `json:"sha256"` // of the plain file, hexadecimal
	Size            int64    `json:"size"`   // bytes
	Revision        int64    `json:"revision"`
	Keys            int64    `json:"keys"`
	HashRevision    int64    `json:"hashRevision"`
	CompactRevision int64    `json:"compactRevision"`
	Hash            uint32   `json:"hash"`
	Members         []string `json:"members"` // ids, hexadecimal
	// Compared says with what the data were compared: with the members as they are
	// now, with what they answered when it was taken, or with nothing and why.
	Compared string `json:"compared"`
}

// Verified is what is known of a snapshot that can be relied on.
type Verified struct {
	Meta      Meta      `json:"meta"`
	Described bool      `json:"described"`
	Copies    []Copy    `json:"copies,omitempty"`
	Proof     Proof     `json:"proof"`
	Rehearsed Rehearsal `json:"rehearsed"`
}

// Room for the restore aside: the data once more, what a compaction adds, and etcd's
// log, of which it allocates 64 MB at once.
const (
	restoredLog  = 128 << 20
	leftForOther = 8 << 20
)

// Verify proves what was fetched, in the working directory. An error of this machine
// is a *[MachineError] and says nothing of the snapshot.
func Verify(ctx context.Context, f Fetched, p Prover, r Rehearser, work *Work) (Verified, error) {
	out := Verified{Meta: f.Meta, Described: f.Described, Copies: f.Copies}
	size, err := sizeOf(f.Path)
	if err == nil {
		err = work.Room(size + size/4 + restoredLog)
	}
	if err != nil {
		return out, err
	}
	if out.Proof, err = p.Prove(ctx, f.Path, work.Dir(), f.Meta); err != nil {
		if full := work.Room(leftForOther); full != nil && ctx.Err() == nil {
			return out, full // etcd's code does not always say that this was why
		}
		return out, OfMachine("prove "+f.Meta.Name, err)
	}
	want := f.Meta
	want.Revision, want.Keys, want.Members = out.Proof.Revision, out.Proof.Keys, out.Proof.Members
	want.HashRevision, want.CompactRevision, want.Hash = out.Proof.HashRevision, out.Proof.CompactRevision, out.Proof.Hash
	out.Rehearsed, err = Rehearse(ctx, r, f.Path, want)
	return out, OfMachine("rehearse a restore", err)
}
