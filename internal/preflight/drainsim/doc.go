// Package drainsim plays the drains of a plan on what was observed of the
// cluster: node by node it evicts what kup's drain evicts, as far as the
// disruption budgets allow, gives every evicted pod another node as the
// scheduler would, and lets the nodes come back. It tells which drains cannot
// end, which pods find no place, and why.
//
// It is a model. Evictions follow the API server's rules, and a node counts as
// fit by the scheduler's own filters: taints, selectors, affinity, spread,
// volumes, ports, room. Which of several fit nodes is chosen is an approximation
// (the least loaded one). A pod that was ready is ready again as soon as it has a
// node. What it cannot know is said in [Result.Limits]: custom schedulers,
// devices given by resource claims, controllers it does not know, preemption.
// Admission webhooks, limits of volumes per node and quotas are not in it.
//
// The package is pure: it reads a placement and changes nothing.
package drainsim
