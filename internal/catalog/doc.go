// Package catalog is what kup knows of every Kubernetes minor line, as data: the
// images kubeadm brings, the etcd an API server asks for, version skew, and
// kubeadm's command lines. The data is embedded YAML (data/), and every row names
// the source it was read from.
//
// A difference between minors belongs in a row, never in a condition in code.
// The package observes nothing and decides nothing; planner and preflight do.
package catalog
