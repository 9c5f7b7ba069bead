package apiserver

import (
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func (c *call) patch(status bool) (reply, error) {
	raw, kind, err := c.body()
	if err != nil {
		return reply{}, err
	}
	operation := "Update"
	if types.PatchType(kind) == types.ApplyPatchType {
		operation = "Apply"
		if c.query("fieldManager") == "" {
			return reply{}, apierrors.NewBadRequest("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
		}
	}
	code := http.StatusOK
	return c.writeCode(&code, func(t *table) (*record, error) {
		w := c.writing(status, operation)
		if t.records[key(c.namespace, c.name)] == nil && operation == "Apply" && !status {
			o, err := c.applied(raw)
			if err != nil {
				return nil, err
			}
			code = http.StatusCreated
			return c.store.create(t, o, w)
		}
		return c.store.change(t, c.namespace, c.name, w, func(old *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			content, err := patched(t.resource, old, raw, types.PatchType(kind))
			return &unstructured.Unstructured{Object: content}, err
		})
	})
}

// writeCode is write where only doing it tells the code.
func (c *call) writeCode(code *int, do func(*table) (*record, error)) (reply, error) {
	r, err := c.write(0, do)
	r.code = *code
	return r, err
}

// applied is the object that an apply makes where there is none.
func (c *call) applied(raw []byte) (*unstructured.Unstructured, error) {
	content, err := parseObject(raw, mediaYAML)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: content}
	o.SetNamespace(c.namespace)
	if o.GetName() == "" {
		o.SetName(c.name)
	}
	return o, nil
}

// patched gives what the patch makes of the object, which stays as it is.
func patched(r *resource, old *unstructured.Unstructured, raw []byte, kind types.PatchType) (map[string]any, error) {
	if kind == types.JSONPatchType {
		return jsonPatched(old, raw)
	}
	media := mediaJSON
	if kind == types.ApplyPatchType {
		media = mediaYAML
	}
	patch, err := parseObject(raw, media)
	if err != nil {
		return nil, err
	}
	typed := r.empty()
	switch {
	case kind == types.MergePatchType, kind == types.ApplyPatchType && typed == nil:
		return merged(runtime.DeepCopyJSON(old.Object), patch), nil
	case kind == types.StrategicMergePatchType && typed == nil:
		return nil, unsupported(string(kind))
	case kind == types.StrategicMergePatchType, kind == types.ApplyPatchType:
		content, err := strategicpatch.StrategicMergeMapPatch(runtime.DeepCopyJSON(old.Object), patch, typed)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return content, nil
	}
	return nil, unsupported(string(kind))
}

func jsonPatched(old *unstructured.Unstructured, raw []byte) (map[string]any, error) {
	patch, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	before, err := old.MarshalJSON()
	if err != nil {
		return nil, err
	}
	after, err := patch.Apply(before)
	if err != nil {
		e := apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", emptyResource, "", "", 0, false)
		e.ErrStatus.Message = "the server rejected our request due to an error in our request: " + err.Error()
		return nil, e
	}
	var content map[string]any
	if err := json.Unmarshal(after, &content); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return content, nil
}

// merged changes an object by a merge patch (RFC 7386): null removes.
func merged(o, patch map[string]any) map[string]any {
	if o == nil {
		o = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(o, name)
		case map[string]any:
			before, _ := o[name].(map[string]any) //nolint:errcheck // what is no object is replaced
			o[name] = merged(before, value)
		default:
			o[name] = value
		}
	}
	return o
}
