// Package e2e runs kup against real kubeadm clusters and judges what it did by
// asking the nodes and the API, never kup: versions, certificates, package
// holds, requests that failed meanwhile, objects that changed, containers that
// restarted, pods that moved without need, secrets that leaked.
//
// A scenario brings its own lab up (package node), puts the sample workload on
// it (package workload), runs the kup binary as an operator would, prints what
// it measured and fails with the list of everything that was not as it must be.
// The package knows kup's command line, exit codes and report file; of kup's own
// packages it imports those of the plan file only, to forge plans that kup must
// refuse.
package e2e
