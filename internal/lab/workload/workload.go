package workload

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// What the rest of the lab needs to know of the manifests.
const (
	// Image is what every container runs; nodes get it imported, nobody pulls it.
	Image = "registry.k8s.io/kup-lab/workload:1"
	// Namespace holds everything but the CRD and the webhook's configuration.
	Namespace = "shop"
	// WebNodePort is where the web Deployment answers on every node.
	WebNodePort = 30080
	// ProbeLabel selects the pods of the prober; CountersPort is theirs.
	ProbeLabel   = "app=probe"
	CountersPort = 8081
	// CheckedConfigMap cannot be written while the webhook is unavailable.
	CheckedConfigMap = "checked"
	// ProbeLease is there to be written by the API prober.
	ProbeLease = "api-probe"
	// CanaryConfigMap carries the canary annotation.
	CanaryConfigMap = "settings"
)

//go:embed manifests
var manifests embed.FS

// Params is what differs from one deployment to the next.
type Params struct {
	// TolerateControlPlane lets the servers run on control-plane nodes: needed
	// where there is only one worker, which is drained too.
	TolerateControlPlane bool
	// ProbePeriod is the time between two requests of each in-cluster prober on
	// new connections.
	ProbePeriod time.Duration
	// CanarySecret and CanaryAnnotation are values to look for later.
	CanarySecret, CanaryAnnotation string
	// Cert serves the webhook; see [NewCert].
	Cert Cert
}

// Phase is a set of objects that must be ready before the next one is created.
type Phase struct {
	Name    string
	Objects []*unstructured.Unstructured
}

// Phases renders the manifests.
func Phases(p Params) ([]Phase, error) {
	files, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return nil, err
	}
	data := map[string]any{
		"Image": Image, "WebNodePort": strconv.Itoa(WebNodePort),
		"TolerateControlPlane": p.TolerateControlPlane, "ProbePeriod": p.ProbePeriod.String(),
		"CanarySecret": p.CanarySecret, "CanaryAnnotation": p.CanaryAnnotation,
		"CABundle":    base64.StdEncoding.EncodeToString(p.Cert.CA),
		"CertDigest":  digest(p.Cert.Cert),
		"ServingCert": string(p.Cert.Cert), "ServingKey": string(p.Cert.Key),
		"Items": []string{"tea", "bread", "string", "candles", "a very long rope"},
	}
	var out []Phase
	for _, file := range files {
		t, err := template.New(file).Funcs(template.FuncMap{
			"quote": strconv.Quote,
			"add":   func(a, b int) int { return a + b },
		}).ParseFS(manifests, file, "manifests/shared.tmpl")
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, file[len("manifests/"):], data); err != nil {
			return nil, err
		}
		objects, err := decode(&b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, Phase{Name: file[len("manifests/"):], Objects: objects})
	}
	return out, nil
}

// digest makes the webhook's pods follow their certificate.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	d := yaml.NewYAMLOrJSONDecoder(r, 4096)
	var out []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}
