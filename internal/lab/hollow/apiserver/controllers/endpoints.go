package controllers

import (
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

// syncServices keeps the endpoints of Services that select pods.
func (c *controllers) syncServices() error {
	all, err := apiserver.Typed[corev1.Service](c.store, services, "")
	if err != nil {
		return err
	}
	for _, s := range all {
		if len(s.Spec.Selector) == 0 || s.DeletionTimestamp != nil {
			continue
		}
		theirs, err := apiserver.Typed[corev1.Pod](c.store, pods, s.Namespace)
		if err != nil {
			return err
		}
		selector := labels.SelectorFromSet(s.Spec.Selector)
		theirs = filter(theirs, func(p *corev1.Pod) bool {
			return selector.Matches(labels.Set(p.Labels)) && p.Status.PodIP != "" &&
				p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
		})
		if err := c.syncSlice(s, theirs); err != nil {
			return err
		}
		if err := c.syncOldEndpoints(s, theirs); err != nil {
			return err
		}
	}
	return nil
}

// sliceName is the name of a Service's one slice.
func sliceName(s *corev1.Service) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.UID)) // never fails
	return s.Name + "-" + rand.SafeEncodeString(fmt.Sprintf("%05d", h.Sum32()%100000))
}

func (c *controllers) syncSlice(s *corev1.Service, theirs []*corev1.Pod) error {
	want := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	describe(want, s, sliceName(s))
	want.Labels = with(with(s.Labels, discoveryv1.LabelServiceName, s.Name), discoveryv1.LabelManagedBy, "endpointslice-controller.k8s.io")
	for _, port := range s.Spec.Ports {
		if number, ok := targetPort(port, theirs); ok {
			want.Ports = append(want.Ports, discoveryv1.EndpointPort{Name: new(port.Name), Protocol: new(port.Protocol), Port: &number})
		}
	}
	for _, p := range theirs {
		serving, ending := ready(p), p.DeletionTimestamp != nil
		want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, TargetRef: reference(p), NodeName: new(p.Spec.NodeName),
			Conditions: discoveryv1.EndpointConditions{Ready: new((serving || s.Spec.PublishNotReadyAddresses) && !ending), Serving: &serving, Terminating: &ending},
		})
	}
	have, err := find[discoveryv1.EndpointSlice](c, endpointSlices, want)
	if err != nil || have == nil {
		return err
	}
	type content struct {
		Labels    map[string]string
		Ports     []discoveryv1.EndpointPort
		Endpoints []discoveryv1.Endpoint
	}
	return keep(c, endpointSlices, have, content{have.Labels, have.Ports, have.Endpoints}, content{want.Labels, want.Ports, want.Endpoints},
		func(o *discoveryv1.EndpointSlice, w content) {
			o.Labels, o.Ports, o.Endpoints = w.Labels, w.Ports, w.Endpoints
		})
}

// syncOldEndpoints keeps the Endpoints, which slices have replaced for most.
func (c *controllers) syncOldEndpoints(s *corev1.Service, theirs []*corev1.Pod) error {
	want := &corev1.Endpoints{} //nolint:staticcheck // real clusters still have them
	describe(want, s, s.Name)
	want.Labels = with(s.Labels, "endpoints.kubernetes.io/managed-by", "endpoint-controller")
	subset := corev1.EndpointSubset{} //nolint:staticcheck // as above
	for _, p := range theirs {
		address := corev1.EndpointAddress{IP: p.Status.PodIP, NodeName: new(p.Spec.NodeName), TargetRef: reference(p)}
		switch {
		case p.DeletionTimestamp != nil:
		case ready(p) || s.Spec.PublishNotReadyAddresses:
			subset.Addresses = append(subset.Addresses, address)
		default:
			subset.NotReadyAddresses = append(subset.NotReadyAddresses, address)
		}
	}
	for _, port := range s.Spec.Ports {
		if number, ok := targetPort(port, theirs); ok {
			subset.Ports = append(subset.Ports, corev1.EndpointPort{Name: port.Name, Port: number, Protocol: port.Protocol})
		}
	}
	if len(subset.Addresses)+len(subset.NotReadyAddresses) > 0 {
		want.Subsets = []corev1.EndpointSubset{subset} //nolint:staticcheck // as above
	}
	have, err := find[corev1.Endpoints](c, endpoints, want) //nolint:staticcheck // as above
	if err != nil || have == nil {
		return err
	}
	return keep(c, endpoints, have, have.Subsets, want.Subsets, func(o *corev1.Endpoints, subsets []corev1.EndpointSubset) { o.Subsets = subsets }) //nolint:staticcheck // as above
}

// describe gives what a Service's endpoints are called, and that they are its own.
func describe(o metav1.Object, s *corev1.Service, name string) {
	o.SetName(name)
	o.SetNamespace(s.Namespace)
	o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(s, corev1.SchemeGroupVersion.WithKind("Service"))})
}

// find gives the object that is there; nil after it was made.
func find[T any, P interface {
	*T
	metav1.Object
}](c *controllers, gvr schema.GroupVersionResource, want P) (P, error) {
	all, err := apiserver.Typed[T](c.store, gvr, want.GetNamespace())
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if P(o).GetName() == want.GetName() {
			return o, nil
		}
	}
	_, err = apiserver.Create(c.store, gvr, (*T)(want))
	return nil, err
}

func reference(p *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

// targetPort is the number of a Service's port in its pods; a name is looked up in
// the first that has it.
func targetPort(port corev1.ServicePort, theirs []*corev1.Pod) (int32, bool) {
	if port.TargetPort.Type == intstr.Int {
		return port.TargetPort.IntVal, true
	}
	for _, p := range theirs {
		for _, container := range p.Spec.Containers {
			for _, named := range container.Ports {
				if named.Name == port.TargetPort.StrVal {
					return named.ContainerPort, true
				}
			}
		}
	}
	return 0, false
}
