// Package e2e runs kup against real kubeadm clusters and judges what it did by
// asking the nodes and the API, never kup: versions, certificates, package
// holds, requests that failed meanwhile, objects that changed, containers that
// restarted, pods that moved without need, secrets that leaked.
//
// A scenario brings its own lab up (package node), puts the sample workload on
// it (package workload), runs the kup binary as an operator would, prints what
// it measured and fails with the list of everything that was not as it must be.
// Scenarios that disturb kup read its journal to find their moments, and what the
// nodes keep of executions to count them.
//
// The package knows kup's command line, exit codes and files; of kup's own packages
// it imports those of the plan file only, to forge plans that kup must refuse and to
// know what a plan was to do.
package e2e
