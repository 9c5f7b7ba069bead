package apiserver

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// call is one request of an authenticated client.
type call struct {
	server *Server
	store  *Store
	run    *run
	w      http.ResponseWriter
	r      *http.Request
	user   user

	resource  *resource
	namespace string
	name      string
	sub       string // subresource
	verb      string
}

// reply is an answer in one piece.
type reply struct {
	code int
	body any // a []byte is JSON already; nil: it is answered already
}

func (s *Server) serve(run *run, w http.ResponseWriter, r *http.Request) {
	if s.public(w, r) {
		return
	}
	who, err := s.clients.user(r)
	if err == nil && s.config.Before != nil {
		err = s.config.Before(r)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	c := &call{server: s, store: s.config.Store, run: run, w: w, r: r, user: who}
	code := http.StatusOK
	switch answer, err := c.answer(); {
	case err != nil:
		code = writeError(w, err)
	case answer.body != nil:
		code = answer.code
		writeJSON(w, answer.code, answer.body)
	}
	c.audit(code)
}

func (c *call) audit(code int) {
	if c.server.config.Audit == nil || c.resource == nil || c.verb == "" || c.verb == "get" || c.verb == "list" || c.verb == "watch" {
		return
	}
	resource := c.resource.Resource
	if c.sub != "" {
		resource += "/" + c.sub
	}
	c.server.config.Audit(Request{
		At: time.Now(), Server: c.server.Addr(), User: c.user.name, Agent: c.r.UserAgent(), Verb: c.verb, Path: c.r.URL.Path,
		Namespace: c.namespace, Resource: resource, Name: c.name, Code: code,
	})
}

func (c *call) answer() (reply, error) {
	path := strings.FieldsFunc(c.r.URL.Path, func(r rune) bool { return r == '/' })
	switch {
	case len(path) == 1 && path[0] == "metrics" && c.r.Method == http.MethodGet:
		c.server.metrics(c.w)
		return reply{}, nil
	case len(path) > 1 && path[0] == "openapi" && path[1] == "v3" && c.r.Method == http.MethodGet:
		return c.openAPI(path[2:])
	case len(path) > 2 && path[0] == "api":
		return c.object(schema.GroupVersion{Version: path[1]}, path[2:])
	case len(path) > 3 && path[0] == "apis":
		return c.object(schema.GroupVersion{Group: path[1], Version: path[2]}, path[3:])
	case len(path) > 0 && (path[0] == "api" || path[0] == "apis") && c.r.Method == http.MethodGet:
		return c.discover(path)
	}
	return reply{}, errNoResource()
}

// object serves a resource, the path being what follows its version.
func (c *call) object(gv schema.GroupVersion, path []string) (reply, error) {
	if kind, virtual := reviews[gv.WithResource(path[0])]; virtual && len(path) == 1 {
		return c.review(gv.WithKind(kind))
	}
	if path[0] == "namespaces" && len(path) > 2 && path[2] != "status" && path[2] != "finalize" {
		c.namespace, path = path[1], path[2:]
	}
	r, err := c.store.resource(gv.WithResource(path[0]))
	if err != nil {
		return reply{}, err
	}
	if c.namespace != "" && !r.namespaced || len(path) > 3 {
		return reply{}, errNoResource()
	}
	path = append(path, "", "")
	c.resource, c.name, c.sub = r, path[1], path[2]
	if r.namespaced && c.namespace == "" && (c.name != "" || c.r.Method == http.MethodPost) {
		return reply{}, errNoResource()
	}
	if !accepts(c.r) {
		e := apierrors.NewGenericServerResponse(http.StatusNotAcceptable, "", schema.GroupResource{}, "", "", 0, false)
		e.ErrStatus.Message = "only the following media types are accepted: application/json"
		return reply{}, e
	}
	return c.act()
}

// resource gives what is served as the name.
func (s *Store) resource(gvr schema.GroupVersionResource) (*resource, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(gvr)
	if err != nil {
		return nil, err
	}
	return t.resource, nil
}

// accepts tells whether the client takes JSON. Tables and the like are not served.
func accepts(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return true
	}
	for one := range strings.SplitSeq(accept, ",") {
		kind, parameters, _ := strings.Cut(strings.TrimSpace(one), ";")
		switch kind {
		case "*/*", "application/*", "application/json":
			if !strings.Contains(parameters, "as=") {
				return true
			}
		}
	}
	return false
}

// act does what the method says.
func (c *call) act() (reply, error) {
	if c.sub != "" {
		return c.subresource()
	}
	switch {
	case c.r.Method == http.MethodGet && c.name != "":
		c.verb = "get"
		return c.get()
	case c.r.Method == http.MethodGet && isTrue(c.query("watch")):
		c.verb = "watch"
		return reply{}, c.watch()
	case c.r.Method == http.MethodGet:
		c.verb = "list"
		return c.list()
	case c.r.Method == http.MethodPost && c.name == "":
		c.verb = "create"
		return c.create()
	case c.r.Method == http.MethodPut && c.name != "":
		c.verb = "update"
		return c.update(false)
	case c.r.Method == http.MethodPatch && c.name != "":
		c.verb = "patch"
		return c.patch(false)
	case c.r.Method == http.MethodDelete && c.name != "":
		c.verb = "delete"
		return c.delete()
	case c.r.Method == http.MethodDelete:
		c.verb = "deletecollection"
		return c.deleteCollection()
	}
	return reply{}, c.notAllowed()
}

func (c *call) subresource() (reply, error) {
	switch {
	case c.sub == "status" && c.resource.status, c.sub == "scale" && c.resource.scale:
		return c.part()
	case c.resource.Resource == "pods" && c.resource.Group == "" && c.sub == "eviction" && c.r.Method == http.MethodPost:
		c.verb = "create"
		return c.evict()
	case c.resource.Resource == "pods" && c.resource.Group == "" && (c.sub == "log" || c.sub == "exec" || c.sub == "attach" || c.sub == "portforward"):
		r, err := c.store.get(c.resource.GroupVersionResource, c.namespace, c.name)
		if err != nil {
			return reply{}, err
		}
		return reply{}, apierrors.NewInternalError(fmt.Errorf("dial tcp %s:10250: connect: connection refused", nodeOf(r.object)))
	}
	return reply{}, errNoResource()
}

// part serves the status or the scale of an object.
func (c *call) part() (reply, error) {
	scale := c.sub == "scale"
	switch c.r.Method {
	case http.MethodGet:
		c.verb = "get"
		if scale {
			return c.getScale()
		}
		return c.get()
	case http.MethodPut:
		c.verb = "update"
		if scale {
			return c.changeScale()
		}
		return c.update(true)
	case http.MethodPatch:
		c.verb = "patch"
		if scale {
			return c.changeScale()
		}
		return c.patch(true)
	}
	return reply{}, c.notAllowed()
}

func (c *call) notAllowed() error {
	return apierrors.NewMethodNotSupported(c.resource.GroupResource(), strings.ToLower(c.r.Method))
}

func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

func isTrue(text string) bool { return text == "true" || text == "1" }
