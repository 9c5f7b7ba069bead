package planner

import (
	"fmt"
	"slices"
)

// noneStays tells whether no API server is left at the newer minor when these lanes are
// taken back: then kubeadm's ConfigMaps, which the first of them brought, must not stay
// either, since no kubeadm of before reads those of a newer one for sure.
func (r *rollback) noneStays(taken []openLane) bool {
	some := false
	for _, l := range r.openLanes() {
		if !l.control {
			continue
		}
		some = true
		if !slices.ContainsFunc(taken, func(t openLane) bool { return t.node == l.node && t.control }) {
			return false
		}
	}
	return some
}

// refusesAll tells why all API servers cannot go back in the scope node; empty: they can.
func (r *rollback) refusesAll() string {
	for _, l := range r.openLanes() {
		if l.control && l.ended {
			return fmt.Sprintf("no API server would stay at %s, and that of node %s served at it: that is the hop as a whole, of which scope hop asks what older API servers do not keep", r.from, l.node)
		}
	}
	if why := r.refusesObjects(); why != "" {
		return fmt.Sprintf("no API server would stay at %s, so that kubeadm's configuration must go back with them: %s", r.from, why)
	}
	return ""
}
