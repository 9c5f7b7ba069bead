package apiserver

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selector is which objects of a resource are asked for.
type selector struct {
	namespace string
	labels    labels.Selector
	fields    fields.Selector
}

// newSelector reads the selectors of a request.
func newSelector(r *resource, namespace, labelSelector, fieldSelector string) (selector, error) {
	s := selector{namespace: namespace}
	var err error
	if s.labels, err = labels.Parse(labelSelector); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse label selector: %v", err))
	}
	if s.fields, err = fields.ParseSelector(fieldSelector); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse field selector: %v", err))
	}
	for _, want := range s.fields.Requirements() {
		if want.Field != "metadata.name" && want.Field != "metadata.namespace" && !slices.Contains(r.fields, want.Field) {
			return s, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", want.Field))
		}
	}
	return s, nil
}

// matches tells whether the object is asked for; nil never is.
func (s selector) matches(r *record) bool {
	if r == nil || s.namespace != "" && r.object.GetNamespace() != s.namespace {
		return false
	}
	if !s.labels.Empty() && !s.labels.Matches(labels.Set(r.object.GetLabels())) {
		return false
	}
	return s.fields.Empty() || s.fields.Matches(fieldsOf{r.object})
}

// fieldsOf offers an object's fields by their paths.
type fieldsOf struct{ object *unstructured.Unstructured }

// Has implements [fields.Fields].
func (f fieldsOf) Has(string) bool { return true }

// Get implements [fields.Fields]. What is not there is empty.
func (f fieldsOf) Get(path string) string {
	if path == "source" { // of an event: its component
		path = "source.component"
	}
	value, found, err := unstructured.NestedFieldNoCopy(f.object.Object, strings.Split(path, ".")...)
	if err != nil || !found {
		if path == "spec.unschedulable" || path == "spec.hostNetwork" {
			return "false"
		}
		return ""
	}
	return fmt.Sprint(value)
}

func (s selector) choose(records []*record) []*record {
	out := records[:0:0]
	for _, r := range records {
		if s.matches(r) {
			out = append(out, r)
		}
	}
	return out
}
