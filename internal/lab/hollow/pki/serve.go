package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path"
	"sync"
)

// ServerTLS gives the API server of a host its TLS: the certificate is read from
// the host's files at each handshake, so that a renewed one is served at once, and
// clients may show one of the cluster's CA. One that shows none gets in; whether
// it may do anything is for the server to say.
func ServerTLS(files Files) (*tls.Config, error) {
	ca, err := files.ReadFile(path.Join(pkiDir, clusterCA+".crt"))
	if err != nil {
		return nil, fmt.Errorf("pki: the API server's client CA: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("pki: %s/%s.crt holds no certificate", pkiDir, clusterCA)
	}
	s := &serving{files: files}
	if _, err := s.certificate(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: s.certificate,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
	}, nil
}

// serving keeps the parsed certificate for as long as its files stay the same.
type serving struct {
	files Files

	mu        sync.Mutex
	cert, key []byte
	parsed    *tls.Certificate
}

func (s *serving) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := s.files.ReadFile(path.Join(pkiDir, "apiserver.crt"))
	if err != nil {
		return nil, fmt.Errorf("pki: the API server's certificate: %w", err)
	}
	key, err := s.files.ReadFile(path.Join(pkiDir, "apiserver.key"))
	if err != nil {
		return nil, fmt.Errorf("pki: the API server's key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed != nil && bytes.Equal(cert, s.cert) && bytes.Equal(key, s.key) {
		return s.parsed, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		if s.parsed != nil { // the two are being written at this moment
			return s.parsed, nil
		}
		return nil, fmt.Errorf("pki: the API server's certificate: %w", err)
	}
	s.cert, s.key, s.parsed = cert, key, &pair
	return s.parsed, nil
}
