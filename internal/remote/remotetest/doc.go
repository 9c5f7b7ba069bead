// Package remotetest holds the tests that every remote.Host must pass. A package
// with a Host runs them in its own tests; nothing else is here.
package remotetest
