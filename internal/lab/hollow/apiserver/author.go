package apiserver

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// author is who writes over HTTP, as managedFields name them. Which fields are
// whose is not kept; when they last wrote is.
type author struct {
	manager, operation, subresource string
}

// sign notes in the object that and when the author wrote it.
func (a author) sign(o *unstructured.Unstructured) {
	if a.manager == "" {
		return
	}
	mark := map[string]any{
		"manager": a.manager, "operation": a.operation, "apiVersion": o.GetAPIVersion(), "time": now(),
		"fieldsType": "FieldsV1", "fieldsV1": map[string]any{},
	}
	if a.subresource != "" {
		mark["subresource"] = a.subresource
	}
	var marks []any
	old, _, _ := unstructured.NestedSlice(o.Object, "metadata", "managedFields") //nolint:errcheck // what is no list is empty
	for _, other := range old {
		if m, ok := other.(map[string]any); ok && m["manager"] == mark["manager"] && m["operation"] == mark["operation"] && m["subresource"] == mark["subresource"] {
			continue
		}
		marks = append(marks, other)
	}
	_ = unstructured.SetNestedSlice(o.Object, append(marks, mark), "metadata", "managedFields") // metadata is there: the object has a name
}
