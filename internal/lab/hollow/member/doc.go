// Package member runs the etcd of a modelled cluster: real members, embedded in
// this process, one for each control plane, with the certificates that lie on
// that host and on an address of its own, at etcd's own ports. What is modelled
// is their age: a member says that it is of the version it was started as, and
// refuses to start where that version's etcd would.
//
// It serves clients as etcd does; it is not told what the cluster stores but for
// a mirror of the modelled API's objects. Nothing here survives a crash of the
// machine, since nothing is synced to the disk.
package member
