// Package plan holds the plan: an ordered, reviewed, content-addressed piece of
// data that says everything `kup apply` may do. What can happen at apply time is
// visible here, exact versions, command lines, concurrency and points of no
// return included.
//
// A plan carries the facts it was built on, so that a run can refuse a cluster
// that has moved since. The package decides nothing (package planner does) and
// executes nothing (package engine does); it performs no I/O.
package plan
