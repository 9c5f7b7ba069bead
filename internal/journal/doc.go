// Package journal is the durable memory of a run: an append-only file of
// checksummed records, one JSON object a line, each on disk (file and directory
// synced) before Append returns.
//
// The journal says where to look; the world says what is. Replaying it gives
// which steps ended, which were begun, and which artefacts exist. It never
// decides what to do next (package engine does) and holds no secret: records
// carry step ids, digests and one-line errors only.
package journal
