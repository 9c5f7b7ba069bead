package cluster

// Startup is what the components of one host are started with: flags, feature
// gates and the versions of their configuration files, never values that may be
// secret.
type Startup struct{}
