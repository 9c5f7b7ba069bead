// Package manifest reads a directory of Kubernetes manifests as far as preflight
// judges them: the version, kind and name of each object, and where it is written.
// It renders no templates and contacts no cluster.
package manifest
