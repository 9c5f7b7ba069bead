// Package manifest is what kubeadm writes, as pure functions: the static pods'
// manifests, its own configuration in the cluster, and the kubelet's. The words are
// those of kubeadm 1.31 to 1.35, read from its source and from nodes it made.
//
// It knows nothing of hosts and puts nothing anywhere; certificates and kubeconfigs
// are the business of package pki.
package manifest
