package apiserver

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// serviceDefaults fills in a Service and gives it addresses and ports of its own.
// The lock is held.
func (s *Store) serviceDefaults(o *corev1.Service) {
	setDefault(&o.Spec.Type, corev1.ServiceTypeClusterIP)
	setDefault(&o.Spec.SessionAffinity, corev1.ServiceAffinityNone)
	for i := range o.Spec.Ports {
		p := &o.Spec.Ports[i]
		setDefault(&p.Protocol, corev1.ProtocolTCP)
		setDefault(&p.TargetPort, intstr.FromInt32(p.Port))
	}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	setPointer(&o.Spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	setPointer(&o.Spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	if len(o.Spec.IPFamilies) == 0 {
		o.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	used := s.used(o)
	if o.Spec.ClusterIP == "" {
		o.Spec.ClusterIP = free(used, func(n int) string { return fmt.Sprintf("10.96.%d.%d", n/250, n%250+2) }) // .1 is the API's
	}
	o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
	if o.Spec.Type != corev1.ServiceTypeNodePort && o.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	setDefault(&o.Spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	for i := range o.Spec.Ports {
		if p := &o.Spec.Ports[i]; p.NodePort == 0 {
			port := free(used, func(n int) string { return fmt.Sprint(firstNodePort + n) })
			used[port] = true
			_, _ = fmt.Sscan(port, &p.NodePort) // it was made of a number
		}
	}
}

const firstNodePort = 30000

// used gives the addresses and node ports of all other Services. The lock is held.
func (s *Store) used(but *corev1.Service) map[string]bool {
	used := map[string]bool{}
	for _, r := range s.tables[corev1.SchemeGroupVersion.WithResource("services").GroupResource()].records {
		o, err := typedRecord[corev1.Service](r)
		if err != nil || o.Namespace == but.Namespace && o.Name == but.Name {
			continue
		}
		used[o.Spec.ClusterIP] = true
		for _, p := range o.Spec.Ports {
			used[fmt.Sprint(p.NodePort)] = true
		}
	}
	return used
}

// free gives the first that is not used.
func free(used map[string]bool, nth func(int) string) string {
	for n := 0; ; n++ {
		if one := nth(n); !used[one] {
			return one
		}
	}
}
