package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Plan writes a plan for people: hops, stages, nodes, steps, estimates, points
// of no return. Nodes whose steps are alike are shown once.
func Plan(w io.Writer, p *plan.Plan) error {
	var b strings.Builder
	summary(&b, p)
	if p.Rollback != nil {
		refusals(&b, p.Rollback)
	}
	for i := range p.Hops {
		hop(&b, i+1, &p.Hops[i])
	}
	notices(&b, p)
	if p.Rollback != nil {
		losses(&b, p.Rollback.Losses)
	}
	_, err := io.WriteString(w, printableLines(b.String()))
	return err
}

func summary(b *strings.Builder, p *plan.Plan) {
	f := &p.Facts
	counts := map[cluster.Role]int{}
	for i := range f.Nodes {
		counts[f.Nodes[i].Role]++
	}
	fmt.Fprintf(b, "Cluster %s at %s: Kubernetes %s, %s, %s", f.Identity.Name, f.Identity.Endpoint,
		f.Kubeadm.ClusterVersion, count(counts[cluster.ControlPlane], "control plane"), count(counts[cluster.Worker], "worker"))
	if v := oldestMember(f); !v.IsZero() {
		fmt.Fprintf(b, ", etcd %s %s", v.Bare(), f.Etcd.Topology)
	}
	b.WriteString("\n")
	if len(p.Hops) == 0 {
		b.WriteString("Nothing to do: the cluster is at the target.\n")
		return
	}
	if p.Rollback != nil {
		takesBack(b, p)
		return
	}
	fmt.Fprintf(b, "Target %s: %s, about %s (%s)\n", p.Hops[len(p.Hops)-1].To, count(len(p.Hops), "hop"), Duration(p.Estimate()), estimates(p))
	fmt.Fprintf(b, "Plan %s\n", p.ID)
}

// estimates says where the plan's estimates come from.
func estimates(p *plan.Plan) string {
	if p.Measured == nil {
		return "typical"
	}
	total := 0
	p.Steps(func(*plan.Hop, *plan.Stage, *plan.Step) bool { total++; return true })
	said := "measured on this cluster, " + count(p.Measured.Runs, "run")
	if p.Measured.Steps < total {
		said += fmt.Sprintf("; %d of %d steps typical", total-p.Measured.Steps, total)
	}
	return said
}

func oldestMember(f *cluster.Facts) cluster.Version {
	var oldest cluster.Version
	for _, m := range f.Etcd.Members {
		if oldest.IsZero() || m.Version.Less(oldest) {
			oldest = m.Version
		}
	}
	return oldest
}

func hop(b *strings.Builder, number int, h *plan.Hop) {
	fmt.Fprintf(b, "\nHop %d: %s → %s, etcd %s, about %s\n", number, h.From, h.To, h.Etcd.Bare(), Duration(h.Estimate()))
	for i := range h.Stages {
		st := &h.Stages[i]
		fmt.Fprintf(b, "\n  %-58s %8s\n", strings.ToUpper(string(st.Name)), Duration(st.Estimate()))
		for j := range st.Waves {
			wave(b, &st.Waves[j])
		}
	}
}

func wave(b *strings.Builder, w *plan.Wave) {
	groups := alike(w.Lanes)
	if len(w.Lanes) > 1 {
		how := "one node at a time, in this order"
		if w.Parallel > 1 {
			how = fmt.Sprintf("%d nodes at once", min(w.Parallel, len(w.Lanes)))
		}
		fmt.Fprintf(b, "    %s:\n", how)
	}
	for _, g := range groups {
		lane(b, g)
	}
}

// group is lanes that differ in nothing but the node.
type group struct {
	nodes []string
	lane  plan.Lane
}

// alike groups neighbouring lanes of the same shape; order matters, so lanes
// apart are never joined.
func alike(lanes []plan.Lane) []group {
	var groups []group
	var last string
	for _, l := range lanes {
		if len(l) == 0 {
			continue
		}
		s := shape(l)
		if n := len(groups); n > 0 && s == last {
			groups[n-1].nodes = append(groups[n-1].nodes, l[0].Node)
			continue
		}
		groups = append(groups, group{[]string{l[0].Node}, l})
		last = s
	}
	return groups
}

func shape(l plan.Lane) string {
	var b strings.Builder
	for i := range l {
		fmt.Fprintf(&b, "%s|%s|%s|%s\n", l[i].Kind, strings.ReplaceAll(l[i].Title, l[i].Node, "\x00"), l[i].WayBack, l[i].Estimate)
	}
	return b.String()
}

func lane(b *strings.Builder, g group) {
	name := "cluster"
	if g.nodes[0] != "" {
		name = strings.Join(g.nodes, ", ")
	}
	fmt.Fprintf(b, "    %s\n", name)
	for i := range g.lane {
		s := &g.lane[i]
		mark := " "
		if s.WayBack == plan.WayBackNone {
			mark = "!"
		}
		fmt.Fprintf(b, "    %s   %-52s %8s\n", mark, s.Title, Duration(s.Estimate))
	}
}

func notices(b *strings.Builder, p *plan.Plan) {
	if len(p.Notices) == 0 {
		return
	}
	b.WriteString("\nNotices\n")
	for _, n := range p.Notices {
		mark := "-"
		if n.Consent {
			mark = "!"
		}
		where := ""
		if n.Hop != "" {
			where = "hop to " + n.Hop + ": "
		}
		fmt.Fprintf(b, "  %s %s%s\n", mark, where, n.Text)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Duration writes a duration for people: 45s, 2m20s, 12m, 1h05m.
func Duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 10*time.Minute:
		d = d.Round(10 * time.Second)
		if s := int(d.Seconds()) % 60; s != 0 {
			return fmt.Sprintf("%dm%02ds", int(d.Minutes()), s)
		}
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Round(time.Minute).Minutes()))
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
