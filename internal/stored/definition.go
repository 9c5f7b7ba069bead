package stored

import (
	"encoding/json"
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
)

// definition reads a CustomResourceDefinition. The API servers of every minor
// store it as JSON (pkg/controlplane/apiserver/apiextensions.go: LegacyCodec).
func definition(value []byte) (cluster.StoredDefinition, error) {
	type version struct {
		Name    string `json:"name"`
		Served  bool   `json:"served"`
		Storage bool   `json:"storage"`
	}
	var crd struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Group string `json:"group"`
			Names struct {
				Kind   string `json:"kind"`
				Plural string `json:"plural"`
			} `json:"names"`
			Version  string    `json:"version"` // of v1beta1, instead of versions
			Versions []version `json:"versions"`
		} `json:"spec"`
		Status struct {
			StoredVersions []string `json:"storedVersions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(value, &crd); err != nil {
		return cluster.StoredDefinition{}, fmt.Errorf("a CustomResourceDefinition that is not JSON: %w", err)
	}
	d := cluster.StoredDefinition{
		Name: crd.Metadata.Name, Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind, Resource: crd.Spec.Names.Plural,
		StoredVersions: crd.Status.StoredVersions,
	}
	if len(crd.Spec.Versions) == 0 && crd.Spec.Version != "" {
		crd.Spec.Versions = []version{{crd.Spec.Version, true, true}}
	}
	for _, v := range crd.Spec.Versions {
		d.Versions = append(d.Versions, cluster.StoredDefinitionVersion(v))
	}
	return d, nil
}

// aggregated gives the group of an APIService that another server answers for;
// empty for one that the API server answers itself.
func aggregated(value []byte) (string, error) {
	var service struct {
		Spec struct {
			Group   string `json:"group"`
			Service *struct {
				Name string `json:"name"`
			} `json:"service"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(value, &service); err != nil {
		return "", fmt.Errorf("an APIService that is not JSON: %w", err)
	}
	if service.Spec.Service == nil {
		return "", nil
	}
	return service.Spec.Group, nil
}
