package role

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

const maxReview = 4 << 20

func webhook(ctx context.Context, getenv func(string) string) error {
	cert, err := tls.LoadX509KeyPair(
		orDefault(getenv("TLS_CERT"), "/tls/tls.crt"), orDefault(getenv("TLS_KEY"), "/tls/tls.key"))
	if err != nil {
		return fmt.Errorf("webhook: serving certificate: %w", err)
	}
	linger, err := duration(getenv, "LINGER", defaultLinger)
	if err != nil {
		return err
	}
	s := &server{
		linger:  linger,
		handler: http.HandlerFunc(review),
		tls:     &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	return s.run(ctx, orDefault(getenv("LISTEN"), ":8443"))
}

// admissionReview is the part of admission.k8s.io/v1 the webhook needs.
type admissionReview struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Request    *admissionRequest  `json:"request,omitempty"`
	Response   *admissionResponse `json:"response,omitempty"`
}

type admissionRequest struct {
	UID string `json:"uid"`
}

type admissionResponse struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
}

// review allows everything: the webhook is there to be needed, not to judge.
func review(w http.ResponseWriter, r *http.Request) {
	var in admissionReview
	if err := json.NewDecoder(io.LimitReader(r.Body, maxReview)).Decode(&in); err != nil || in.Request == nil {
		http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
		return
	}
	out := admissionReview{
		APIVersion: in.APIVersion, Kind: in.Kind,
		Response: &admissionResponse{UID: in.Request.UID, Allowed: true},
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}
