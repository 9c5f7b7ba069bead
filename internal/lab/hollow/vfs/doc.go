// Package vfs is the file system of one modelled host, in memory: directories,
// files, symbolic links, modes, times, a size limit, advisory locks, and change
// notices. Paths are absolute and resolved the way Linux resolves them. A tree can
// be cloned cheaply and saved as JSON.
//
// It knows no owners, no hard links and no mount points, and it checks no
// permissions: modes are kept so that they can be looked at.
package vfs
