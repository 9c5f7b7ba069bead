// Package snapshot keeps snapshots of etcd's data: in which places, under which
// names, encrypted for whom, and what is known of each. It takes a file that was
// proven, seals it for the recipients that the inventory names, puts it and a
// description of it ([Meta]) into one or two places (a directory, an S3-compatible
// store), lists them, removes the oldest, and gets them back and proves them again.
//
// It knows no etcd: whoever uses it brings what saves and what proves a file
// ([Source], [Prover], [Rehearser]).
package snapshot
