package hollow

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

const kubernetesDir = "/etc/kubernetes"

// expiries gives when each of kubeadm's certificates on a host expires, by the
// name of its file below /etc/kubernetes. CAs are left out: nothing renews them.
func expiries(f *vfs.FS) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for _, dir := range []string{"", "pki", "pki/etcd"} {
		entries, err := f.ReadDir(path.Join(kubernetesDir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			end, err := expiry(f, path.Join(kubernetesDir, name))
			if err != nil {
				return nil, fmt.Errorf("certificate %s: %w", name, err)
			}
			if !end.IsZero() {
				out[name] = end
			}
		}
	}
	return out, nil
}

// expiry gives the zero time for a file that holds no certificate of a client or
// server.
func expiry(f *vfs.FS, file string) (time.Time, error) {
	switch path.Ext(file) {
	case ".crt":
		if strings.HasSuffix(file, "ca.crt") {
			return time.Time{}, nil
		}
	case ".conf":
	default:
		return time.Time{}, nil
	}
	content, err := f.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	if path.Ext(file) == ".conf" {
		if content, err = clientCertificate(content); err != nil || content == nil {
			return time.Time{}, err
		}
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return time.Time{}, errors.New("not in PEM form")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// clientCertificate is the one inside a kubeconfig; nil when it is elsewhere.
func clientCertificate(kubeconfig []byte) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, err
	}
	for _, user := range config.AuthInfos {
		return user.ClientCertificateData, nil
	}
	return nil, nil
}

// later names what expires later than it did before.
func later(now, before map[string]time.Time) []string {
	var out []string
	for name, end := range now {
		if end.After(before[name]) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
