package etcd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MemberError is a member that could not be asked, or refused.
type MemberError struct {
	Node string
	Op   string // what was asked: "status", "HashKV", ...
	Err  error
}

func (e *MemberError) Error() string {
	return fmt.Sprintf("etcd on %s: %s: %v", e.Node, e.Op, e.Err)
}

// Unwrap gives the cause.
func (e *MemberError) Unwrap() error { return e.Err }

// all is several errors on one line.
type all []error

func (a all) Error() string {
	out := make([]string, 0, len(a))
	for _, err := range a {
		out = append(out, err.Error())
	}
	return strings.Join(out, "; ")
}

func (a all) Unwrap() []error { return a }

// ForwardingError is a node whose sshd forbids forwarding and on which no relay
// could be started either.
type ForwardingError struct {
	Node  string
	Err   error // of the forwarded connection
	Relay error // of the relay
}

func (e *ForwardingError) Error() string {
	return fmt.Sprintf("%v; nor through a command on the node: %v; set \"AllowTcpForwarding local\" in the sshd_config of %s and reload sshd",
		e.Err, e.Relay, e.Node)
}

// Unwrap gives both causes.
func (e *ForwardingError) Unwrap() []error { return []error{e.Err, e.Relay} }

// DataError is a disagreement between members about what they store. It does
// not heal by waiting.
type DataError struct {
	Points []MemberPoint
}

// MemberPoint is what one member answered.
type MemberPoint struct {
	Node string
	Point
}

func (e *DataError) Error() string {
	byHash := map[uint32][]string{}
	for _, p := range e.Points {
		byHash[p.Hash] = append(byHash[p.Hash], p.Node)
	}
	var camps []string
	for hash, nodes := range byHash {
		camps = append(camps, fmt.Sprintf("%s: hash %08x", strings.Join(nodes, " and "), hash))
	}
	slices.Sort(camps)
	return fmt.Sprintf("etcd members hold different data at revision %d: %s", e.Points[0].Revision, strings.Join(camps, "; "))
}

// LeaderError is a leadership that could not be moved.
type LeaderError struct {
	Node string
	Err  error
}

func (e *LeaderError) Error() string {
	return fmt.Sprintf("etcd leadership stays on %s: %v", e.Node, e.Err)
}

// Unwrap gives the cause.
func (e *LeaderError) Unwrap() error { return e.Err }

// ProofName names one thing that is proven of a snapshot.
type ProofName string

// The proofs, in the order in which they are made.
const (
	ProofMembers   ProofName = "members agree"           // every member has the same data at one revision
	ProofStream    ProofName = "complete stream"         // the member sent everything
	ProofTrailer   ProofName = "checksum trailer"        // the SHA-256 that etcd appended is that of the file
	ProofDigest    ProofName = "recorded digest"         // the file is the one that was recorded
	ProofStructure ProofName = "database structure"      // every page is consistent, every row readable
	ProofIdentity  ProofName = "same cluster"            // the file names members of this cluster
	ProofRestore   ProofName = "restore"                 // a member can be made of it
	ProofHash      ProofName = "data equal the members'" // the restored data have the members' hash
)

// SnapshotError is a snapshot that must not be relied on.
type SnapshotError struct {
	Path  string
	Proof ProofName // which proof failed
	Err   error
}

func (e *SnapshotError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("etcd snapshot: %s: %v", e.Proof, e.Err)
	}
	return fmt.Sprintf("etcd snapshot %s: %s: %v", e.Path, e.Proof, e.Err)
}

// Unwrap gives the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

// Causes of a [SnapshotError].
var (
	ErrTruncated = errors.New("the file is truncated: it does not end in a checksum")
	ErrChecksum  = errors.New("the file is damaged: its checksum is another one")
	ErrForeign   = errors.New("the snapshot is of another cluster")
	ErrHash      = errors.New("the snapshot's data are not the members'")
)
