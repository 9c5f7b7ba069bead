// Package sshd is the SSH server of one modelled host. It speaks the real protocol
// over a real connection; what a command does is the business of the [Machine]
// behind it, so nothing that a client sends reaches this computer.
//
// It does what OpenSSH's server does where kup can tell the difference: a command
// outlives the connection it came over and sees its end in its pipes only, ten
// sessions share a connection, unknown requests are refused, keepalives among them
// (which answers them). Besides, the server breaks in the ways that networks do,
// when asked: [Server.CutNow], [Server.CutOn], [Server.Delay], [Server.Hang],
// [Server.Refuse], [Server.Restore].
//
// A host behind a bastion is a server that listens nowhere (Config.Unlisted): its
// address means something to the bastion's Machine.Dial only, which reaches it
// through [Server.Connect]. Nobody can go past the bastion by mistake.
//
// The package knows no shell but for [Sudo], and has no password or certificate
// login.
package sshd
