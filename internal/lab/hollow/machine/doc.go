// Package machine is the behaviour of one host of a modelled cluster: the programs
// that kup's commands call there (kubeadm, apt and dpkg, systemctl, crictl, kubectl,
// kubelet), the kubelet with its pods and static pods, packages, images, and power.
// Everything is done to a file system in memory and to the objects of a modelled
// API; no command reaches the real machine.
//
// It does what real programs do as far as kup can tell, it takes as long as they
// take times the pace, and it refuses what they refuse: two minors at once, unknown
// flags, packages on hold, an API that does not answer. It owns neither SSH, nor
// the detached executions, nor the processes behind the static pods of etcd and the
// API server: those come from whoever builds the cluster.
package machine
