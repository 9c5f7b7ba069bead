package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/pkg/plan"
)

// windowOptions are the flags of a change window.
type windowOptions struct {
	until string
	most  time.Duration
}

func (o *windowOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.until, "until", "", "begin nothing that would not end by then: 04:00 (the next, by this machine's clock) or RFC 3339")
	f.DurationVar(&o.most, "max-duration", 0, "begin nothing that would not end within this time: 2h30m")
}

// window is the time that a run has; without an end when its end is zero.
type window struct {
	end  time.Time
	pace float64
}

// window reads the flags; of two ends the earlier holds.
func (o *windowOptions) window(now time.Time, pace float64) (window, error) {
	w := window{pace: pace}
	if o.most < 0 {
		return w, &usageError{err: fmt.Errorf("--max-duration %s is over before it begins", o.most), hint: "--max-duration 2h30m"}
	}
	if o.most > 0 {
		w.end = now.Add(o.most).Round(0) // by the calendar: the other clock stands still while the machine sleeps
	}
	if o.until == "" {
		return w, nil
	}
	end, err := clock(o.until, now)
	if err != nil {
		return w, err
	}
	if w.end.IsZero() || end.Before(w.end) {
		w.end = end
	}
	return w, nil
}

// clock reads 04:00, the next time that it is, or a moment as RFC 3339.
func clock(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		if !at.After(now) {
			return at, &usageError{err: fmt.Errorf("--until %s is over", text), hint: "--until 04:00, for the next four o'clock"}
		}
		return at, nil
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		return at, &usageError{err: fmt.Errorf("--until %q: want a time of day such as 04:00, or RFC 3339", text), hint: "--until 04:00"}
	}
	day := now
	for {
		next := time.Date(day.Year(), day.Month(), day.Day(), at.Hour(), at.Minute(), 0, 0, now.Location())
		if next.After(now) {
			return next, nil
		}
		day = day.AddDate(0, 0, 1)
	}
}

// Fits implements engine.Window.
func (w window) Fits(d time.Duration) bool { return !time.Now().Add(w.scale(d)).After(w.end) }

func (w window) scale(d time.Duration) time.Duration { return Seams{Pace: w.pace}.pace(d) }

// engine gives the window to the engine: nil when it has no end.
func (w window) engine() engine.Window {
	if w.end.IsZero() {
		return nil
	}
	return w
}

// forecast tells people, before the start, that the window will not hold all that
// is left, and where the run would end.
func (w window) forecast(out io.Writer, p *plan.Plan, done func(step string) bool) error {
	if w.end.IsZero() {
		return nil
	}
	has := time.Until(w.end)
	l := remains(p, done)
	if w.scale(l.takes) <= has {
		return nil
	}
	_, err := fmt.Fprintf(out, "\nThe window ends %s, and what is left takes about %s: the run would end before %s, with exit status 4.\n",
		w.end.Local().Format("Mon 15:04"), report.Duration(l.takes), w.endsBefore(p, done, has))
	return err
}

// endsBefore names the first step that would not be begun.
func (w window) endsBefore(p *plan.Plan, done func(step string) bool, has time.Duration) string {
	var gone time.Duration
	for _, wave := range rest(p, done) {
		for i, lane := range wave.Lanes {
			begun := plan.Wave{Parallel: wave.Parallel, Lanes: wave.Lanes[:i+1]}
			if w.scale(gone+begun.Estimate()) > has {
				return lane[0].ID
			}
		}
		gone += wave.Estimate()
	}
	return "its end"
}

// left is what a run still has to do.
type left struct {
	steps, total int
	takes        time.Duration
}

func remains(p *plan.Plan, done func(step string) bool) left {
	var l left
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		l.total++
		if !done(s.ID) {
			l.steps++
		}
		return true
	})
	for _, wave := range rest(p, done) {
		l.takes += wave.Estimate()
	}
	return l
}

// rest is a plan's waves in order, without the steps that are done.
func rest(p *plan.Plan, done func(step string) bool) []plan.Wave {
	var out []plan.Wave
	for i := range p.Hops {
		for j := range p.Hops[i].Stages {
			for _, w := range p.Hops[i].Stages[j].Waves {
				out = append(out, open(w, done))
			}
		}
	}
	return out
}

func open(w plan.Wave, done func(step string) bool) plan.Wave {
	out := plan.Wave{Parallel: w.Parallel}
	for _, lane := range w.Lanes {
		left := slices.DeleteFunc(slices.Clone(lane), func(s plan.Step) bool { return done(s.ID) })
		if len(left) > 0 {
			out.Lanes = append(out.Lanes, left)
		}
	}
	return out
}

// closedError is a run that its window ended.
type closedError struct {
	err  error
	end  time.Time
	left left
}

func (e *closedError) Error() string {
	return fmt.Sprintf("%v; it ends %s; %d of %d steps are left, about %s",
		e.err, e.end.Local().Format("Mon 15:04"), e.left.steps, e.left.total, report.Duration(e.left.takes))
}

func (e *closedError) Unwrap() error { return e.err }

// explain adds to the end of a run by its window what remains to be done.
func (w window) explain(err error, p *plan.Plan, done func(step string) bool) error {
	if !is[*engine.WindowError](err) {
		return err
	}
	return &closedError{err: err, end: w.end, left: remains(p, done)}
}
