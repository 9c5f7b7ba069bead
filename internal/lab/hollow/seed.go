package hollow

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/workload"
)

const podCIDR = "10.244.0.0/16"

//go:embed addons.yaml.tmpl
var addonsTemplate string

// sampleImages are the images of the sample workload.
func sampleImages() []string { return []string{workload.Image} }

// seed puts in the store what kubeadm init leaves there, and the sample workload.
func (c *Cluster) seed() error {
	config := manifest.NewConfig(c.layout.Name, c.layout.endpoint(), podCIDR, c.layout.Start)
	if err := machine.UploadConfig(c.store, config, c.layout.Start.Line()); err != nil {
		return err
	}
	minor, ok := c.known.Minor(c.layout.Start.Line())
	if !ok {
		return fmt.Errorf("images of %s: the catalog knows nothing of it", c.layout.Start)
	}
	addons, err := Addons(minor.Images(c.layout.Start, "", ""), podCIDR)
	if err != nil {
		return err
	}
	for _, o := range addons {
		if err := c.create(o); err != nil {
			return err
		}
	}
	return c.seedWorkload()
}

// seedWorkload creates the objects that the real labs have, too.
func (c *Cluster) seedWorkload() error {
	cert, err := workload.NewCert(time.Now())
	if err != nil {
		return err
	}
	phases, err := workload.Phases(workload.Params{
		// With one worker that is drained, too, there must be another place.
		TolerateControlPlane: len(c.layout.Hosts)-len(c.layout.controlPlanes()) < 2,
		ProbePeriod:          time.Second, CanarySecret: "canary in a secret", CanaryAnnotation: "canary in an annotation", Cert: cert,
	})
	if err != nil {
		return err
	}
	for _, phase := range phases {
		for _, o := range phase.Objects {
			if err := c.create(o); err != nil {
				return fmt.Errorf("%s: %w", phase.Name, err)
			}
		}
	}
	return nil
}

// Addons are the objects that kubeadm init leaves in the API besides its ConfigMaps:
// CoreDNS, kube-proxy, and the Services of both and of the API.
func Addons(images catalog.Images, podCIDR string) ([]*unstructured.Unstructured, error) {
	t, err := template.New("addons").Parse(addonsTemplate)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]any{
		"CoreDNS": images.CoreDNS, "KubeProxy": images.KubeProxy, "DNSService": manifest.DNSService, "PodCIDR": podCIDR,
	})
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(&text, 4096); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
}

func (c *Cluster) create(o *unstructured.Unstructured) error {
	// The one CronJob of the sample would make pods every minute of real time.
	if o.GetKind() == "CronJob" {
		if err := unstructured.SetNestedField(o.Object, true, "spec", "suspend"); err != nil {
			return err
		}
	}
	if _, err := c.store.Create(resourceOf(o), o); err != nil {
		return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// resourceOf guesses an object's resource, rightly for all that is made here.
func resourceOf(o *unstructured.Unstructured) schema.GroupVersionResource {
	plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	return plural
}

var (
	nodes    = corev1.SchemeGroupVersion.WithResource("nodes")
	services = corev1.SchemeGroupVersion.WithResource("services")
	corePods = corev1.SchemeGroupVersion.WithResource("pods")
)

// settleEvery is how often a cluster that comes up is looked at.
const settleEvery = 20 * time.Millisecond

// Settle waits until every node and all of the workload are ready, and nothing is
// on its way any more.
func (c *Cluster) Settle(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		missing, err := c.missing()
		if err != nil {
			return err
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %s", context.Cause(ctx), missing)
		case <-tick.C:
		}
	}
}

// missing says what is not ready yet; empty: nothing.
func (c *Cluster) missing() (string, error) {
	for _, h := range c.hosts {
		n, err := c.node(h.Name)
		if err != nil {
			return "", err
		}
		if n == nil || !nodeReady(n) {
			return "node " + h.Name + " is not ready", nil
		}
		lacks, err := h.machine.Untold(c.store)
		if err != nil {
			return "", err
		}
		if lacks != "" {
			return "node " + h.Name + ": " + lacks, nil
		}
	}
	for _, o := range c.store.All() {
		lacks := workload.Missing(o)
		if o.GetKind() == "Pod" {
			lacks = unsettled(o)
		}
		if lacks != "" {
			return fmt.Sprintf("%s %s: %s", o.GetKind(), o.GetName(), lacks), nil
		}
	}
	return "", nil
}

// unsettled says what is still to happen to a pod; empty: nothing.
func unsettled(o *unstructured.Unstructured) string {
	p := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, p); err != nil {
		return err.Error()
	}
	switch {
	case p.DeletionTimestamp != nil:
		return "it is ending"
	case p.Status.Phase == corev1.PodSucceeded, p.Status.Phase == corev1.PodFailed, ready(p):
		return ""
	}
	return "it is not ready"
}
