package step

import (
	"context"
	"errors"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// stillTimeout bounds what is stopped on a host: every node stands still meanwhile.
const stillTimeout = 15 * time.Minute

// standstill: the truth is the host, which is asked anew.
type standstill struct{ executions }

// stillness is what stands still on a node, as the scripts take it.
type stillness struct {
	socket, unit           string
	manifests, pods, ports []string
}

// stillness reads the arguments that say so.
func (a *args) stillness() stillness {
	x := stillness{
		socket: a.socket(), unit: a.text("unit"),
		manifests: a.lines("manifests"), pods: a.lines("pods"), ports: a.lines("ports"),
	}
	for _, file := range x.manifests {
		a.clean("manifests", file)
	}
	for _, pod := range x.pods {
		a.word("pods", pod)
	}
	for _, port := range x.ports {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			a.bad("ports", "has "+strconv.Quote(port)+", which is no port")
		}
	}
	return x
}

func (x stillness) params() []string {
	lines := func(list []string) string { return strings.Join(list, "\n") }
	return []string{x.socket, x.unit, lines(x.manifests), lines(x.pods), lines(x.ports)}
}

// stopping is what the scripts of a standstill take.
type stopping struct {
	stillness
	aside string
	proof bool
}

func (r *standstill) read(s plan.Step) (stopping, error) {
	a := args{step: s}
	a.node()
	x := stopping{stillness: a.stillness(), proof: a.flag("proof"), aside: s.Args["aside"]}
	if len(x.manifests) > 0 && !x.proof {
		a.clean("aside", x.aside)
	}
	return x, a.err
}

func (r *standstill) Done(ctx context.Context, s plan.Step) (bool, error) {
	x, err := r.read(s)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, "look whether the node stands still", script([]string{"standstill", "standstill_ask"}, x.params()...))
}

// Run stops what is to be stopped; a proof only asks, attached: it changes nothing.
func (r *standstill) Run(ctx context.Context, s plan.Step, e plan.Execution) error {
	x, err := r.read(s)
	if err != nil {
		return err
	}
	if !x.proof {
		_, err := r.run(ctx, s, e, "bring the node to a standstill", remote.Command{
			Argv:    script([]string{"common", "standstill", "standstill_make"}, append(x.params(), x.aside)...),
			Timeout: stillTimeout,
		})
		return err
	}
	const doing = "prove that the node stands still"
	why, err := r.ask(ctx, s, doing, script([]string{"standstill", "standstill_ask"}, x.params()...))
	if why = strings.TrimSpace(why); err == nil && why != "yes" {
		err = failed(s, doing, errors.New(strings.ReplaceAll(strings.TrimPrefix(why, "no: "), "\n", "; ")),
			"nothing was restored yet; find out what starts it, and go on: kup rollback")
	}
	return err
}

// sandboxes: the truth is the runtime.
type sandboxes struct{ executions }

// surplus is what the scripts take.
type surplus struct {
	stillness
	grace string
	keep  []string
}

func (r *sandboxes) read(s plan.Step) (surplus, error) {
	a := args{step: s}
	a.node()
	x := surplus{stillness: a.stillness(), grace: a.text("grace"), keep: a.lines("keep")}
	if _, err := strconv.ParseUint(x.grace, 10, 16); err != nil {
		a.bad("grace", "is no number of seconds")
	}
	for _, uid := range x.keep {
		a.word("keep", uid)
	}
	return x, a.err
}

func (r *sandboxes) Done(ctx context.Context, s plan.Step) (bool, error) {
	x, err := r.read(s)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, "look at the pods that are up", script([]string{"standstill", "sandboxes", "sandboxes_ask"}, append(x.params(), strings.Join(x.keep, "\n"))...))
}

func (r *sandboxes) Run(ctx context.Context, s plan.Step, e plan.Execution) error {
	x, err := r.read(s)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, e, "stop the pods that the snapshot does not know", remote.Command{
		Argv:    script([]string{"common", "standstill", "standstill_holds", "sandboxes", "sandboxes_stop"}, append(x.params(), strings.Join(x.keep, "\n"), x.grace)...),
		Timeout: stillTimeout,
	})
	return err
}

// clean is an absolute path as the scripts may use it, unquoted in lists.
func (a *args) clean(key, file string) {
	if !path.IsAbs(file) || path.Clean(file) != file || strings.ContainsAny(file, " \t*?[") {
		a.bad(key, "has "+strconv.Quote(file)+"; want clean, absolute paths")
	}
}

// word is a name without anything that a shell would take for more.
func (a *args) word(key, word string) {
	if strings.HasPrefix(word, "-") || strings.ContainsAny(word, " \t*?[\\\"'$`/") {
		a.bad(key, "has "+strconv.Quote(word)+", which is no name")
	}
}
