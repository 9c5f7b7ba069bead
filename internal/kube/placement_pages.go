package kube

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// eachPage hands over every page of a collection and keeps none. When the server
// has forgotten the revision the first page was read at, it offers to go on at
// the present one, which may miss or repeat what moved in between; a server that
// does not offer it is asked from the start, after again has dropped what was
// taken (nil: taking something twice does no harm).
func eachPage[L page](ctx context.Context, get func(context.Context, metav1.ListOptions) (L, error), take func(L) error, again func()) error {
	o := metav1.ListOptions{Limit: pageSize}
	for restarts := 0; ; {
		list, err := get(ctx, o)
		if o.Continue != "" && apierrors.IsResourceExpired(err) && restarts < maxFailures {
			restarts++
			if o.Continue = inconsistent(err); o.Continue == "" && again != nil {
				again()
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := take(list); err != nil {
			return err
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// inconsistent is the token a server gives with "the continue token is too old".
func inconsistent(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Continue
	}
	return ""
}

// intern numbers equal values, by the hash of their JSON form.
type intern map[[sha256.Size]byte]int32

func (in intern) index(v any) (index int32, isNew bool) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("kube: a placement is plain data: " + err.Error())
	}
	key := sha256.Sum256(raw)
	index, known := in[key]
	if !known {
		index = int32(len(in))
		in[key] = index
	}
	return index, !known
}
