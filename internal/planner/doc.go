// Package planner turns facts, the catalog and the operator's policy into a plan.
// It is pure: no clock, no network, no files; the same input gives the same plan,
// byte for byte.
//
// [Hops] reads the wish ("--to v1.35") into one version per hop; [Build] lays out
// every step of every hop. What a stage consists of and in which order is in this
// package; what kubeadm calls things at which minor is in the catalog. Whether the
// cluster is fit for the plan is not decided here but by package preflight.
package planner
