// Package step does the steps of a plan: one runner for each [plan.Kind], one
// file for each kind. Each kind says where the truth of "done" lives: in the
// cluster, on the host, or in what the run recorded.
//
// Whatever changes a host is a detached execution (see [Executor]), so that it
// survives the connection and is never started twice. Package changes are POSIX
// shell scripts, kept whole under scripts/ and run as `sh -euc SCRIPT kup
// ARGUMENT...`; values reach them as arguments only.
//
// The package decides nothing that the plan does not say, knows neither
// client-go nor SSH nor etcd's client, writes no journal and prints nothing.
package step
