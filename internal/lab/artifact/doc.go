// Package artifact builds what lab nodes are made of and keeps it by content:
// Kubernetes, etcd, CoreDNS and crictl compiled from their Go modules, Debian
// packages in signed per-minor repositories, container images, and the root
// file system of a node.
//
// Every artifact lives in a directory of its own under the store, named after
// the hash of its recipe (module versions, Go version, flags, the recipe's own
// text). What is there is never built again; what is built appears by an atomic
// rename; two processes never build the same thing at once.
//
// The package does not start containers and knows nothing of clusters: that is
// package node.
package artifact
