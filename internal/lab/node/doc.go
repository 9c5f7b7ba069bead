// Package node brings up real kubeadm clusters on one machine: Docker containers
// that run systemd, sshd, containerd and a kubelet, with signed package
// repositories, a registry mirror, a load balancer before the API servers and a
// bastion, all on a network of the lab's own.
//
// It drives Docker through its command line. It is a lab: for tests and for
// trying kup out, never for workloads that matter. It does not know kup; it
// writes the inventory kup reads, and that is all they share.
package node
