package snapshot

import "time"

// MetaFormat is the format of the descriptions that this package writes.
const MetaFormat = 1

// Meta describes one snapshot. It is stored as JSON beside it, under the snapshot's
// name with .json appended, and holds no secret: recipients are public keys.
type Meta struct {
	Format int `json:"format"`
	// Name is the file's name in every place, with .age at its end when it is
	// encrypted.
	Name    string    `json:"name"`
	TakenAt time.Time `json:"takenAt"`
	// Cluster is the uid of the namespace kube-system.
	Cluster string `json:"cluster"`
	// Run and Hop are of the run that took it, empty: it was taken by hand.
	Run string `json:"run,omitempty"`
	Hop string `json:"hop,omitempty"`

	// SHA256 and Size are of the plain file, hexadecimal and in bytes.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// StoredSHA256 and StoredSize are of the file as it is stored: the same, unless
	// it is encrypted.
	StoredSHA256 string `json:"storedSHA256"`
	StoredSize   int64  `json:"storedSize"`
	// EncryptedFor are the age recipients, sorted; empty: the file is plain.
	EncryptedFor []string `json:"encryptedFor,omitempty"`

	// Revision is the newest revision in the file, Keys how many keys live at it.
	Revision int64 `json:"revision"`
	Keys     int64 `json:"keys"`
	// HashRevision, CompactRevision and Hash are the point on which the members and
	// the file agreed.
	HashRevision    int64  `json:"hashRevision"`
	CompactRevision int64  `json:"compactRevision"`
	Hash            uint32 `json:"hash"`
	// Member is the node whose member sent the file, EtcdVersion what it ran.
	Member      string `json:"member"`
	EtcdVersion string `json:"etcdVersion"`
	// EtcdCluster is etcd's own id of the cluster, Members the ids of all its
	// members, sorted; all hexadecimal.
	EtcdCluster string   `json:"etcdCluster"`
	Members     []string `json:"members"`
	// Rehearsed says with which etcd the restore was rehearsed when it was taken.
	Rehearsed Rehearsal `json:"rehearsed"`
}

// Encrypted tells whether the file is sealed for recipients.
func (m Meta) Encrypted() bool { return len(m.EncryptedFor) > 0 }
