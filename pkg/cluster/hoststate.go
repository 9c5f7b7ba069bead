package cluster

// HostState is what an upgrade depends on of a machine and its system.
type HostState struct{}
