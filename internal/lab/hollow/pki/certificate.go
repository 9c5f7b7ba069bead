package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// request is what a certificate is to say.
type request struct {
	subject  pkix.Name
	dns      []string
	ips      []net.IP
	usages   []x509.ExtKeyUsage
	notAfter time.Time
}

// issue makes a key and has the CA sign a certificate for it.
func (ca pair) issue(r request) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	return sign(&x509.Certificate{
		SerialNumber: serial, Subject: r.subject, DNSNames: r.dns, IPAddresses: r.ips,
		NotBefore: ca.cert.NotBefore, NotAfter: r.notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: r.usages,
		BasicConstraintsValid: true,
	}, key, ca)
}

func newCA(name string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(caLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		IsCA:     true, BasicConstraintsValid: true,
	}
	return sign(tmpl, key, pair{cert: tmpl, key: key})
}

func sign(tmpl *x509.Certificate, key *ecdsa.PrivateKey, ca pair) (pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
}

func encodeCert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func encodeKey(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func encodePublic(k *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// decodePair reads what encodeCert and encodeKey wrote; no certificate is no
// error.
func decodePair(cert, key []byte) (pair, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return pair{}, errors.New("the key is not in PEM form")
	}
	k, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil || len(cert) == 0 {
		return pair{key: k}, err
	}
	c, err := decodeCert(cert)
	if err == nil && !k.PublicKey.Equal(c.PublicKey) {
		err = fmt.Errorf("certificate %s is not for its key", c.Subject)
	}
	return pair{cert: c, key: k}, err
}

func decodeCert(cert []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(cert)
	if block == nil {
		return nil, errors.New("the certificate is not in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}
