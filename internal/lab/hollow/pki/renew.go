package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// Renew renews the named certificates of a host as kubeadm does: each keeps its
// subject, names and usages, gets a new key, and is signed by the CA whose key
// lies on the host. It gives the names that were renewed. What is not there, and
// what a CA signs whose key is kept elsewhere, is left as it is: that is no
// error, as it is none for kubeadm.
func (a *Authority) Renew(files Files, names ...string) ([]string, error) {
	end := a.expiry(renewedFor)
	var renewed []string
	for _, name := range names {
		it, ok := itemNamed(name)
		if !ok {
			return renewed, fmt.Errorf("pki: kubeadm knows no certificate %q", name)
		}
		done, err := renew(files, it, end)
		if err != nil {
			return renewed, fmt.Errorf("pki: renew %s: %w", name, err)
		}
		if done {
			renewed = append(renewed, name)
		}
	}
	return renewed, nil
}

// renew tells whether it did anything.
func renew(files Files, it item, end time.Time) (bool, error) {
	ca, err := readPair(files, it.ca)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // the CA is external
	}
	if err != nil {
		return false, fmt.Errorf("CA %s: %w", it.ca, err)
	}
	if it.kubeconfig {
		err = renewKubeconfig(files, ca, path.Join(kubernetesDir, it.file), end)
	} else {
		err = renewFiles(files, ca, it.file, end)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func renewFiles(files Files, ca pair, name string, end time.Time) error {
	content, err := files.ReadFile(path.Join(pkiDir, name+".crt"))
	if err != nil {
		return err
	}
	made, err := again(ca, content, end)
	if err != nil {
		return err
	}
	return made.write(files, name)
}

func renewKubeconfig(files Files, ca pair, name string, end time.Time) error {
	content, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	config, user, err := identityIn(content)
	if err != nil {
		return err
	}
	made, err := again(ca, user.ClientCertificateData, end)
	if err != nil {
		return err
	}
	key, err := encodeKey(made.key)
	if err != nil {
		return err
	}
	user.ClientCertificateData, user.ClientKeyData = encodeCert(made.cert), key
	if content, err = clientcmd.Write(*config); err != nil {
		return err
	}
	return files.WriteFile(name, content, 0o600)
}

// again issues what the old certificate says, until another end.
func again(ca pair, old []byte, end time.Time) (pair, error) {
	was, err := decodeCert(old)
	if err != nil {
		return pair{}, err
	}
	if !end.After(was.NotAfter) { // it was made elsewhere, for longer
		end = was.NotAfter.Add(time.Second)
	}
	return ca.issue(request{
		subject: was.Subject, dns: was.DNSNames, ips: was.IPAddresses,
		usages: append([]x509.ExtKeyUsage(nil), was.ExtKeyUsage...), notAfter: end,
	})
}

func readPair(files Files, name string) (pair, error) {
	cert, err := files.ReadFile(path.Join(pkiDir, name+".crt"))
	if err != nil {
		return pair{}, err
	}
	key, err := files.ReadFile(path.Join(pkiDir, name+".key"))
	if err != nil {
		return pair{}, err
	}
	return decodePair(cert, key)
}
