package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/fault"
)

// healTimeout bounds the ending of a fault.
const healTimeout = 4 * time.Minute

// trial is one fault that strikes during a run.
type trial struct {
	fault string
	what  string
	at    moment
	// node is struck; empty: the moment's own.
	node string
	// away says that the node's own containers end with the fault.
	away bool
	// lasts returns when the fault has lasted long enough, given how much kup had
	// printed when it struck; nil: it is over at once.
	lasts func(ctx context.Context, t *trials, from int) error
	// says are texts, in lower case, of which one must be in what kup prints from
	// the strike on, for the operator to know what is in the way.
	says []string
}

// struck is what came of a trial.
type struck struct {
	trial
	step, seen string
	lasted     time.Duration
	from       int    // of kup's output
	bootID     string // before; empty: not asked
}

// trials strikes one fault after the other, in the order of the plan, while kup
// runs, stops, and is resumed.
type trials struct {
	*hop
	away *away
	said transcript // of every kup of the run, one after the other

	mu     sync.Mutex
	ended  bool // nobody resumes any more
	active string
	struck []struck
}

// run strikes them all. It returns early, without an error, when one finds no
// moment any more.
func (t *trials) run(ctx context.Context, list []trial) error {
	for _, tr := range list {
		s, err := t.await(ctx, t.kup, t.going, tr.at)
		if errors.Is(err, errMissed) {
			t.check(false, "%s: no moment for it: %v", tr.what, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", tr.what, err)
		}
		if err := t.strike(ctx, tr, s); err != nil {
			return fmt.Errorf("%s: %w", tr.what, err)
		}
	}
	return nil
}

// strike injects the fault, lets it last, and ends it, whatever happens.
func (t *trials) strike(ctx context.Context, tr trial, s sighting) (err error) {
	if tr.node == "" {
		tr.node = s.node
	}
	done := struck{trial: tr, step: s.step, seen: s.seen, from: t.said.size()}
	if tr.away {
		t.away.add(tr.node)
		if done.bootID, err = t.lab.BootID(ctx, tr.node); err != nil {
			return err
		}
	}
	t.setActive(tr.what)
	defer t.setActive("")
	t.printf("fault %s: %s, in step %s; %s", tr.fault, tr.what, s.step, s.seen)
	began := time.Now()
	heal, err := fault.Strike(ctx, tr.fault, t.breakable(tr.node))
	if err != nil {
		return err
	}
	if tr.lasts != nil {
		err = tr.lasts(ctx, t, done.from)
	}
	// Other faults can strike still, whatever kup failed to say.
	if ctx.Err() == nil && err != nil {
		t.check(false, "%s: %v", tr.what, err)
		err = nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), healTimeout)
	defer cancel()
	err = errors.Join(err, heal(clean))
	done.lasted = time.Since(began)
	t.printf("fault %s: over after %s", tr.fault, seconds(done.lasted))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.struck = append(t.struck, done)
	return err
}

func (t *trials) setActive(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active = what
}

// nothingWrong is an error while a fault is at work.
func (t *trials) nothingWrong(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active != "" {
		return fmt.Errorf("%s: not over yet", t.active)
	}
	return nil
}

func (t *trials) going() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.ended
}

func (t *trials) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// judgeTrials prints what came of them and asserts what kup had to say.
func (t *trials) judgeTrials(ctx context.Context) error {
	rows := [][]string{{"fault", "struck in step", "seen there", "lasted", "kup said"}}
	for _, s := range t.struck {
		said := lineWith(t.said.since(s.from), s.says...)
		t.check(said != "", "%s: kup said none of %q", s.what, s.says)
		rows = append(rows, []string{s.what, s.step, s.seen, seconds(s.lasted), said})
		if s.bootID == "" {
			continue
		}
		now, err := t.lab.BootID(ctx, s.node)
		if err != nil {
			return err
		}
		t.check(now != s.bootID, "%s lost its power and has the boot id of before, %s: the lab gives none of its own", s.node, now)
	}
	t.printTable("Faults", rows)
	return nil
}

// lineWith is the first line that holds one of the texts, in whatever case.
func lineWith(text string, whats ...string) string {
	const most = 160
	for line := range strings.Lines(text) {
		lower := strings.ToLower(line)
		if !slices.ContainsFunc(whats, func(w string) bool { return strings.Contains(lower, w) }) {
			continue
		}
		line = strings.TrimSpace(line)
		if r := []rune(line); len(r) > most {
			line = string(r[:most]) + "…"
		}
		return line
	}
	return ""
}
