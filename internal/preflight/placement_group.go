package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	// named is how many names a line has, and single how many findings of a rule
	// are told one by one.
	named  = 5
	single = 5
)

// fewOf lists a few names and counts the rest.
func fewOf(names []string) string {
	if more := len(names) - named; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:named], ", "), more)
	}
	return strings.Join(names, ", ")
}

// about is a finding on an object in a namespace.
type about struct {
	namespace string
	Finding
}

// bundled keeps what a rule says short: a few findings are told one by one, many
// by namespace, and those of many namespaces in one line.
func bundled(noun string, list []about) []Finding {
	var out []Finding
	if len(list) <= single {
		for _, a := range list {
			out = append(out, a.Finding)
		}
		return out
	}
	var namespaces []string
	by := map[string][]about{}
	for _, a := range list {
		if by[a.namespace] == nil {
			namespaces = append(namespaces, a.namespace)
		}
		by[a.namespace] = append(by[a.namespace], a)
	}
	if len(namespaces) > single {
		return []Finding{bundle(fmt.Sprintf("%d %s in %d namespaces", len(list), noun, len(namespaces)), list, " ")}
	}
	slices.Sort(namespaces)
	for _, namespace := range namespaces {
		if in := by[namespace]; len(in) == 1 {
			out = append(out, in[0].Finding)
		} else {
			out = append(out, bundle(fmt.Sprintf("%d %s in namespace %s", len(in), noun, namespace), in, "/"))
		}
	}
	return out
}

// bundle makes one finding of many. Of their objects' names it drops what stands
// before the mark: all are of one namespace, or of one kind.
func bundle(object string, list []about, mark string) Finding {
	f := list[0].Finding
	var names []string
	for _, a := range list {
		names = append(names, a.Object[strings.LastIndex(a.Object, mark)+1:])
		if a.Severity != "" && (f.Severity == "" || a.Severity.rank() < f.Severity.rank()) {
			f.Severity = a.Severity
		}
	}
	f.Why = fmt.Sprintf("%s; the first: %s", fewOf(names), f.Why)
	f.Object = object
	return f
}

// inform makes one line of all objects; none when there are none.
func inform(hop, noun string, objects []string, why, fix string) []Finding {
	if len(objects) == 0 {
		return nil
	}
	slices.Sort(objects)
	objects = slices.Compact(objects)
	object := objects[0]
	if len(objects) > 1 {
		object = fmt.Sprintf("%d %s", len(objects), noun)
		why = fewOf(objects) + ": " + why
	}
	return []Finding{{Hop: hop, Object: object, Why: why, Fix: fix}}
}

// ownerOf names the controller of a pod, or the pod itself.
func ownerOf(p *cluster.Placement, pod *cluster.PlacedPod) string {
	if pod.Controller < 0 {
		return podOf(pod)
	}
	return controllerOf(&p.Controllers[pod.Controller])
}

func podOf(pod *cluster.PlacedPod) string { return "pod " + pod.Namespace + "/" + pod.Name }

func controllerOf(c *cluster.PodController) string {
	return fmt.Sprintf("%s %s/%s", c.Kind, c.Namespace, c.Name)
}

// ownersOf groups pods by their controller, in order; bare pods stand alone.
func ownersOf(p *cluster.Placement, pods []int32) (names []string, by map[string][]int32) {
	by = map[string][]int32{}
	for _, i := range pods {
		name := ownerOf(p, &p.Pods[i])
		if by[name] == nil {
			names = append(names, name)
		}
		by[name] = append(by[name], i)
	}
	slices.Sort(names)
	return names, by
}
