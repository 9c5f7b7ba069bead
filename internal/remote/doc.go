// Package remote is kup's only view of a machine: run a command, read a file,
// write a file. Commands are argv lists; quoting for a remote shell happens in
// one place, here.
//
// The package knows no SSH (remote/ssh does), no detachment (remote/detached
// does) and nothing of Kubernetes.
package remote
