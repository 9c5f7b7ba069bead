package survey

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// Certificates reads the certificates that kubeadm renews on a control plane,
// by name. CAs, which it does not renew, are not among them, nor is the
// kubelet's own.
func Certificates(ctx context.Context, h remote.Host) ([]cluster.Certificate, error) {
	list, _, err := certificates(ctx, &visit{host: h})
	return list, err
}

// certificates also names the CAs whose keys are kept elsewhere.
func certificates(ctx context.Context, v *visit) ([]cluster.Certificate, map[string]bool, error) {
	output, err := v.script(ctx, "certificates", certificatesScript)
	if err != nil {
		return nil, nil, err
	}
	p := parts(output)
	external := map[string]bool{}
	for name, key := range p {
		if ca, found := strings.CutPrefix(name, "ca "); found && key == "absent" {
			external[ca] = true
		}
	}
	var out []cluster.Certificate
	for name, text := range p {
		file, found := strings.CutPrefix(name, "certificate ")
		if !found || text == "" { // a kubeconfig may refer to files instead
			continue
		}
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, nil, fmt.Errorf("%s: certificate %s is not in PEM form", v.host, file)
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: certificate %s: %w", v.host, file, err)
		}
		out = append(out, cluster.Certificate{Name: strings.ReplaceAll(file, "/", "-"), NotAfter: parsed.NotAfter.UTC(), External: external[signer(file)]})
	}
	slices.SortFunc(out, func(a, b cluster.Certificate) int { return strings.Compare(a.Name, b.Name) })
	return out, external, nil
}

// signer is the CA that kubeadm has sign a certificate.
func signer(file string) string {
	switch {
	case strings.HasPrefix(file, "etcd/"), file == "apiserver-etcd-client":
		return "etcd/ca"
	case file == "front-proxy-client":
		return "front-proxy-ca"
	}
	return "ca"
}
