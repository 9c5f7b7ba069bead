package kube

import (
	"context"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	corev1 "k8s.io/api/core/v1"
)

// zoneLabels are those on a volume that keep its pods in a zone or region, when
// the volume says nothing more exact.
// Source: kubernetes pkg/scheduler/framework/plugins/volumezone/volume_zone.go
var zoneLabels = []string{
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
}

// zoneSeparator stands between several zones in such a label.
// Source: k8s.io/cloud-provider/volume/constants.go, LabelMultiZoneDelimiter
const zoneSeparator = "__"

// volumes notes which nodes the bound volumes may be used on, by their claim.
func (p *placing) volumes(ctx context.Context) error {
	return eachPage(ctx, p.client.clientset.CoreV1().PersistentVolumes().List, func(l *corev1.PersistentVolumeList) error {
		for i := range l.Items {
			v := &l.Items[i]
			if v.Spec.ClaimRef == nil {
				continue
			}
			if nodes := volumeNodes(v); len(nodes) > 0 {
				p.claims[v.Spec.ClaimRef.Namespace+"/"+v.Spec.ClaimRef.Name] = nodes
			}
		}
		return nil
	}, nil)
}

// volumeNodes is empty when the volume may be used on any node.
func volumeNodes(v *corev1.PersistentVolume) cluster.NodeSelector {
	if v.Spec.NodeAffinity != nil && v.Spec.NodeAffinity.Required != nil {
		return nodeSelector(v.Spec.NodeAffinity.Required)
	}
	var term cluster.NodeTerm
	for _, key := range zoneLabels {
		if value, has := v.Labels[key]; has {
			term.Labels = append(term.Labels, cluster.Requirement{Key: key, Operator: string(corev1.NodeSelectorOpIn), Values: strings.Split(value, zoneSeparator)})
		}
	}
	if len(term.Labels) == 0 {
		return nil
	}
	return cluster.NodeSelector{term}
}

// volume is where the pod's volumes allow it to run; -1: anywhere.
func (p *placing) volume(pod *corev1.Pod) int32 {
	var both cluster.NodeSelector
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		var claim string
		switch {
		case v.PersistentVolumeClaim != nil:
			claim = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			claim = pod.Name + "-" + v.Name
		default:
			continue
		}
		if nodes, restricted := p.claims[pod.Namespace+"/"+claim]; restricted {
			both = and(both, nodes)
		}
	}
	if both == nil {
		return -1
	}
	index, isNew := p.selectors.index(both)
	if isNew {
		p.out.Volumes = append(p.out.Volumes, both)
	}
	return index
}

// and is where both allow a node; nil allows every one.
func and(a, b cluster.NodeSelector) cluster.NodeSelector {
	if a == nil {
		return b
	}
	out := cluster.NodeSelector{}
	for _, x := range a {
		for _, y := range b {
			out = append(out, cluster.NodeTerm{Labels: slices.Concat(x.Labels, y.Labels), Fields: slices.Concat(x.Fields, y.Fields)})
		}
	}
	return out
}

func nodeSelector(s *corev1.NodeSelector) cluster.NodeSelector {
	out := make(cluster.NodeSelector, 0, len(s.NodeSelectorTerms))
	for _, t := range s.NodeSelectorTerms {
		out = append(out, cluster.NodeTerm{Labels: nodeRequirements(t.MatchExpressions), Fields: nodeRequirements(t.MatchFields)})
	}
	return out
}

func nodeRequirements(in []corev1.NodeSelectorRequirement) cluster.Selector {
	var out cluster.Selector
	for _, r := range in {
		out = append(out, cluster.Requirement{Key: r.Key, Operator: string(r.Operator), Values: r.Values})
	}
	return out
}
