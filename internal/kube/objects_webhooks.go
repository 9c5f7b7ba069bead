package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const leaseNamespaceOfKubelets = "kube-node-lease"

// webhook is what both kinds of admission webhooks have in common.
type webhook struct {
	kind, configuration, name string
	policy                    *admissionv1.FailurePolicyType
	timeout                   *int32
	client                    admissionv1.WebhookClientConfig
	rules                     []admissionv1.RuleWithOperations
	namespaces, objects       *metav1.LabelSelector
	conditions                int
}

// webhooks reads what each admission webhook is asked about.
func (r *objectReader) webhooks(ctx context.Context) error {
	hooks, hooksErr := r.listWebhooks(ctx)
	list, namespacesErr := collect(ctx, r, metav1.ListOptions{}, r.records.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List,
		func(l *metav1.PartialObjectMetadataList) []metav1.PartialObjectMetadata { return l.Items })
	namespaces := map[string]labels.Set{}
	for i := range list {
		namespaces[list[i].Name] = list[i].Labels
	}
	for _, hook := range hooks {
		reach := hook.reach(namespaces)
		if service := hook.client.Service; service != nil && (reach.Pods || reach.Nodes || reach.Leases) {
			reach.Backend = r.backend(ctx, service.Namespace, service.Name)
		}
		r.keep(func(o *cluster.Objects) { o.Webhooks = append(o.Webhooks, reach) })
	}
	return errors.Join(hooksErr, named("Namespaces", namespacesErr))
}

func (r *objectReader) listWebhooks(ctx context.Context) ([]webhook, error) {
	registration := r.client.clientset.AdmissionregistrationV1()
	mutating, mutatingErr := collect(ctx, r, metav1.ListOptions{}, registration.MutatingWebhookConfigurations().List, func(l *admissionv1.MutatingWebhookConfigurationList) []webhook {
		var out []webhook
		for i := range l.Items {
			c := &l.Items[i]
			r.keep(func(o *cluster.Objects) {
				o.Written = append(o.Written, records("MutatingWebhookConfiguration", &c.ObjectMeta)...)
			})
			for _, w := range c.Webhooks {
				out = append(out, webhook{"Mutating", c.Name, w.Name, w.FailurePolicy, w.TimeoutSeconds, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions)})
			}
		}
		return out
	})
	validating, validatingErr := collect(ctx, r, metav1.ListOptions{}, registration.ValidatingWebhookConfigurations().List, func(l *admissionv1.ValidatingWebhookConfigurationList) []webhook {
		var out []webhook
		for i := range l.Items {
			c := &l.Items[i]
			r.keep(func(o *cluster.Objects) {
				o.Written = append(o.Written, records("ValidatingWebhookConfiguration", &c.ObjectMeta)...)
			})
			for _, w := range c.Webhooks {
				out = append(out, webhook{"Validating", c.Name, w.Name, w.FailurePolicy, w.TimeoutSeconds, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions)})
			}
		}
		return out
	})
	return append(mutating, validating...), errors.Join(named("MutatingWebhookConfigurations", mutatingErr), named("ValidatingWebhookConfigurations", validatingErr))
}

// reach compares the webhook's rules and selectors with what an upgrade changes.
// Namespaces whose labels are not known are taken as not selected.
func (w *webhook) reach(namespaces map[string]labels.Set) cluster.WebhookReach {
	out := cluster.WebhookReach{
		Configuration: w.configuration, Kind: w.kind, Name: w.name, TimeoutSeconds: 10,
		FailClosed:  w.policy == nil || *w.policy == admissionv1.Fail,
		Conditional: w.conditions > 0 || w.objects != nil && len(w.objects.MatchLabels)+len(w.objects.MatchExpressions) > 0,
	}
	if w.timeout != nil {
		out.TimeoutSeconds = *w.timeout
	}
	selector, err := metav1.LabelSelectorAsSelector(w.namespaces)
	if w.namespaces == nil {
		selector, err = labels.Everything(), nil
	}
	if err != nil {
		return out // the API server would not have taken it
	}
	selected := func(namespace string) bool {
		set, known := namespaces[namespace]
		return known && selector.Matches(set)
	}
	if w.asks(admissionv1.Create, "", "pods", admissionv1.NamespacedScope) {
		for _, set := range namespaces {
			out.Pods = out.Pods || selector.Matches(set)
		}
		out.SystemPods = selected(metav1.NamespaceSystem)
		out.OwnPods = w.client.Service != nil && selected(w.client.Service.Namespace)
	}
	// Objects outside namespaces are never passed over for a namespaceSelector.
	for _, resource := range []string{"nodes", "nodes/status"} {
		out.Nodes = out.Nodes || w.asks(admissionv1.Update, "", resource, admissionv1.ClusterScope)
	}
	out.Leases = w.asks(admissionv1.Update, "coordination.k8s.io", "leases", admissionv1.NamespacedScope) && selected(leaseNamespaceOfKubelets)
	return out
}

// asks tells whether one of the rules covers the operation on the resource, which
// may have a subresource: nodes/status.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
func (w *webhook) asks(operation admissionv1.OperationType, group, resource string, scope admissionv1.ScopeType) bool {
	name, sub, _ := strings.Cut(resource, "/")
	return slices.ContainsFunc(w.rules, func(rule admissionv1.RuleWithOperations) bool {
		if !slices.Contains(rule.Operations, operation) && !slices.Contains(rule.Operations, admissionv1.OperationAll) {
			return false
		}
		if !slices.Contains(rule.APIGroups, group) && !slices.Contains(rule.APIGroups, "*") {
			return false
		}
		if rule.Scope != nil && *rule.Scope != admissionv1.AllScopes && *rule.Scope != scope {
			return false
		}
		return slices.ContainsFunc(rule.Resources, func(pattern string) bool {
			wantName, wantSub, _ := strings.Cut(pattern, "/")
			return (wantName == "*" || wantName == name) && (wantSub == sub || wantSub == "*")
		})
	})
}

// backend counts the ready endpoints of a Service and says where they run: from
// EndpointSlices and, of servers before 1.21, from Endpoints. Each Service is asked
// for once.
func (r *objectReader) backend(ctx context.Context, namespace, name string) *cluster.Backend {
	service := namespace + "/" + name
	r.mutex.Lock()
	known := r.backends[service]
	r.mutex.Unlock()
	if known != nil {
		return known
	}
	b := &cluster.Backend{Service: service}
	nodes, err := r.readyNodes(ctx, namespace, name)
	if err != nil {
		b.Unknown = true
		r.keep(func(o *cluster.Objects) {
			o.Unchecked = append(o.Unchecked, fmt.Sprintf("the endpoints of Service %s could not be read: %v", service, err))
		})
	}
	b.Ready = len(nodes)
	slices.Sort(nodes)
	for _, node := range slices.Compact(nodes) {
		if node != "" {
			b.Nodes = append(b.Nodes, node)
		}
	}
	r.keep(func(*cluster.Objects) { r.backends[service] = b })
	return b
}

// readyNodes gives the node of each ready endpoint, empty for one that has none.
func (r *objectReader) readyNodes(ctx context.Context, namespace, name string) ([]string, error) {
	list, err := collect(ctx, r, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name}, r.client.clientset.DiscoveryV1().EndpointSlices(namespace).List,
		func(l *discoveryv1.EndpointSliceList) []discoveryv1.Endpoint {
			var out []discoveryv1.Endpoint
			for i := range l.Items {
				out = append(out, l.Items[i].Endpoints...)
			}
			return out
		})
	var nodes []string
	if !apierrors.IsNotFound(err) {
		for _, e := range list {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				nodes = append(nodes, deref(e.NodeName))
			}
		}
		return nodes, err
	}
	if err := r.spend(); err != nil {
		return nil, err
	}
	endpoints, err := r.client.clientset.CoreV1().Endpoints(namespace).Get(ctx, name, metav1.GetOptions{}) //nolint:staticcheck // the only form that servers before 1.21 have
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, subset := range endpoints.Subsets {
		for _, address := range subset.Addresses {
			nodes = append(nodes, deref(address.NodeName))
		}
	}
	return nodes, nil
}
