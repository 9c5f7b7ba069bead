// Package survey gathers the facts of a cluster from its API, its hosts and its
// etcd into one observation, and reads what a package repository offers. It
// changes nothing anywhere; what it could not see it names.
//
// It judges nothing (preflight does), and nothing secret that it reads on the
// way, such as kubeadm's configuration, becomes a fact.
package survey
