package bench

import (
	"fmt"
	"text/tabwriter"
	"time"
)

// print writes the table and tells whether a limit was not kept.
func (b *bench) print(r Result) (over bool) {
	judged := time.Duration(-1) // not measured
	for _, p := range r.Parts {
		if p.Name == judging {
			judged = p.Wall
		}
	}
	fmt.Fprintf(b.Out, "\nkup plan --to %s: %d nodes, %d pods\n\n", b.To, b.Nodes, b.Pods)
	w := tabwriter.NewWriter(b.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tmeasured\tlimit\t")
	row := func(what, measured, limit string, ok bool) {
		verdict := "ok"
		if !ok {
			verdict, over = "OVER", true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, measured, limit, verdict)
	}
	row("wall time", seconds(r.Kup.Wall), seconds(limitWall), r.Kup.Wall <= limitWall)
	row("peak memory", mebibytes(r.Kup.Memory), mebibytes(limitMemory), r.Kup.Memory <= limitMemory)
	row("API requests", fmt.Sprint(r.Requests.Total), fmt.Sprint(limitRequests), r.Requests.Total <= limitRequests)
	row("preflight alone", seconds(judged), seconds(limitPreflight), judged >= 0 && judged <= limitPreflight)
	_ = w.Flush() // a terminal that went away

	fmt.Fprintf(b.Out, "\nprocessor time: kup %s, hollow hosts %s, kube-apiserver %s, etcd %s; a host: kup %s, hollow %s\n",
		seconds(r.Kup.CPU), seconds(r.Hosts), seconds(r.API), seconds(r.Etcd), milliseconds(r.Kup.CPU, b.Nodes), milliseconds(r.Hosts, b.Nodes))
	fmt.Fprintf(b.Out, "commands on hosts: %d, %.1f a host\n", r.Commands, float64(r.Commands)/float64(b.Nodes))
	fmt.Fprintln(b.Out, "\nthe parts of a plan, in a process of their own:")
	w = tabwriter.NewWriter(b.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, p := range r.Parts {
		fmt.Fprintf(w, "%s\t%s\tCPU %s\tpeak %s\t\n", p.Name, seconds(p.Wall), seconds(p.CPU), mebibytes(p.Memory))
	}
	_ = w.Flush()
	const most = 12
	fmt.Fprint(b.Out, "\nrequests:")
	for i, c := range r.Requests.By {
		if i == most {
			fmt.Fprintf(b.Out, ", and %d other things", len(r.Requests.By)-most)
			break
		}
		fmt.Fprintf(b.Out, "%s %d %s", comma(i), c.Count, c.What)
	}
	fmt.Fprintln(b.Out)
	return over
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func milliseconds(d time.Duration, among int) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000/float64(among))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
