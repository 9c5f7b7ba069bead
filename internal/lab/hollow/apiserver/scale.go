package apiserver

import (
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func (c *call) getScale() (reply, error) {
	r, err := c.store.get(c.resource.GroupVersionResource, c.namespace, c.name)
	if err != nil {
		return reply{}, err
	}
	scale, err := scaleOf(r.object)
	return reply{http.StatusOK, scale}, err
}

// changeScale sets how many replicas are wanted.
func (c *call) changeScale() (reply, error) {
	change, err := c.scaleChange()
	if err != nil {
		return reply{}, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	t, err := c.store.table(c.resource.GroupVersionResource)
	if err != nil {
		return reply{}, err
	}
	r, err := c.store.change(t, c.namespace, c.name, c.writing(false, "Update"), func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		wanted, err := change(old)
		if err != nil {
			return nil, err
		}
		o := old.DeepCopy()
		o.SetResourceVersion(wanted.ResourceVersion)
		return o, unstructured.SetNestedField(o.Object, int64(wanted.Spec.Replicas), "spec", "replicas")
	})
	if err != nil {
		return reply{}, err
	}
	scale, err := scaleOf(r.object)
	return reply{http.StatusOK, scale}, err
}

// scaleChange reads what the client makes of an object's scale.
func (c *call) scaleChange() (func(*unstructured.Unstructured) (*autoscalingv1.Scale, error), error) {
	if c.r.Method == http.MethodPut {
		o, err := c.sent()
		if err != nil {
			return nil, err
		}
		return func(*unstructured.Unstructured) (*autoscalingv1.Scale, error) { return readScale(o) }, nil
	}
	raw, media, err := c.body()
	if err != nil {
		return nil, err
	}
	kind := &resource{GroupVersionResource: autoscalingv1.SchemeGroupVersion.WithResource("scales"), kind: "Scale"}
	return func(old *unstructured.Unstructured) (*autoscalingv1.Scale, error) {
		scale, err := scaleOf(old)
		if err != nil {
			return nil, err
		}
		before, err := untyped(scale, kind.gvk())
		if err != nil {
			return nil, err
		}
		content, err := patched(kind, before, raw, types.PatchType(media))
		if err != nil {
			return nil, err
		}
		return readScale(&unstructured.Unstructured{Object: content})
	}, nil
}

func readScale(o *unstructured.Unstructured) (*autoscalingv1.Scale, error) {
	scale, err := As[autoscalingv1.Scale](o)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return scale, nil
}

// scaleOf is how many replicas an object wants and has.
func scaleOf(o *unstructured.Unstructured) (*autoscalingv1.Scale, error) {
	type scalable struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Replicas int32                 `json:"replicas"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
		Status struct {
			Replicas int32 `json:"replicas"`
		} `json:"status"`
	}
	s, err := As[scalable](o)
	if err != nil {
		return nil, err
	}
	out := &autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{Kind: "Scale", APIVersion: "autoscaling/v1"}}
	out.Name, out.Namespace, out.UID, out.ResourceVersion, out.CreationTimestamp = s.Name, s.Namespace, s.UID, s.ResourceVersion, s.CreationTimestamp
	out.Spec.Replicas, out.Status.Replicas = s.Spec.Replicas, s.Status.Replicas
	out.Status.Selector = metav1.FormatLabelSelector(s.Spec.Selector)
	return out, nil
}
