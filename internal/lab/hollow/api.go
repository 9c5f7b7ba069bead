package hollow

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
)

// api is how programs on the hosts use the API: they reach it while some API
// server runs and etcd has a leader.
func (c *Cluster) api() (machine.Objects, error) {
	for _, s := range c.servers {
		if s.serves() && c.etcd.Serving() {
			return objects{c.store}, nil
		}
	}
	return nil, fmt.Errorf("dial tcp %s: %w", c.layout.endpoint(), errNoAPI)
}

// objects are the store as programs use it. On a real cluster controllers react to
// a change within milliseconds, long before kup can look; here, where seconds last
// milliseconds, whoever changes what a controller keeps waits for it.
type objects struct{ *apiserver.Store }

var _ machine.Objects = objects{}

// reactionTime bounds that wait: controllers may be away.
const (
	reactionTime  = 2 * time.Second
	reactionEvery = 2 * time.Millisecond
)

// Modify implements machine.Objects.
func (o objects) Modify(gvr schema.GroupVersionResource, namespace, name string, change func(*unstructured.Unstructured) error) error {
	if err := o.Store.Modify(gvr, namespace, name, change); err != nil || gvr.Group != "apps" {
		return err
	}
	tick := time.NewTicker(reactionEvery)
	defer tick.Stop()
	for end := time.Now().Add(reactionTime); time.Now().Before(end); <-tick.C {
		now, err := o.Get(gvr, namespace, name)
		if err != nil {
			return err
		}
		seen, _, err := unstructured.NestedInt64(now.Object, "status", "observedGeneration")
		if err != nil || seen >= now.GetGeneration() {
			return err
		}
	}
	return nil
}
