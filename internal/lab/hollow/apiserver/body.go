package apiserver

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	maxBody       = 3 << 20
	mediaProtobuf = "application/vnd.kubernetes.protobuf"
	mediaJSON     = "application/json"
	mediaYAML     = "application/yaml"
)

// body reads what the client sent, and its media type.
func (c *call) body() ([]byte, string, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, "", apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	if err != nil {
		return nil, "", apierrors.NewBadRequest(err.Error())
	}
	kind := c.r.Header.Get("Content-Type")
	if kind == "" {
		return raw, mediaJSON, nil
	}
	kind, _, err = mime.ParseMediaType(kind)
	if err != nil {
		return nil, "", apierrors.NewBadRequest(err.Error())
	}
	return raw, kind, nil
}

// sent reads the object that the client sent.
func (c *call) sent() (*unstructured.Unstructured, error) {
	raw, kind, err := c.body()
	if err != nil {
		return nil, err
	}
	switch kind {
	case mediaJSON, mediaYAML:
		content, err := parseObject(raw, kind)
		return &unstructured.Unstructured{Object: content}, err
	case mediaProtobuf:
		o, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return untyped(o, *gvk)
	}
	return nil, unsupported(kind)
}

func parseObject(raw []byte, kind string) (map[string]any, error) {
	if kind != mediaJSON {
		var err error
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, apierrors.NewBadRequest("the object provided is unrecognized: " + err.Error())
	}
	if content == nil {
		return nil, apierrors.NewBadRequest("the object provided is unrecognized: it is empty")
	}
	return content, nil
}

func unsupported(kind string) error {
	e := apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "", emptyResource, "", "", 0, false)
	e.ErrStatus.Message = fmt.Sprintf("the body of the request was in an unknown format - %q is not accepted", kind)
	return e
}

// deleteOptions reads those of a deletion, from the body or from the query.
func (c *call) deleteOptions() (metav1.DeleteOptions, error) {
	var out metav1.DeleteOptions
	raw, kind, err := c.body()
	if err != nil {
		return out, err
	}
	if len(raw) == 0 {
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(new(c.r.URL.Query()), &out, nil); err != nil {
			return out, apierrors.NewBadRequest(err.Error())
		}
		if c.query("gracePeriodSeconds") == "" {
			out.GracePeriodSeconds = nil
		}
		return out, nil
	}
	if kind == mediaProtobuf {
		err = runtime.DecodeInto(scheme.Codecs.UniversalDeserializer(), raw, &out)
	} else {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return out, apierrors.NewBadRequest(err.Error())
	}
	out.DryRun = append(out.DryRun, c.r.URL.Query()["dryRun"]...)
	return out, nil
}

// dry tells whether nothing is to be stored.
func (c *call) dry() bool { return len(c.r.URL.Query()["dryRun"]) > 0 }
