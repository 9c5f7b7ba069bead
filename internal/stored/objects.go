package stored

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
)

// Object is one stored object, as far as comparing two copies of a store needs it.
type Object struct {
	// Path is where objects of its resource are kept: "configmaps",
	// "services/specs", "example.com/widgets".
	Path string
	// Resource is its kind and group, "Deployment.apps"; the path of an object whose
	// value cannot be read.
	Resource  string
	Namespace string
	Name      string
	// Sealed is true when the value is encrypted or cannot be read: only where it is
	// kept is known.
	Sealed bool
	// Written and Made are the revisions at which it was written last and first.
	Written, Made int64

	// Pod is what a pod says of itself; nil: it is no pod.
	Pod *Pod
	// Volume is the volume that a claim is bound to; empty: none, or no claim.
	Volume string

	meaning [sha256.Size]byte // what somebody asked for; see meaning
}

// Pod is a stored pod.
type Pod struct {
	UID   string
	Node  string // empty: it was not bound
	Phase string
	// Static is true of the mirror of a static pod: the kubelet made the object.
	Static bool
	// Leaving is true when its deletion was asked for.
	Leaving bool
	// Owner is the kind of its controller: "StatefulSet"; empty: none.
	Owner string
}

// Over tells whether the pod's containers ended for good.
func (p *Pod) Over() bool { return p.Phase == "Succeeded" || p.Phase == "Failed" }

// Objects calls visit for every object that lives in a copy of the store, from the one
// written last to the one written first, and gives the copy's newest revision. What is
// said of Read holds here too; prefix empty: /registry.
func Objects(ctx context.Context, file, prefix string, visit func(Object) error) (revision int64, err error) {
	r := newReader(prefix)
	r.take = func(key string, row row) error {
		o := describe(key, row.value)
		o.Written, o.Made = row.written, row.made
		return visit(o)
	}
	if err := r.open(ctx, file); err != nil {
		return 0, fmt.Errorf("read the objects in snapshot %s: %w", file, err)
	}
	return r.newest, nil
}

const (
	// PodPath is where pods are kept.
	PodPath   = "pods"
	claimPath = "persistentvolumeclaims"
)

// describe reads what comparing needs of an object. Nothing of it refers to value.
func describe(key string, value []byte) Object {
	path, rest := resource(key)
	o := Object{Path: path, Resource: path}
	o.Name = rest
	if namespace, name, found := strings.Cut(rest, "/"); found {
		o.Namespace, o.Name = namespace, name
	}
	o.meaning = sha256.Sum256(value)
	if encrypted(value) {
		o.Sealed = true
		return o
	}
	m, err := identify(value)
	if err != nil {
		o.Sealed = true
		return o
	}
	group, _ := m.split()
	if o.Resource = m.Kind; group != "" {
		o.Resource += "." + group
	}
	o.meaning = meaning(m, value)
	if err := o.detail(value); err != nil {
		o.Sealed = true
	}
	return o
}

// detail reads a pod and a claim.
func (o *Object) detail(value []byte) (err error) {
	if !bytes.HasPrefix(value, protobufMark) {
		return o.detailOther(value)
	}
	switch o.Path {
	case PodPath:
		o.Pod, err = podOf(value[len(protobufMark):])
	case claimPath:
		o.Volume, err = volumeOf(value[len(protobufMark):])
	}
	return err
}
