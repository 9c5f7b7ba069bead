package kube

import (
	"context"
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Webhooks lists the admission webhooks with the ready endpoints behind each.
func (c *Client) Webhooks(ctx context.Context) ([]cluster.Webhook, error) {
	w := webhooks{client: c, endpoints: map[string]int{}}
	registration := c.clientset.AdmissionregistrationV1()
	mutating, err := all(ctx, metav1.ListOptions{}, registration.MutatingWebhookConfigurations().List,
		func(l *admissionv1.MutatingWebhookConfigurationList) []admissionv1.MutatingWebhookConfiguration {
			return l.Items
		})
	if err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	for _, configuration := range mutating {
		for _, hook := range configuration.Webhooks {
			w.add(ctx, "Mutating", configuration.Name, hook.Name, hook.FailurePolicy, hook.ClientConfig)
		}
	}
	validating, err := all(ctx, metav1.ListOptions{}, registration.ValidatingWebhookConfigurations().List,
		func(l *admissionv1.ValidatingWebhookConfigurationList) []admissionv1.ValidatingWebhookConfiguration {
			return l.Items
		})
	if err != nil {
		return nil, fmt.Errorf("list ValidatingWebhookConfigurations: %w", err)
	}
	for _, configuration := range validating {
		for _, hook := range configuration.Webhooks {
			w.add(ctx, "Validating", configuration.Name, hook.Name, hook.FailurePolicy, hook.ClientConfig)
		}
	}
	return w.out, w.err
}

type webhooks struct {
	client    *Client
	endpoints map[string]int // by service
	out       []cluster.Webhook
	err       error
}

func (w *webhooks) add(ctx context.Context, kind, configuration, name string, policy *admissionv1.FailurePolicyType, to admissionv1.WebhookClientConfig) {
	hook := cluster.Webhook{Configuration: configuration, Kind: kind, Name: name, FailClosed: policy == nil || *policy == admissionv1.Fail}
	if to.Service != nil && w.err == nil {
		hook.Service = to.Service.Namespace + "/" + to.Service.Name
		n, known := w.endpoints[hook.Service]
		if !known {
			n, w.err = w.client.readyEndpoints(ctx, to.Service.Namespace, to.Service.Name)
			w.endpoints[hook.Service] = n
		}
		hook.Endpoints = n
	}
	w.out = append(w.out, hook)
}

// readyEndpoints counts the addresses behind a Service that take calls: from
// EndpointSlices and, of servers before 1.21, from Endpoints.
func (c *Client) readyEndpoints(ctx context.Context, namespace, service string) (int, error) {
	slices, err := all(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service},
		c.clientset.DiscoveryV1().EndpointSlices(namespace).List, func(l *discoveryv1.EndpointSliceList) []discoveryv1.EndpointSlice { return l.Items })
	if apierrors.IsNotFound(err) {
		return c.oldEndpoints(ctx, namespace, service)
	}
	if err != nil {
		return 0, fmt.Errorf("list EndpointSlices of Service %s/%s: %w", namespace, service, err)
	}
	n := 0
	for _, slice := range slices {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n += len(e.Addresses)
			}
		}
	}
	return n, nil
}

func (c *Client) oldEndpoints(ctx context.Context, namespace, service string) (int, error) {
	endpoints, err := c.clientset.CoreV1().Endpoints(namespace).Get(ctx, service, metav1.GetOptions{}) //nolint:staticcheck // the only form that servers before 1.21 have
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("endpoints %s/%s: %w", namespace, service, err)
	}
	n := 0
	for _, subset := range endpoints.Subsets {
		n += len(subset.Addresses)
	}
	return n, nil
}

// APIServices lists the aggregated APIs: those that a Service in the cluster
// answers.
func (c *Client) APIServices(ctx context.Context) ([]cluster.APIService, error) {
	resource := c.dynamic.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	list, err := all(ctx, metav1.ListOptions{}, resource.List, func(l *unstructured.UnstructuredList) []unstructured.Unstructured { return l.Items })
	if err != nil {
		return nil, fmt.Errorf("list APIServices: %w", err)
	}
	var out []cluster.APIService
	for i := range list {
		service, found, err := unstructured.NestedMap(list[i].Object, "spec", "service")
		if err != nil || !found || service == nil {
			continue
		}
		out = append(out, apiService(&list[i]))
	}
	return out, nil
}

func apiService(u *unstructured.Unstructured) cluster.APIService {
	out := cluster.APIService{Name: u.GetName(), Reason: "it has no condition Available yet"}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions") //nolint:errcheck // a status of another shape has no such condition
	for _, item := range conditions {
		condition, ok := item.(map[string]any)
		if !ok || condition["type"] != "Available" {
			continue
		}
		out.Available = condition["status"] == "True"
		out.Reason = ""
		if reason, ok := condition["reason"].(string); ok && !out.Available {
			out.Reason = reason
		}
	}
	return out
}
