package cluster

// Objects is what the API's objects say about the API versions they are written
// in, about admission, and about add-ons.
type Objects struct{}
