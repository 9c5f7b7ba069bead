// Package detached runs commands on a host in a way that survives the connection,
// this program and its machine. An execution has an id; who asks for it again
// attaches to it instead of starting it twice, and reads its whole output.
//
// On the host an execution is a transient systemd unit (a session of its own where
// systemd does not run) and a directory that only root can read, under
// /var/lib/kup/<run>/exec, with the digest of what was asked, the boot id, the
// output and the exit status. wrapper.sh is the host's side of all this; it also
// keeps the fence: a run that a newer one has replaced starts nothing any more.
//
// The package does not know what the commands do, whether their effect is there
// after a reboot, or when an execution should be tried anew: it says "lost" and
// leaves the question to the step.
package detached
