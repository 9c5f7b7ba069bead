package apiserver

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
)

var emptyResource schema.GroupResource

func (c *call) get() (reply, error) {
	r, err := c.store.get(c.resource.GroupVersionResource, c.namespace, c.name)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, r.raw}, nil
}

func (c *call) selector() (selector, error) {
	return newSelector(c.resource, c.namespace, c.query("labelSelector"), c.query("fieldSelector"))
}

func (c *call) list() (reply, error) {
	want, err := c.selector()
	if err != nil {
		return reply{}, err
	}
	limit, _ := strconv.Atoi(c.query("limit")) //nolint:errcheck // what is no number is no limit
	if err := c.checkRevision(); err != nil {
		return reply{}, err
	}
	var p page
	if next := c.query("continue"); next != "" {
		p, err = c.store.nextPage(next, limit)
	} else {
		p, err = c.store.firstPage(c.resource.GroupVersionResource, want, limit)
	}
	if err != nil {
		return reply{}, err
	}
	meta := metav1.ListMeta{ResourceVersion: fmt.Sprint(p.revision), Continue: p.next}
	if p.left > 0 && want.labels.Empty() && want.fields.Empty() {
		meta.RemainingItemCount = new(int64(p.left))
	}
	head, err := json.Marshal(meta)
	if err != nil {
		return reply{}, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, c.resource.kind+"List", c.resource.GroupVersion(), head)
	for i, r := range p.records {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r.raw)
	}
	b.WriteString("]}\n")
	return reply{http.StatusOK, b.Bytes()}, nil
}

// checkRevision refuses to list what will be or was: the store knows the present
// only.
func (c *call) checkRevision() error {
	asked, err := revisionOf(c.query("resourceVersion"))
	if err != nil {
		return err
	}
	present := c.store.Revision()
	switch {
	case asked > present:
		return apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", asked, present), 1)
	case c.query("resourceVersionMatch") == string(metav1.ResourceVersionMatchExact) && asked != present:
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", asked, present))
	}
	return nil
}

// revisionOf reads a resource version; an empty one is 0.
func revisionOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q", text))
	}
	return n, nil
}

func (c *call) create() (reply, error) {
	o, err := c.given()
	if err != nil {
		return reply{}, err
	}
	return c.write(http.StatusCreated, func(t *table) (*record, error) {
		return c.store.create(t, o, c.writing(false, "Update"))
	})
}

func (c *call) update(status bool) (reply, error) {
	o, err := c.given()
	if err != nil {
		return reply{}, err
	}
	return c.write(http.StatusOK, func(t *table) (*record, error) {
		return c.store.change(t, c.namespace, c.name, c.writing(status, "Update"), func(*unstructured.Unstructured) (*unstructured.Unstructured, error) {
			return o, nil
		})
	})
}

// given reads the one object of a creation or update, which may leave out where
// it belongs.
func (c *call) given() (*unstructured.Unstructured, error) {
	o, err := c.sent()
	if err != nil {
		return nil, err
	}
	if o.GetNamespace() != "" && o.GetNamespace() != c.namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	o.SetNamespace(c.namespace)
	return o, nil
}

// write does something to a table under the store's lock.
func (c *call) write(code int, do func(*table) (*record, error)) (reply, error) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	t, err := c.store.table(c.resource.GroupVersionResource)
	if err != nil {
		return reply{}, err
	}
	r, err := do(t)
	if err != nil {
		return reply{}, err
	}
	return reply{code, r.raw}, nil
}

func (c *call) writing(status bool, operation string) writing {
	w := writing{status: status, dry: c.dry(), author: author{manager: c.query("fieldManager"), operation: operation}}
	if w.author.manager == "" {
		w.author.manager, _, _ = strings.Cut(c.r.UserAgent(), "/")
	}
	if w.author.manager == "" {
		w.author.manager = "unknown"
	}
	if status {
		w.author.subresource = "status"
	}
	return w
}

func (c *call) delete() (reply, error) {
	o, err := c.deleteOptions()
	if err != nil {
		return reply{}, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	t, err := c.store.table(c.resource.GroupVersionResource)
	if err != nil {
		return reply{}, err
	}
	r, gone, err := c.store.delete(t, c.namespace, c.name, o)
	if err != nil {
		return reply{}, err
	}
	if !gone || c.resource.Resource == "pods" {
		return reply{http.StatusOK, r.raw}, nil
	}
	return reply{http.StatusOK, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: c.name, Group: c.resource.Group, Kind: c.resource.Resource, UID: r.object.GetUID()},
	}}, nil
}

func (c *call) deleteCollection() (reply, error) {
	if c.resource.namespaced && c.namespace == "" {
		return reply{}, c.notAllowed()
	}
	o, err := c.deleteOptions()
	if err != nil {
		return reply{}, err
	}
	want, err := c.selector()
	if err != nil {
		return reply{}, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	t, err := c.store.table(c.resource.GroupVersionResource)
	if err != nil {
		return reply{}, err
	}
	for _, r := range want.choose(t.list(c.namespace)) {
		if _, _, err := c.store.delete(t, r.object.GetNamespace(), r.object.GetName(), o); err != nil {
			return reply{}, err
		}
	}
	return reply{http.StatusOK, success()}, nil
}

func success() metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}
}

func (c *call) evict() (reply, error) {
	u, err := c.sent()
	if err != nil {
		return reply{}, err
	}
	e, err := As[policyv1.Eviction](u) // policy/v1beta1 has the same fields
	if err != nil {
		return reply{}, apierrors.NewBadRequest(err.Error())
	}
	if e.Name != c.name {
		return reply{}, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	o := deref(e.DeleteOptions)
	if c.dry() {
		o.DryRun = []string{metav1.DryRunAll}
	}
	if err := c.store.Evict(c.namespace, c.name, o); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, success()}, nil
}
