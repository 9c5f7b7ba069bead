// Package boltpage reads the pages of a bbolt database, etcd's file format, with
// bounds checked and without mapping the file into memory.
//
// The library, go.etcd.io/bbolt, maps the file as a whole. What was read of it then
// counts as the process's own memory, and on damaged pages it panics in goroutines of
// its own, or faults. Here a damaged page is an error, and memory does not grow with
// the file. The format is that of
// https://github.com/etcd-io/bbolt/tree/v1.5.0/internal/common.
package boltpage
