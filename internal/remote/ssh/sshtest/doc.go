// Package sshtest is an SSH server in the test's own process: it really runs
// commands, as the user who runs the test, forwards TCP connections, and breaks
// in the ways that servers and networks break. It is for tests only, and has no
// other authentication than a list of keys.
package sshtest
