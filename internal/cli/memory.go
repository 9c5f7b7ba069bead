package cli

import (
	"os"
	"runtime/debug"
)

// A plan of a thousand nodes has some 70 MiB in use. Memory is there on the machine of
// an operator, and time is not: the collector may wait until there is much garbage.
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
