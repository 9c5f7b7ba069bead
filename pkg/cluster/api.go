package cluster

import "encoding/json"

// API is what an API server serves and how it reads what it is given: what another
// minor would do with the same objects is told from its own. It is too large for facts.
type API struct {
	Version Version `json:"version"` // of the server
	// Documents are its OpenAPI v3 documents without their prose, by the path under
	// which it lists them, "apis/apps/v1". Those of custom resources and of aggregated
	// API servers are left out.
	Documents map[string]json.RawMessage `json:"documents"`
	// Resources are all it serves, without subresources, preferred versions first.
	Resources []APIResource `json:"resources"`
}

// APIResource is one resource in one version.
type APIResource struct {
	Group      string `json:"group,omitempty"` // empty: core
	Version    string `json:"version"`
	Name       string `json:"name"` // pods
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced,omitempty"`
	Listable   bool   `json:"listable,omitempty"`
	// Custom: what it looks like is told by a CustomResourceDefinition, or by an
	// aggregated API server, and not by the release of Kubernetes.
	Custom bool `json:"custom,omitempty"`
}

// APIVersion gives "v1" or "apps/v1".
func (r APIResource) APIVersion() string {
	if r.Group == "" {
		return r.Version
	}
	return r.Group + "/" + r.Version
}

// Path is where OpenAPI v3 has the resource's document: "api/v1", "apis/apps/v1".
func (r APIResource) Path() string {
	if r.Group == "" {
		return "api/" + r.Version
	}
	return "apis/" + r.APIVersion()
}

// Called is the resource as kup names objects: "ConfigMap", "Deployment.apps".
func (r APIResource) Called() string {
	if r.Group == "" {
		return r.Kind
	}
	return r.Kind + "." + r.Group
}

// NodeMarks is what a node is marked with: what places pods on it, or keeps them off.
// It is no fact: labels say much about whose nodes they are.
type NodeMarks struct {
	Name     string            `json:"name"`
	Labels   map[string]string `json:"labels,omitempty"`
	Taints   []string          `json:"taints,omitempty"` // key=value:effect
	Cordoned bool              `json:"cordoned,omitempty"`
}
