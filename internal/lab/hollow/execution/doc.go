// Package execution is a model of the host's side of package remote/detached: it
// answers in wrapper.sh's place, on a modelled host, with the same words, the same
// files and the same fence. Commands run through the host's modelled shell, on
// goroutines that belong to the [Boot] of the machine and not to the session that
// asked for them, so they go on when a connection, or kup, is gone, and end without
// a trace when the power goes.
//
// The model stands for one text of wrapper.sh, which it knows by its digest; asked
// to run another one it fails. The tests put the same questions to the script and
// to the model and compare every answer.
//
// It is no general job runner: systemd is not modelled, an execution is always
// carried out as on a host without it, and it does not know what commands do.
package execution
