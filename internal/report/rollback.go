package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/plan"
)

// takesBack says what a plan takes back, and how far.
func takesBack(b *strings.Builder, p *plan.Plan) {
	h, r := &p.Hops[0], p.Rollback
	what := "all nodes"
	if len(r.Nodes) > 0 {
		what = strings.Join(r.Nodes, ", ")
	}
	fmt.Fprintf(b, "Rollback of run %s from %s to %s, scope %s: %s, about %s (%s)\n", r.Run, h.From, h.To, r.Scope, what, Duration(p.Estimate()), estimates(p))
	fmt.Fprintf(b, "Plan %s\n", p.ID)
}

// refusals say why no less costly way is gone.
func refusals(b *strings.Builder, r *plan.Rollback) {
	for _, less := range r.Refused {
		fmt.Fprintf(b, "Scope %s does not work: %s\n", less.Scope, less.Why)
	}
}

// lossKinds are the kinds of losses in the order in which they are told, each with what
// it means.
var lossKinds = []struct {
	kind  plan.LossKind
	means string
}{
	{plan.LossCreated, "created since, will be gone"},
	{plan.LossChanged, "changed since, will be as before"},
	{plan.LossDeleted, "deleted since, will be there again"},
	{plan.LossField, "fields that the older minor does not keep"},
	{plan.LossUnread, "could not be looked through"},
	{plan.LossClaimed, "volumes claimed since"},
	{plan.LossReleased, "volumes released since"},
	{plan.LossPodStops, "pods that stop"},
	{plan.LossPodStart, "pods that start"},
	{plan.LossPodMoves, "pods that start on another node"},
}

// Losses writes what a rollback costs, as [Plan] does.
func Losses(w io.Writer, all []plan.Loss) error {
	var b strings.Builder
	losses(&b, all)
	_, err := io.WriteString(w, printableLines(b.String()))
	return err
}

// losses lists what a rollback costs, all of it: by what happens, namespace and kind.
func losses(b *strings.Builder, all []plan.Loss) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\nLost with this rollback: %s\n", entries(len(all)))
	for _, k := range lossKinds {
		of := slices.DeleteFunc(slices.Clone(all), func(l plan.Loss) bool { return l.Kind != k.kind })
		if len(of) == 0 {
			continue
		}
		slices.SortFunc(of, func(a, b plan.Loss) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node))
		})
		fmt.Fprintf(b, "  %s: %d\n", k.means, len(of))
		lossLines(b, of)
	}
}

// lossLines give each namespace and kind a line; what has more to be said of it has one
// of its own.
func lossLines(b *strings.Builder, sorted []plan.Loss) {
	for i := 0; i < len(sorted); {
		first := sorted[i]
		var names []string
		for ; i < len(sorted) && sorted[i].Namespace == first.Namespace && sorted[i].Resource == first.Resource; i++ {
			names = append(names, lossName(sorted[i]))
		}
		where := cmp.Or(first.Namespace, "(cluster)")
		fmt.Fprintf(b, "    %-20s %-28s %s\n", where, first.Resource, strings.Join(names, ", "))
	}
}

func lossName(l plan.Loss) string {
	name := l.Name
	if l.Node != "" {
		name += " on " + l.Node
	}
	if l.Detail != "" {
		name += " (" + l.Detail + ")"
	}
	return name
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
