package apiserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusOf is how the API tells of an error.
func statusOf(err error) metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	if status.Status == "" {
		status.Status = metav1.StatusFailure
	}
	return status
}

// writeError answers with an error and gives its code. It sets no Retry-After:
// clients would wait that long by their own clock, which is not the cluster's.
func writeError(w http.ResponseWriter, err error) int {
	status := statusOf(err)
	code := int(status.Code)
	if code == 0 {
		code = http.StatusInternalServerError
	}
	writeJSON(w, code, status)
	return code
}

// writeJSON answers with a value, or with JSON as it is.
func writeJSON(w http.ResponseWriter, code int, body any) {
	raw, done := body.([]byte)
	if !done {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Cache-Control", "no-cache, private")
	write(w, code, mediaJSON, raw)
}

// write answers in one piece. When it returns the answer has left, so that a
// server that stops after it loses nothing.
func write(w http.ResponseWriter, code int, media string, raw []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(code)
	if _, err := w.Write(raw); err == nil { // a client that has gone does not want it
		_ = http.NewResponseController(w).Flush()
	}
}
