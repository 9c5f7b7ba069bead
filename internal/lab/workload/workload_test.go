package workload

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func params(t *testing.T, tolerate bool) Params {
	t.Helper()
	cert, err := NewCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return Params{
		TolerateControlPlane: tolerate, ProbePeriod: 200 * time.Millisecond,
		CanarySecret: `quo"ted`, CanaryAnnotation: "{curly}", Cert: cert,
	}
}

func find(t *testing.T, phases []Phase, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, p := range phases {
		for _, o := range p.Objects {
			if o.GetKind() == kind && o.GetName() == name {
				return o
			}
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

func TestPhases(t *testing.T) {
	phases, err := Phases(params(t, false))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range phases {
		names = append(names, p.Name)
		for _, o := range p.Objects {
			if o.GetAPIVersion() == "" || o.GetKind() == "" || o.GetName() == "" {
				t.Errorf("%s: incomplete object %v", p.Name, o.Object)
			}
		}
	}
	want := []string{"10-base.yaml", "20-web.yaml", "30-agents.yaml", "40-webhook.yaml", "50-objects.yaml"}
	if !slices.Equal(names, want) {
		t.Errorf("phases %v, want %v", names, want)
	}
	secret := find(t, phases, "Secret", "canary")
	if v, _, _ := unstructured.NestedString(secret.Object, "stringData", "password"); v != `quo"ted` {
		t.Errorf("canary secret is %q", v)
	}
	find(t, phases, "Order", "order-4")
}

func TestTolerations(t *testing.T) {
	for _, tolerate := range []bool{false, true} {
		phases, err := Phases(params(t, tolerate))
		if err != nil {
			t.Fatal(err)
		}
		for kind, names := range map[string][]string{
			"Deployment": {"web", "lonely", "webhook"}, "StatefulSet": {"ledger"},
		} {
			for _, name := range names {
				o := find(t, phases, kind, name)
				_, found, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "tolerations")
				if found != tolerate || err != nil {
					t.Errorf("%s %s: tolerations %v (%v), want %v", kind, name, found, err, tolerate)
				}
				containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
				c, _ := containers[0].(map[string]any)
				if c["securityContext"] == nil || c["resources"] == nil {
					t.Errorf("%s %s: container lacks its security context or resources", kind, name)
				}
			}
		}
		job := find(t, phases, "CronJob", "tidy")
		_, found, err := unstructured.NestedSlice(job.Object, "spec", "jobTemplate", "spec", "template", "spec", "tolerations")
		if found != tolerate || err != nil {
			t.Errorf("CronJob: tolerations %v (%v), want %v", found, err, tolerate)
		}
	}
}

func TestCert(t *testing.T) {
	c, err := NewCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		t.Fatal("the authority is not PEM")
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "webhook.shop.svc", Roots: pool}); err != nil {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	deployment := func(generation, observed, available, updated int64) map[string]any {
		return map[string]any{
			"kind": "Deployment", "metadata": map[string]any{"generation": generation},
			"spec":   map[string]any{"replicas": int64(2)},
			"status": map[string]any{"observedGeneration": observed, "availableReplicas": available, "updatedReplicas": updated, "replicas": max(available, updated)},
		}
	}
	for name, tt := range map[string]struct {
		object map[string]any
		want   string
	}{
		"ready":          {deployment(1, 1, 2, 2), ""},
		"one":            {deployment(1, 1, 1, 2), "1 of 2 ready"},
		"rolling":        {deployment(2, 2, 2, 1), "1 of 2 ready"},
		"not yet over":   {deployment(2, 2, 3, 2), "3 pods where 2 are wanted"},
		"not observed":   {deployment(2, 1, 2, 2), "not observed yet"},
		"empty set":      {map[string]any{"kind": "DaemonSet"}, "not scheduled yet"},
		"new definition": {map[string]any{"kind": "CustomResourceDefinition"}, "not established yet"},
		"data":           {map[string]any{"kind": "ConfigMap"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Missing(&unstructured.Unstructured{Object: tt.object}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
