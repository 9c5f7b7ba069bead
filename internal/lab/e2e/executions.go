package e2e

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/plan"
)

// execution is one command as a node remembers it: kup keeps a directory for each
// below /var/lib/kup/RUN/exec, named after step and attempt.
type execution struct {
	Run, Step string
	Attempt   int
	Started   bool
	Status    string // "0 exited"; empty: none was written
	Command   string
}

// executionsScript prints a line for each, fields separated by tabs.
const executionsScript = `cd /var/lib/kup 2>/dev/null || exit 0
for d in */exec/*; do
	[ -f "$d/command" ] || continue
	started=no
	[ ! -d "$d/started" ] || started=yes
	printf '%s\t%s\t%s\t%s\n' "$d" "$started" "$(tr '\n\t' '  ' <"$d/status" 2>/dev/null)" "$(tr '\n\t' '  ' <"$d/command")"
done`

func parseExecutions(text string) ([]execution, error) {
	var out []execution
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("executions: line %q is not understood", line)
		}
		dir := fields[0]
		if strings.Contains(path.Base(dir), ".gone.") {
			continue // withdrawn before it was started
		}
		name, err := url.PathUnescape(path.Base(dir))
		if err != nil {
			return nil, fmt.Errorf("execution %s: %w", dir, err)
		}
		step, attempt := path.Split(name)
		n, err := strconv.Atoi(attempt)
		if err != nil {
			return nil, fmt.Errorf("execution %s: its name does not end with an attempt", dir)
		}
		run, _, _ := strings.Cut(dir, "/")
		out = append(out, execution{
			Run: run, Step: strings.TrimSuffix(step, "/"), Attempt: n,
			Started: fields[1] == "yes", Status: strings.TrimSpace(fields[2]), Command: strings.TrimSpace(fields[3]),
		})
	}
	return out, nil
}

// executions asks every node.
func (e *env) executions(ctx context.Context) (map[string][]execution, error) {
	out := map[string][]execution{}
	for _, n := range e.lab.Nodes() {
		text, err := e.lab.Exec(ctx, n.Name, "sh", "-c", executionsScript)
		if err != nil {
			return nil, fmt.Errorf("executions on %s: %w", n.Name, err)
		}
		if out[n.Name], err = parseExecutions(text); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return out, nil
}

// kubeadmSteps maps every step of the plan that runs kubeadm to its node.
func kubeadmSteps(p *plan.Plan) map[string]string {
	out := map[string]string{}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindCommand && isKubeadm(s.Args["argv"]) {
			out[s.ID] = s.Node
		}
		return true
	})
	return out
}

// isKubeadm says whether a command line, in whatever form, changes something by
// kubeadm.
func isKubeadm(line string) bool {
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\x1f' || r == '\'' })
	for i, w := range words[:max(len(words)-1, 0)] {
		switch next := words[i+1]; {
		case path.Base(w) != "kubeadm":
		case next == "upgrade", next == "certs", next == "alpha":
			return true
		}
	}
	return false
}

// timesRun counts how often kubeadm was started for each step.
func timesRun(found map[string][]execution) map[string]int {
	out := map[string]int{}
	for _, list := range found {
		for _, x := range list {
			if x.Started && isKubeadm(x.Command) {
				out[x.Step]++
			}
		}
	}
	return out
}

// judgeOnce asserts, by what the nodes remember, that kubeadm was started once
// for each step of the plan that wants it, and for nothing else. Steps of spared
// nodes, which lost their power, may have needed it twice.
func (h *hop) judgeOnce(ctx context.Context, spared *away) error {
	p, err := h.readPlan()
	if err != nil {
		return err
	}
	found, err := h.executions(ctx)
	if err != nil {
		return err
	}
	steps, times := kubeadmSteps(p), timesRun(found)
	rows, total := [][]string{{"node", "step", "kubeadm was started"}}, 0
	for _, id := range sortedNames(steps) {
		n := times[id]
		total += n
		rows = append(rows, []string{steps[id], id, fmt.Sprint(n)})
		h.check(n == 1 || (n == 2 && spared.has(steps[id])), "%s: kubeadm was started %d times for step %s, want once", steps[id], n, id)
		delete(times, id)
	}
	for _, id := range sortedNames(times) {
		h.check(false, "kubeadm was started %d times for %s, which is no step of the plan", times[id], id)
	}
	sort.SliceStable(rows[1:], func(i, j int) bool { return rows[i+1][0] < rows[j+1][0] })
	h.printTable("kubeadm, by what the nodes remember of commands", rows)
	h.sum("kubeadm was started", "%d times for %d steps", total, len(steps))
	return nil
}
