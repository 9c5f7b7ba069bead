package cli

import (
	"os"
	"runtime/debug"
)

// Memory is there on the machine of an operator, and time is not: the collector may
// wait until there is much garbage. What that comes to is what make bench measures.
const (
	garbagePercent = 400
	// memoryTarget is the size, in bytes, from which on it waits no longer.
	memoryTarget = 320 << 20
)

// tuneMemory tells the collector so, unless the operator has told it something else.
// Source: https://pkg.go.dev/runtime#hdr-Environment_Variables
func tuneMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(garbagePercent)
		debug.SetMemoryLimit(memoryTarget)
	}
}
