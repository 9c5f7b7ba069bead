// Package cli is the command line: flags, wiring, confirmation, exit codes. It
// is the only package where all sides meet: it opens hosts, the API and etcd,
// hands them to the survey, the runners and the gates as the small interfaces
// those declare, and turns errors into an exit code and a hint.
//
// Nothing is decided here: what to check is preflight's, what to do the
// planner's, how to walk it the engine's, how it reads the report's.
package cli
