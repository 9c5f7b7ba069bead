package cluster

// Placement is which pods run where, and what decides where they may run.
type Placement struct{}
