package apiserver

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	authorization  = schema.GroupVersion{Group: "authorization.k8s.io", Version: "v1"}
	authentication = schema.GroupVersion{Group: "authentication.k8s.io", Version: "v1"}
)

// reviews are the resources that only answer a question, with their kinds.
var reviews = map[schema.GroupVersionResource]string{
	authorization.WithResource("selfsubjectaccessreviews"): "SelfSubjectAccessReview",
	authentication.WithResource("selfsubjectreviews"):      "SelfSubjectReview",
}

// review answers who the client is, and that it may do everything.
func (c *call) review(gvk schema.GroupVersionKind) (reply, error) {
	if c.r.Method != http.MethodPost {
		return reply{}, apierrors.NewMethodNotSupported(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, c.r.Method)
	}
	o, err := c.sent()
	if err != nil {
		return reply{}, err
	}
	o.SetGroupVersionKind(gvk)
	if gvk.Group == authorization.Group {
		o.Object["status"] = map[string]any{"allowed": true, "reason": "clients of a hollow cluster may do everything"}
	} else {
		groups := make([]any, len(c.user.groups))
		for i, g := range c.user.groups {
			groups[i] = g
		}
		o.Object["status"] = map[string]any{"userInfo": map[string]any{"username": c.user.name, "groups": groups}}
	}
	raw, err := o.MarshalJSON()
	return reply{http.StatusCreated, raw}, err
}
