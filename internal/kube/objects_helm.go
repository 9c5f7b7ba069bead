package kube

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kup-project/kup/pkg/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	// helmDeployed selects the revisions that a helm upgrade starts from.
	// Source: https://github.com/helm/helm/blob/v3.17.0/pkg/storage/driver/secrets.go
	helmDeployed = "owner=helm,status=deployed"
	helmSecrets  = "type=helm.sh/release.v1"
	// maxRelease bounds one unpacked release: packed, it is in one object of at
	// most a megabyte.
	maxRelease = 32 << 20
)

// releases reads the deployed revision of each Helm release, from Secrets and from
// ConfigMaps. Of its manifest nothing but versions, kinds and names is kept.
func (r *objectReader) releases(ctx context.Context) error {
	newest := map[string]cluster.Release{}
	corrupt := 0
	take := func(packed []byte) {
		release, err := unpackRelease(packed)
		if err != nil {
			corrupt++
			return
		}
		key := release.Namespace + "/" + release.Name
		if newest[key].Revision < release.Revision {
			newest[key] = release
		}
	}
	core := r.client.clientset.CoreV1()
	_, secrets := collect(ctx, r, metav1.ListOptions{LabelSelector: helmDeployed, FieldSelector: helmSecrets, Limit: helmPage}, core.Secrets(metav1.NamespaceAll).List,
		func(l *corev1.SecretList) []struct{} {
			for i := range l.Items {
				take(l.Items[i].Data["release"])
			}
			return nil
		})
	_, maps := collect(ctx, r, metav1.ListOptions{LabelSelector: helmDeployed, Limit: helmPage}, core.ConfigMaps(metav1.NamespaceAll).List,
		func(l *corev1.ConfigMapList) []struct{} {
			for i := range l.Items {
				take([]byte(l.Items[i].Data["release"]))
			}
			return nil
		})
	r.keep(func(o *cluster.Objects) {
		for _, release := range newest {
			o.Releases = append(o.Releases, release)
		}
	})
	var unreadable error
	if corrupt > 0 {
		unreadable = fmt.Errorf("%d of them could not be unpacked", corrupt)
	}
	return errors.Join(named("Secrets of Helm", secrets), named("ConfigMaps of Helm", maps), unreadable)
}

// unpackRelease reads what Helm stores: base64 of JSON, with gzip between since
// Helm 2.
func unpackRelease(packed []byte) (cluster.Release, error) {
	raw, err := base64.StdEncoding.DecodeString(string(packed))
	if err != nil {
		return cluster.Release{}, fmt.Errorf("a Helm release: %w", err)
	}
	var in io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		if in, err = gzip.NewReader(in); err != nil {
			return cluster.Release{}, fmt.Errorf("a Helm release: %w", err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(in, maxRelease+1))
	if err != nil {
		return cluster.Release{}, fmt.Errorf("a Helm release: %w", err)
	}
	if len(text) > maxRelease {
		return cluster.Release{}, fmt.Errorf("a Helm release: it unpacks to more than %d bytes", maxRelease)
	}
	var stored struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Version   int    `json:"version"`
		Manifest  string `json:"manifest"`
		Chart     struct {
			Metadata struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"metadata"`
		} `json:"chart"`
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		return cluster.Release{}, errors.New("a Helm release: not the JSON of one") // the error may quote a secret
	}
	out := cluster.Release{Namespace: stored.Namespace, Name: stored.Name, Revision: stored.Version}
	if chart := stored.Chart.Metadata; chart.Name != "" {
		out.Chart = chart.Name + "-" + chart.Version
	}
	out.Objects = provisionalObjects(stored.Manifest)
	return out, nil
}

// maybeProvisional is false for a document that names no alpha or beta version however
// it is read: most of them, which need not be parsed. A backslash may spell anything.
func maybeProvisional(document []byte) bool {
	return bytes.Contains(document, []byte("alpha")) || bytes.Contains(document, []byte("beta")) || bytes.IndexByte(document, '\\') >= 0
}

// provisionalObjects are those in an alpha or beta version. A document that is
// not YAML is passed over: Helm itself has applied the others.
func provisionalObjects(manifest string) []cluster.Manifest {
	var out []cluster.Manifest
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(manifest)))); ; {
		document, err := documents.Read()
		if err != nil {
			return out
		}
		if !maybeProvisional(document) {
			continue
		}
		var object metav1.PartialObjectMetadata
		if yaml.Unmarshal(document, &object) == nil && provisional(object.APIVersion) {
			out = append(out, cluster.Manifest{APIVersion: object.APIVersion, Kind: object.Kind, Namespace: object.Namespace, Name: object.Name})
		}
	}
}
