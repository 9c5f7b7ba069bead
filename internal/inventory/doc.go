// Package inventory reads kup.yaml: which hosts a cluster has, how they are
// reached and how far an upgrade may go at once. It parses strictly, applies
// the defaults, resolves paths and validates, so that whoever holds an
// [Inventory] holds one that makes sense. A file that does not gives exactly
// one [*Error] with its line, the field's path and what to write instead.
//
// The package reaches no host and no API, and knows nothing of plans: whether
// the nodes listed are the nodes the cluster has is preflight's question.
package inventory
