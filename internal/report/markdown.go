package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Markdown writes the document for a change ticket: what is going to happen, how
// long it takes, from where there is no way back, and what preflight found.
func (d Document) Markdown(w io.Writer) error {
	var b strings.Builder
	if d.Plan == nil {
		b.WriteString("# Upgrade: no plan can be made\n\n" + preflightLine(d) + "\n")
	} else {
		markdownPlan(&b, d)
	}
	markdownFindings(&b, d.Findings)
	if len(d.Unchecked) > 0 {
		b.WriteString("\n## Not checked\n\n")
		for _, u := range d.Unchecked {
			fmt.Fprintf(&b, "* %s\n", cell(u))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func preflightLine(d Document) string {
	switch {
	case len(d.Findings) == 0:
		return "Preflight: nothing found."
	case d.Blocked:
		return "Preflight: " + tally(d.Findings) + ". **The run does not start as it is.**"
	}
	return "Preflight: " + tally(d.Findings) + "."
}

func markdownPlan(b *strings.Builder, d Document) {
	p := d.Plan
	name := p.Facts.Identity.Name
	if len(p.Hops) == 0 {
		fmt.Fprintf(b, "# Upgrade of %s: nothing to do\n\nThe cluster is at the target, %s.\n", cell(name), p.Facts.Kubeadm.ClusterVersion)
		return
	}
	first, last := p.Hops[0], p.Hops[len(p.Hops)-1]
	fmt.Fprintf(b, "# Upgrade of %s: %s to %s\n\n", cell(name), first.From, last.To)
	counts := map[cluster.Role]int{}
	for i := range p.Facts.Nodes {
		counts[p.Facts.Nodes[i].Role]++
	}
	fmt.Fprintf(b, "* Cluster: %s, %s, %s\n", cell(p.Facts.Identity.Endpoint), count(counts[cluster.ControlPlane], "control plane"), count(counts[cluster.Worker], "worker"))
	fmt.Fprintf(b, "* Duration: %s, about %s (%s)\n", count(len(p.Hops), "hop"), Duration(p.Estimate()), estimates(p))
	fmt.Fprintf(b, "* Plan: `%s`, made %s by kup %s\n", p.ID, p.CreatedAt.UTC().Format(time.RFC3339), p.KupVersion)
	fmt.Fprintf(b, "* %s\n", preflightLine(d))
	b.WriteString("\n## Hops\n")
	for i := range p.Hops {
		markdownHop(b, i+1, &p.Hops[i])
	}
	markdownNoReturn(b, p)
	markdownNotices(b, p.Notices)
}

func markdownHop(b *strings.Builder, number int, h *plan.Hop) {
	fmt.Fprintf(b, "\n### Hop %d: %s to %s, etcd %s, about %s\n\n", number, h.From, h.To, h.Etcd.Bare(), Duration(h.Estimate()))
	b.WriteString("| stage | nodes | at once | drained | about |\n| --- | --- | --- | --- | --- |\n")
	for i := range h.Stages {
		st := &h.Stages[i]
		var nodes []string
		atOnce := 1
		drained := 0
		for _, w := range st.Waves {
			atOnce = max(atOnce, min(w.Parallel, len(w.Lanes)))
			for _, lane := range w.Lanes {
				if lane[0].Node != "" && !slices.Contains(nodes, lane[0].Node) {
					nodes = append(nodes, lane[0].Node)
				}
				for _, s := range lane {
					if s.Kind == plan.KindDrain {
						drained++
					}
				}
			}
		}
		who := "cluster"
		if len(nodes) > 0 {
			who = some(nodes)
		}
		fmt.Fprintf(b, "| %s | %s | %d | %d | %s |\n", st.Name, cell(who), atOnce, drained, Duration(st.Estimate()))
	}
}

// some names the first of many.
func some(names []string) string {
	if len(names) <= shownObjects {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shownObjects], ", "), len(names)-shownObjects)
}

func markdownNoReturn(b *strings.Builder, p *plan.Plan) {
	b.WriteString("\n## Points of no return\n\n")
	var rows []string
	p.Steps(func(h *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.WayBack == plan.WayBackNone {
			rows = append(rows, fmt.Sprintf("| %s | %s | %s | `%s` |\n", h.To, cell(s.Node), cell(s.Title), s.ID))
		}
		return true
	})
	if len(rows) == 0 {
		b.WriteString("None.\n")
		return
	}
	b.WriteString("| hop | node | step | id |\n| --- | --- | --- | --- |\n" + strings.Join(rows, ""))
}

func markdownNotices(b *strings.Builder, notices []plan.Notice) {
	b.WriteString("\n## To be known and agreed to\n\n")
	shown := false
	for _, n := range notices {
		if strings.HasPrefix(n.Text, "not checked: ") {
			continue // has a section of its own
		}
		where, consent := "", ""
		if n.Hop != "" {
			where = "hop to " + n.Hop + ": "
		}
		if n.Consent {
			consent = "**needs consent**: "
		}
		fmt.Fprintf(b, "* %s%s%s\n", consent, where, cell(n.Text))
		shown = true
	}
	if !shown {
		b.WriteString("Nothing.\n")
	}
}

func markdownFindings(b *strings.Builder, findings []preflight.Finding) {
	if len(findings) == 0 {
		return
	}
	b.WriteString("\n## Findings\n")
	for _, s := range byHop(findings) {
		fmt.Fprintf(b, "\n### %s%s\n\n", strings.ToUpper(s.title()[:1]), s.title()[1:])
		b.WriteString("| severity | rule | object | why | fix |\n| --- | --- | --- | --- | --- |\n")
		for _, f := range s.findings {
			why := cell(f.Why)
			if f.Accepted != "" {
				why += "; **accepted**: " + cell(f.Accepted)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", f.Severity, f.Rule, cell(f.Object), why, cell(f.Fix))
		}
	}
}

// cell keeps text within a cell of a table and from being anything but text.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(Printable(s))
}
