package catalog

import (
	"fmt"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// The lifecycle of an API version as its Go type tells it.
type (
	removedType  interface{ APILifecycleRemoved() (major, minor int) }
	replacedType interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}
)

// otherwise are the rows that differ from the Go types, each with its reason. A
// row that agrees again must go from here.
var otherwise = map[string]string{
	"apps/v1beta1 DeploymentRollback":       "a request, not an object that anyone keeps",
	"apps/v1beta1 Scale":                    "a view of another object",
	"apps/v1beta2 Scale":                    "a view of another object",
	"extensions/v1beta1 DeploymentRollback": "a request, not an object that anyone keeps",
	"extensions/v1beta1 Scale":              "a view of another object",
}

// TestRemovedAPIsAgainstTypes compares the table with k8s.io/api in both
// directions, as far as types with a lifecycle still exist.
func TestRemovedAPIsAgainstTypes(t *testing.T) {
	c := load(t)
	checked := 0
	for gvk := range scheme.Scheme.AllKnownTypes() {
		object, err := scheme.Scheme.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		life, ok := object.(removedType)
		if !ok || isList(gvk.Kind) {
			continue
		}
		checked++
		major, minor := life.APILifecycleRemoved()
		want := cluster.Minor{Major: uint64(major), Minor: uint64(minor)} //nolint:gosec // the types say 1 and small numbers
		row, found := c.RemovedKind(gvk.GroupVersion().String(), gvk.Kind)
		difference := ""
		switch {
		case !found:
			difference = "has no row, and is removed in " + want.String()
		case row.In != want:
			difference = fmt.Sprintf("is removed in %s by the row and in %s by the type", row.In, want)
		default:
			if r, ok := object.(replacedType); ok {
				if to := r.APILifecycleReplacement().GroupVersion().String(); row.Replacement != to {
					difference = fmt.Sprintf("is replaced by %q by the row and by %q by the type", row.Replacement, to)
				}
			}
		}
		name := gvk.GroupVersion().String() + " " + gvk.Kind
		_, excused := otherwise[name]
		switch {
		case difference != "" && !excused:
			t.Errorf("%s %s", name, difference)
		case difference == "" && excused:
			t.Errorf("%s agrees with its type; remove it from the list of differences", name)
		}
	}
	if checked < 50 {
		t.Errorf("only %d types tell their lifecycle; is the scheme still complete?", checked)
	}
}

func isList(kind string) bool { return len(kind) > 4 && kind[len(kind)-4:] == "List" }
