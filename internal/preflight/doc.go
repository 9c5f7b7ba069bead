// Package preflight judges whether a cluster is fit for a whole path of hops,
// before the first of them starts. A rule is a row in a table with one pure
// function over facts; it names the upstream statement it enforces.
//
// The package observes nothing (survey does), plans nothing (planner does) and
// asks nobody: what could not be observed is not judged, and the facts say so.
package preflight
