// Package bench measures what a plan of a large cluster costs: kup, as it is shipped,
// plans an upgrade of a cluster whose etcd and kube-apiserver are the real programs,
// filled as a kubeadm cluster of that size is, and whose hosts are hollow ones behind
// real SSH servers. It needs no root and no container; everything listens on
// addresses of the loopback network.
//
// What is measured: wall time and peak memory of kup, the requests it made by the
// API server's audit log, and, in a process of its own, the time of each part of a
// plan.
package bench
