// Package ssh reaches real hosts: it is remote.Host over SSH, with verified host
// keys, chained bastions, sudo and forwarded TCP connections, over one connection
// per host that is dialled when needed and again when it breaks.
//
// What OpenSSH would do with the same ~/.ssh is what happens here, for the
// settings that [ClientConfig] honours. Nothing that may have run is run again: a
// command whose reply was lost is a *remote.ConnectionError, and telling whether
// it ran is for package remote/detached. The package never asks anything on a
// terminal and never trusts a host key by itself.
package ssh
