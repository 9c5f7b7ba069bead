// Package kube is kup's adapter to the Kubernetes API: it lists what a cluster
// is made of, cordons and drains nodes, asks single API servers directly and
// holds the lock. It lists and gets, and never watches, so that it works the
// same on every server from 1.16 on; calls that may be repeated are repeated
// while an API server restarts.
//
// The package decides nothing: what facts mean is for preflight and planner,
// when to drain is the plan's, and hosts are reached elsewhere.
package kube
