// Package fault is a library of things that go wrong during an upgrade, each with
// the way to end it: connections that break, replies that are lost, machines that
// lose their power, repositories that vanish, drains that never end.
//
// A fault is a name and a pair of actions on a [Target]. What a target can have
// done to it is said by small interfaces, so that the same faults strike clusters
// of real nodes and modelled ones. The package itself breaks nothing: it decides
// neither when to strike nor what has to come of it; scenarios do.
package fault
