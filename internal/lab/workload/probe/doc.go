// Package probe asks something at a steady rate and keeps account: how many
// requests were sent, how many failed, each failure with its time, target and
// error. The same code runs in pods of the sample workload and outside the
// cluster in the end-to-end tests.
//
// It imports the standard library only, and it knows nothing of Kubernetes:
// what is asked, and which targets are fit to be asked, comes from the caller.
package probe
