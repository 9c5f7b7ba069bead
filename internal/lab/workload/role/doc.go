// Package role is what the one image of the sample workload can be: a web
// server that shuts down gracefully, an admission webhook, a prober, a sleeper.
//
// It imports the standard library and package probe only, so that the image is
// one small static binary.
package role
