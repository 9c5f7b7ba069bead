// Package pki makes the certificates, keys and kubeconfigs of a modelled
// kubeadm cluster: with kubeadm's names, subjects and paths, in the file system
// of each host. One [Authority] serves all hosts, as kubeadm's upload-certs
// makes it; renewal works as kubeadm's, from what lies on the host alone.
//
// It is no CA for anything real: keys are made for speed, and an Authority
// marshals to JSON with its keys in the clear.
package pki
