// Package matrix kills kup around every step of an upgrade and resumes it, on
// hollow clusters, and compares what becomes of the cluster with an undisturbed
// run. It is for what a killed process must not break: nothing is done twice,
// nothing is left out. It is not for faults of hosts or networks, which package
// fault has, and it proves nothing of real kubeadm: the scenario crash does.
package matrix
