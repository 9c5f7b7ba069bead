package cluster

// Scan is what preflight judges beyond [Facts]: observations too large for a
// plan, which is shared and compared. A nil part was not looked at; Unchecked
// says why.
type Scan struct {
	Startup    map[string]*Startup   // by node: what its components are started with
	HostStates map[string]*HostState // by node
	Placement  *Placement
	Objects    *Objects
	Stored     *Stored
	// Unchecked names what could not be observed and why, one sentence each.
	Unchecked []string
}
