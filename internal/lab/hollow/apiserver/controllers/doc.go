// Package controllers is what kube-controller-manager and kube-scheduler do in a
// modelled cluster: Deployments, ReplicaSets, StatefulSets and DaemonSets get their
// pods and roll out changes, pods get their nodes, Services their endpoints, budgets
// their status, and what belongs to nothing any more is deleted.
//
// One loop looks at the whole cluster whenever something in it has changed, and
// decides from what it sees alone; only the names of pods are random.
//
// It runs no pod: that is the kubelet's part. No new Jobs are made, no volume is
// bound, and a node that is silent is left alone.
package controllers
