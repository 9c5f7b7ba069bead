// Package shell is the POSIX shell of a modelled host, with the usual small
// programs, over its file system in memory. Scripts written for real hosts run on
// it unchanged, without root, without a process of their own, and without reaching
// anything of the machine they run on: no file, no program, no variable.
//
// The interpreter is mvdan.cc/sh with every handler replaced; what it leaves out
// (traps, umask, subshells at the end of a pipeline) is added here. The programs know
// the flags that scripts of kup use and refuse the others.
//
// It has no job control and no file descriptors above 2, no users (everything belongs
// to root), and no programs of its own for packages, services or Kubernetes: those
// come as Programs from whoever models the host.
package shell
