// Package verify holds the catalog against Kubernetes itself. For every minor it
// compiles, from the Go module k8s.io/kubernetes and nothing else,
//
//   - a program that prints which versions and kinds that minor's API servers
//     can decode, from which the catalog's rows are generated, and
//   - kubeadm, whose own flag parsing must take every command line the catalog
//     has for the minor.
//
// What was built is kept beside the lab's other artifacts, named after the hash
// of its recipe. The first run takes hours, later ones seconds.
package verify
