package kube

import (
	"maps"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	corev1 "k8s.io/api/core/v1"
)

// resources reads a list; pods are left to the caller.
func (p *placing) resources(list corev1.ResourceList) cluster.Resources {
	out := cluster.Resources{
		MilliCPU: list.Cpu().MilliValue(), Memory: list.Memory().Value(), Ephemeral: list.StorageEphemeral().Value(),
	}
	usual := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourcePods}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		quantity := list[name]
		if slices.Contains(usual, name) || quantity.IsZero() {
			continue
		}
		i := p.extendedIndex(string(name))
		for len(out.Extended) <= i {
			out.Extended = append(out.Extended, 0)
		}
		out.Extended[i] = quantity.Value()
	}
	return out
}

func (p *placing) extendedIndex(name string) int {
	i, known := p.extended[name]
	if !known {
		i = len(p.out.Extended)
		p.extended[name] = i
		p.out.Extended = append(p.out.Extended, name)
	}
	return i
}

// requests is what the scheduler reserves for the pod: its containers together,
// or its init containers where one of them needs more; sidecars (init containers
// that restart) run beside both.
// Source: k8s.io/component-helpers/resource/helpers.go, PodRequests
func (p *placing) requests(s *corev1.PodSpec) cluster.Resources {
	var running, starting, sidecars cluster.Resources
	for i := range s.Containers {
		running = plus(running, p.resources(s.Containers[i].Resources.Requests))
	}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		needs := p.resources(c.Resources.Requests)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			running, sidecars = plus(running, needs), plus(sidecars, needs)
			needs = sidecars
		} else {
			needs = plus(needs, sidecars)
		}
		starting = most(starting, needs)
	}
	out := most(running, starting)
	if s.Resources != nil { // of the pod as a whole, which counts instead
		whole := p.resources(s.Resources.Requests)
		if _, set := s.Resources.Requests[corev1.ResourceCPU]; set {
			out.MilliCPU = whole.MilliCPU
		}
		if _, set := s.Resources.Requests[corev1.ResourceMemory]; set {
			out.Memory = whole.Memory
		}
		out = extendedFrom(out, whole)
	}
	return plus(out, p.resources(s.Overhead))
}

func extendedFrom(out, whole cluster.Resources) cluster.Resources {
	for i, amount := range whole.Extended {
		if amount > 0 {
			out = plus(out, cluster.Resources{Extended: make([]int64, i+1)})
			out.Extended[i] = amount
		}
	}
	return out
}

func plus(a, b cluster.Resources) cluster.Resources {
	return each(a, b, func(x, y int64) int64 { return x + y })
}

func most(a, b cluster.Resources) cluster.Resources {
	return each(a, b, func(x, y int64) int64 { return max(x, y) })
}

func each(a, b cluster.Resources, f func(x, y int64) int64) cluster.Resources {
	out := cluster.Resources{
		MilliCPU: f(a.MilliCPU, b.MilliCPU), Memory: f(a.Memory, b.Memory), Ephemeral: f(a.Ephemeral, b.Ephemeral),
		Extended: slices.Clone(a.Extended),
	}
	for i, amount := range b.Extended {
		if i == len(out.Extended) {
			out.Extended = append(out.Extended, 0)
		}
		out.Extended[i] = f(out.Extended[i], amount)
	}
	return out
}
