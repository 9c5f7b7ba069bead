// Package stored reads an etcd snapshot as API servers would and says which API
// version and kind every object in it is stored as. It works on the file alone:
// no etcd is started, no API server asked, nothing written.
//
// A snapshot is a bbolt database with a SHA-256 behind it. Its bucket "key" holds
// every revision of every key in the order of revisions; what lives is the newest
// revision of a key, unless that is a tombstone. Values carry their version and
// kind in front, in one of the forms of Kubernetes' storage serializers: protobuf
// in an envelope, JSON, CBOR, or any of them encrypted.
package stored
