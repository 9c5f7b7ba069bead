package kube

import (
	"context"

	"github.com/kup-project/kup/pkg/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// definition is what is read of a CustomResourceDefinition.
type definition struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
		} `json:"versions"`
		PreserveUnknownFields bool `json:"preserveUnknownFields"`
		Conversion            struct {
			Strategy string `json:"strategy"`
			Webhook  struct {
				ClientConfig struct {
					Service *struct {
						Namespace string `json:"namespace"`
						Name      string `json:"name"`
					} `json:"service"`
				} `json:"clientConfig"`
			} `json:"webhook"`
		} `json:"conversion"`
	} `json:"spec"`
	Status struct {
		StoredVersions []string `json:"storedVersions"`
		Conditions     []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// definitions reads the CustomResourceDefinitions. Their schemas are large, so
// that few are asked for at a time.
func (r *objectReader) definitions(ctx context.Context) error {
	resource := r.client.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	list, err := collect(ctx, r, metav1.ListOptions{Limit: bodyPage}, resource.List, func(l *unstructured.UnstructuredList) []definition {
		var out []definition
		for i := range l.Items {
			var d definition
			if runtime.DefaultUnstructuredConverter.FromUnstructured(l.Items[i].Object, &d) == nil {
				out = append(out, d)
			}
		}
		return out
	})
	for i := range list {
		d := list[i].read()
		if service := list[i].Spec.Conversion.Webhook.ClientConfig.Service; service != nil && list[i].Spec.Conversion.Strategy == "Webhook" {
			d.Converter = r.backend(ctx, service.Namespace, service.Name)
		}
		r.keep(func(o *cluster.Objects) {
			o.Definitions = append(o.Definitions, d)
			o.Written = append(o.Written, records("CustomResourceDefinition", &list[i].ObjectMeta)...)
		})
	}
	return named("CustomResourceDefinitions", err)
}

func (d *definition) read() cluster.Definition {
	out := cluster.Definition{
		Name: d.Name, Group: d.Spec.Group, Kind: d.Spec.Names.Kind, Stored: d.Status.StoredVersions, PreservesUnknown: d.Spec.PreserveUnknownFields,
	}
	for _, v := range d.Spec.Versions {
		out.Versions = append(out.Versions, v.Name)
		if v.Served {
			out.Served = append(out.Served, v.Name)
		}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == "NonStructuralSchema" && c.Status == "True" {
			out.NonStructural = true
		}
	}
	return out
}
