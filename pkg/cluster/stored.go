package cluster

// Stored is which API versions and kinds the objects in etcd are stored as.
type Stored struct{}
