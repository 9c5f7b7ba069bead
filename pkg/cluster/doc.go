// Package cluster holds what was observed of a kubeadm cluster: versions,
// nodes, hosts, etcd members, workloads. Everything here is plain data,
// comparable and serialisable.
//
// Facts travel inside plan files, and plan files are shared for review: a fact
// is therefore an allow-list. No annotation, no Secret, no command line that
// may hold a credential is ever a fact.
//
// The package performs no I/O and knows no clock; package survey fills it.
package cluster
