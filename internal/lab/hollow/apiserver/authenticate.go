package apiserver

import (
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// user is who a client's certificate says it is.
type user struct {
	name   string
	groups []string
	until  time.Time
}

// authenticator knows clients by their certificates.
type authenticator struct {
	authorities *x509.CertPool

	mu    sync.Mutex
	known map[string]user // by certificate
}

// user is who makes a request. Tokens and passwords are refused.
func (a *authenticator) user(r *http.Request) (user, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return user{}, apierrors.NewUnauthorized("Unauthorized")
	}
	cert := r.TLS.PeerCertificates[0]
	a.mu.Lock()
	defer a.mu.Unlock()
	u, known := a.known[string(cert.Raw)]
	if known && time.Now().Before(u.until) {
		return u, nil
	}
	between := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	chains, err := cert.Verify(x509.VerifyOptions{Roots: a.authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil || a.authorities == nil {
		return user{}, apierrors.NewUnauthorized("Unauthorized")
	}
	u = user{name: cert.Subject.CommonName, groups: append([]string{"system:authenticated"}, cert.Subject.Organization...), until: cert.NotAfter}
	for _, c := range chains[0] {
		if c.NotAfter.Before(u.until) {
			u.until = c.NotAfter
		}
	}
	a.known[string(cert.Raw)] = u
	return u, nil
}
