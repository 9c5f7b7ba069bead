package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// fencedWithin is how long an operator who was away may take to find out that the
// cluster is somebody else's now.
const fencedWithin = 5 * time.Minute

// operators is the scenario's state: a begins the run, b ends it.
type operators struct {
	*hop
	a, b      *binary
	inventory string // b's own
	epoch     int64  // a's, when it was frozen
	rows      [][]string
}

func runTwoOperators(ctx context.Context, e *env) error {
	o := &operators{hop: newHop(e), a: e.kup, rows: [][]string{{"who", "does", "exit code", "kup says"}}}
	var err error
	dir := filepath.Join(e.dir, "operator-b")
	if o.b, err = newBinary(ctx, dir, e.kup.path); err != nil {
		return err
	}
	if o.inventory, err = e.copyAccess(dir); err != nil {
		return err
	}
	o.others = []*binary{o.a}
	o.drive = o.takeOver
	o.more = func(ctx context.Context) error {
		o.printTable("Two operators", o.rows)
		return o.judgeOnce(ctx, &away{})
	}
	return o.run(ctx)
}

// copyAccess gives another operator what it takes to reach the lab, and returns
// the place of the inventory.
func (e *env) copyAccess(dir string) (string, error) {
	files := []string{"kup.yaml", "admin.conf", "sudo-password"}
	keys, err := os.ReadDir(filepath.Join(e.lab.Dir(), "ssh"))
	if err != nil {
		return "", err
	}
	for _, k := range keys {
		files = append(files, filepath.Join("ssh", k.Name()))
	}
	if err := os.MkdirAll(filepath.Join(dir, "ssh"), 0o700); err != nil {
		return "", err
	}
	for _, name := range files {
		raw, err := os.ReadFile(filepath.Join(e.lab.Dir(), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("access for another operator: %w", err)
		}
	}
	if _, err := clientcmd.LoadFromFile(filepath.Join(dir, "admin.conf")); err != nil {
		return "", fmt.Errorf("access for another operator: %w", err)
	}
	return filepath.Join(dir, "kup.yaml"), nil
}

// takeOver is the story: b is refused twice, a freezes and loses its state, b ends
// the run, a wakes up.
func (o *operators) takeOver(ctx context.Context, _ *traffic) error {
	p, err := o.a.start(ctx, prefixed(o.out, "a: kup apply | "), o.applyArgs()...)
	if err != nil {
		return err
	}
	err = o.besides(ctx, p)
	if !p.ended() {
		// Whatever went wrong: nobody stays behind, frozen.
		return errors.Join(err, p.kill())
	}
	return err
}

func (o *operators) besides(ctx context.Context, p *process) error {
	begin := []string{"apply", "-f", o.inventory, "--to", "v" + o.to, "--yes", acceptNotices}
	kubeadm := o.onNode("", kubeadmRuns)
	if err := o.refused(ctx, p, begin, "", moment{step: "prepare/cp-1/*"}); err != nil {
		return err
	}
	err := o.refused(ctx, p, resumeArgs(o.inventory), "control-plane/",
		moment{step: "control-plane/cp-1/apply", holds: kubeadm}, moment{step: "control-plane/cp-2/node", holds: kubeadm})
	if err != nil {
		return err
	}
	err = o.freeze(ctx, p, moment{step: "control-plane/cp-3/node", holds: kubeadm}, moment{step: "etcd/*/etcd", holds: kubeadm})
	if err != nil {
		return err
	}
	applied, err := o.b.run(ctx, prefixed(o.out, "b: kup apply --resume | "), resumeArgs(o.inventory)...)
	if err != nil {
		return err
	}
	o.note("b", "takes over from the mirrors and ends the run", applied)
	o.applied, o.kup = applied, o.b
	if applied.code != exitDone {
		return nil // judged by whoever judges an apply
	}
	return o.wake(ctx, p)
}

func (o *operators) note(who, what string, done outcome) {
	o.rows = append(o.rows, []string{who, what, fmt.Sprint(done.code), done.errorLine()})
}

// refused lets b try while a is at work: it must be told by whom the cluster is
// held.
func (o *operators) refused(ctx context.Context, p *process, args []string, step string, at ...moment) error {
	s, err := o.awaitFirst(ctx, o.a, func() bool { return !p.ended() }, at)
	if err != nil {
		return fmt.Errorf("operator a: %w", err)
	}
	done, err := o.b.run(ctx, prefixed(o.out, "b: kup apply | "), args...)
	if err != nil {
		return err
	}
	o.note("b", "tries while a is in step "+s.step+": kup "+strings.Join(args, " "), done)
	o.check(done.code == exitLocked, "b, while a works: exit code %d, want %d: %s", done.code, exitLocked, done.errorLine())
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	for what, text := range map[string]string{
		"the holder": fmt.Sprintf("pid %d", p.pid()), "its host": host, "since when": "since ", "what it is doing": step,
	} {
		o.check(strings.Contains(done.output(), text), "b is refused without being told %s (%q): %s", what, text, done.errorLine())
	}
	return nil
}

// freeze stops a in the middle of kubeadm and removes all it knew.
func (o *operators) freeze(ctx context.Context, p *process, at ...moment) error {
	s, err := o.awaitFirst(ctx, o.a, func() bool { return !p.ended() }, at)
	if err != nil {
		return fmt.Errorf("operator a: %w", err)
	}
	if err := p.freeze(); err != nil {
		return err
	}
	lines, err := o.a.journal()
	if err != nil {
		return err
	}
	o.epoch = epochOf(lines)
	o.printf("a is frozen (SIGSTOP, pid %d, epoch %d) in step %s; on its node: %s", p.pid(), o.epoch, s.step, s.seen)
	o.rows = append(o.rows, []string{"a", "is frozen in step " + s.step + ", its state directory removed", "-", s.seen})
	return os.RemoveAll(filepath.Join(o.a.state, "kup"))
}

// epochOf is the last epoch that a journal tells.
func epochOf(lines []journalLine) int64 {
	var epoch int64
	for _, l := range lines {
		epoch = max(epoch, l.Epoch)
	}
	return epoch
}

// wake lets a go on when all is done. It must not touch anything.
func (o *operators) wake(ctx context.Context, p *process) error {
	before, err := o.traces(ctx)
	if err != nil {
		return err
	}
	o.judgeOwner(before)
	if err := p.thaw(); err != nil {
		return err
	}
	late := time.NewTimer(fencedWithin)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		o.check(false, "a did not end within %s of going on", fencedWithin)
		return p.kill()
	case <-ctx.Done():
		return ctx.Err()
	}
	woken, err := p.wait()
	if err != nil {
		return err
	}
	o.note("a", "goes on (SIGCONT)", woken)
	o.check(woken.code == exitLocked, "a, gone on: exit code %d, want %d: %s", woken.code, exitLocked, woken.errorLine())
	after, err := o.traces(ctx)
	if err != nil {
		return err
	}
	changes := changed(before, after)
	for _, c := range changes {
		o.check(false, "a, gone on, touched %s", c)
	}
	o.sum("touched by a when it went on", "%d of %d things that were compared", len(changes), len(before))
	return nil
}

// ownerOf begins what the traces of a node say of its owner.
const ownerOf = "owner: "

// traces are the fingerprints of everything kup could touch, and on every node
// what kup keeps there: executions, mirrors, and whose the node is.
func (e *env) traces(ctx context.Context) (map[string]string, error) {
	const script = `echo "` + ownerOf + `$(cat /var/lib/kup/owner)"
find /var/lib/kup -type f -exec sha256sum {} + | sort -k2`
	out, err := e.fingerprints(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range e.lab.Nodes() {
		if out[keptBy+n.Name], err = e.lab.Exec(ctx, n.Name, "sh", "-c", script); err != nil {
			return nil, fmt.Errorf("what kup keeps on %s: %w", n.Name, err)
		}
	}
	return out, nil
}

const keptBy = "kup's files on node "

// judgeOwner wants every node to be that of the newer epoch.
func (o *operators) judgeOwner(traces map[string]string) {
	lines, err := o.b.journal()
	if !o.check(err == nil && len(lines) > 0, "b's journal: %d lines, %v", len(lines), err) {
		return
	}
	epoch := epochOf(lines)
	o.check(epoch > o.epoch, "b took the cluster over with epoch %d, a had %d", epoch, o.epoch)
	for _, n := range o.lab.Nodes() {
		line, _, _ := strings.Cut(traces[keptBy+n.Name], "\n")
		o.check(strings.HasPrefix(line, ownerOf) && strings.HasSuffix(line, fmt.Sprintf(" %d", epoch)), "%s: %s, want epoch %d", n.Name, line, epoch)
	}
	o.sum("epoch of the hosts' owner", "%d; that of the operator who was frozen: %d", epoch, o.epoch)
}
