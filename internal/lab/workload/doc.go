// Package workload is a sample application to have on a cluster while it is
// upgraded: replicated, single and stateful servers with disruption budgets,
// DaemonSets, a CronJob, custom objects, a fail-closed admission webhook, and
// canary values that must never be found in anything kup writes.
//
// It builds the image's program, renders and deploys the manifests and waits until all is
// ready. It measures nothing: package probe and package e2e do.
package workload
