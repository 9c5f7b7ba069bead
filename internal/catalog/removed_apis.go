package catalog

import "strings"

// RemovedKind gives the row of an API version by its apiVersion, such as
// networking.k8s.io/v1beta1, and kind.
func (c *Catalog) RemovedKind(apiVersion, kind string) (RemovedAPI, bool) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		group, version = "", apiVersion
	}
	for _, r := range c.removed {
		if r.Group == group && r.Version == version && r.Kind == kind {
			return r, true
		}
	}
	return RemovedAPI{}, false
}
