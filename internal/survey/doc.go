// Package survey gathers the facts of a cluster from its API, its hosts and its
// etcd into one observation, and reads what a package repository offers. It
// changes nothing anywhere; what it could not see it names.
//
// It asks them all at the same time. Every host is visited once, by a bounded number at
// a time: reached as root, asked everything in one command, and left. Each script of that
// command ends by itself, and what is missing afterwards is asked for alone, so that what
// breaks off hides nothing else.
//
// It judges nothing (preflight does), and nothing secret that it reads on the
// way, such as kubeadm's configuration, becomes a fact.
package survey
