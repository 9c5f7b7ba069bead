// Package debian is the package manager of one modelled host: the apt and dpkg
// programs over a vfs, and the repositories they read. Its truth is on the host's
// file system, in dpkg's own database format, so that scripts can read it, a backup
// holds it, and a power cut in the middle of an installation leaves what it leaves
// on a real machine.
//
// It resolves what Kubernetes' packages ask for, exact versions and lower bounds,
// and refuses what apt refuses: moves of packages on hold, downgrades, a database
// that was left half written, a lock that another holds. It verifies no signatures
// and knows nothing of what the packages are for.
package debian
