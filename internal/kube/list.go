package kube

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pageSize is how many objects one List asks for.
const pageSize = 500

// page is a typed list.
type page interface{ GetContinue() string }

// all lists every page of a collection. When the server has forgotten the
// revision the first page was read at, the list starts again in one piece.
func all[L page, T any](ctx context.Context, o metav1.ListOptions, get func(context.Context, metav1.ListOptions) (L, error), items func(L) []T) ([]T, error) {
	o.Limit = pageSize
	var out []T
	for {
		list, err := get(ctx, o)
		if o.Continue != "" && apierrors.IsResourceExpired(err) {
			out, o.Continue, o.Limit = nil, "", 0
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, items(list)...)
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return out, nil
		}
	}
}
