// Package hollow is a modelled kubeadm cluster in one process, on which the real
// kup works as on a real one: hosts behind SSH servers, etcd members, a Kubernetes
// API over HTTPS behind a load balancer, all on addresses of the loopback network.
// It needs no root and no container, and nothing that kup sends for a node ever
// reaches this computer.
//
// What kup talks to is real (SSH, TLS, etcd's data and protocol); what runs on the
// hosts is modelled, and its time runs faster by the cluster's pace. It refuses what
// the real programs refuse, as far as kup meets it.
//
// A cluster writes kubeconfig and kup.yaml to its directory; "kup plan" there finds
// everything. It can be saved and loaded, broken (faults), and asked what became of
// it (facts, mutations). It is no Kubernetes: no container runs, no policy is
// enforced, webhooks are not called.
package hollow
