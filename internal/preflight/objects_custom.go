package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// definitionVersion and definitionKind name the API whose removal asks for
// structural schemas.
const (
	definitionVersion = "apiextensions.k8s.io/v1beta1"
	definitionKind    = "CustomResourceDefinition"
)

func (in Input) definitions() []cluster.Definition {
	if in.Scan.Objects == nil {
		return nil
	}
	return in.Scan.Objects.Definitions
}

func checkDefinedVersions(in Input) []Finding {
	var out []Finding
	for _, d := range in.definitions() {
		for _, v := range d.Stored {
			if slices.Contains(d.Versions, v) {
				continue
			}
			out = append(out, Finding{
				Object: definitionKind + " " + d.Name,
				Why:    fmt.Sprintf("status.storedVersions names %s, which spec.versions does not: objects stored as %s cannot be read, and no change of the definition is accepted", v, v),
				Fix:    fmt.Sprintf("add %s to spec.versions again with served: false, write every object anew, then take it out of status.storedVersions: kubectl edit crd %s --subresource=status", v, d.Name),
			})
		}
	}
	return out
}

func checkDefinitions(in Input) []Finding {
	h, row, goes := in.removedOnPath(definitionVersion, definitionKind)
	if !goes {
		return nil
	}
	var out []Finding
	for _, d := range in.definitions() {
		var what []string
		if d.NonStructural {
			what = append(what, "a schema that is not structural")
		}
		if d.PreservesUnknown {
			what = append(what, "spec.preserveUnknownFields: true")
		}
		if len(what) == 0 {
			continue
		}
		out = append(out, Finding{
			Hop: h.name, Object: definitionKind + " " + d.Name,
			Why: fmt.Sprintf("it has %s, which only %s takes: from %s on it works as it is, but cannot be created again, as a restore or a new installation would", strings.Join(what, " and "), definitionVersion, row.In),
			Fix: "raise what it belongs to, so that it brings a structural schema: kubectl get crd " + d.Name + " -o yaml shows what is missing under status.conditions",
		})
	}
	return out
}

func checkConverters(in Input) []Finding {
	var out []Finding
	for _, d := range in.definitions() {
		if b := d.Converter; b != nil && b.Ready == 0 && !b.Unknown {
			out = append(out, Finding{
				Object: definitionKind + " " + d.Name,
				Why:    fmt.Sprintf("its conversion webhook, Service %s, has no ready endpoint: its objects can only be read in the version they are stored in, and controllers that list everything (garbage collection, deletion of namespaces) stall", b.Service),
				Fix:    "bring the backend up: kubectl get endpoints -n " + strings.Replace(b.Service, "/", " ", 1),
			})
		}
	}
	return out
}

func checkServed(in Input) []Finding {
	if in.Scan.Objects == nil {
		return nil
	}
	var out []Finding
	if m := in.Scan.Objects.Manifests; m != nil {
		for _, object := range m.Objects {
			if d, served := in.serves(object); !served {
				out = append(out, Finding{Object: manifestName(object), Why: notServed(object, d) + ": it cannot be applied", Fix: "write it as " + object.Kind + " of " + d.Group + "/" + strings.Join(d.Served, " or ")})
			}
		}
	}
	for _, r := range in.Scan.Objects.Releases {
		for _, object := range r.Objects {
			if d, served := in.serves(object); !served {
				out = append(out, Finding{Object: releaseName(r), Why: notServed(object, d) + ": helm upgrade and helm rollback fail", Fix: "helm mapkubeapis with a mapping file for " + d.Group + ", or upgrade from a revision without it"})
				break
			}
		}
	}
	return out
}

func notServed(object cluster.Manifest, d cluster.Definition) string {
	return fmt.Sprintf("it holds %s %s as %s, and the cluster serves %s", object.Kind, object.Name, object.APIVersion, strings.Join(d.Served, ", "))
}

// serves tells whether the cluster serves a custom resource in the version; what
// is not a custom resource of the cluster is taken as served.
func (in Input) serves(object cluster.Manifest) (cluster.Definition, bool) {
	group, version, _ := strings.Cut(object.APIVersion, "/")
	for _, d := range in.definitions() {
		if d.Group == group && d.Kind == object.Kind {
			return d, len(d.Served) == 0 || slices.Contains(d.Served, version)
		}
	}
	return cluster.Definition{}, true
}
