// Package etcd asks the members of the cluster's store, one by one: who they
// are, how they are, whether they hold the same data; it moves leadership off a
// member and takes snapshots that are proven before anybody relies on them.
//
// Every member is reached on its own node through a dial function (in practice
// a channel of an SSH connection), with the certificate that the node keeps for
// etcd's health checks. No etcd port needs to be reachable from where kup runs,
// and no key leaves this process's memory.
//
// The package never changes membership, alarms, keys or data directories, never
// defragments and never restores into a living cluster: those belong to steps
// that an operator has seen in a plan.
package etcd
