// Package matrix kills kup around every step of upgrades and rollbacks and resumes
// it, on hollow clusters, and compares what becomes of the cluster with an undisturbed
// run. What kup does to a cluster is a [Course], which is data. It is for what a killed process must not break: nothing is done twice,
// nothing is left out. It is not for faults of hosts or networks, which package
// fault has, and it proves nothing of real kubeadm: the scenario crash does.
package matrix
