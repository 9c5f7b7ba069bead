// Package depot serves what lab nodes fetch: signed apt repositories and
// container images, read-only, over plain HTTP on the lab's own network.
//
// Its handler uses the standard library only, because package artifact compiles
// the file anew, on its own, into the server that runs in the lab. It is not a
// general registry: nothing can be pushed, and content is not verified here but
// by its consumers (apt by signature, containerd by digest).
package depot

import _ "embed" // Source

// Source is the text of the handler, for the scratch module of the server.
//
//go:embed handler.go
var Source string
