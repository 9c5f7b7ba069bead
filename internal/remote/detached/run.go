package detached

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Run starts the command as root under this id, unless it was started before,
// waits for its end and gives its output. A lost connection is made again, for as
// long as ctx lasts: only then does the host keep the command, which goes on there
// when ctx ends. Before anything was sent, an unreachable host is an error at once.
//
// progress, which may be nil, is told every line of output, from the beginning,
// with a delay of a second or two. Timeout is kept on the host. Stdin is read to
// its end first and is part of what is to be done, as are arguments and environment.
//
// Errors: *remote.ExitError (within *[TimeoutError] or *[TerminatedError] when the
// command did not end by itself), *[LostError] (also when a shutdown terminated it), *[FencedError],
// *[OtherCommandError], *[StartError], *remote.ConnectionError.
func (e *Executor) Run(ctx context.Context, h remote.Host, id plan.Execution, c remote.Command, progress func(line string)) (remote.Result, error) {
	j, err := e.job(id, c)
	if err != nil {
		return remote.Result{}, fmt.Errorf("%s: execution %s: %w", h, id, err)
	}
	if err := e.prepare(ctx, h); err != nil {
		return remote.Result{}, e.failure(h, id, err)
	}
	if e.span != nil {
		from := time.Now()
		defer func() { e.span(from, time.Now()) }()
	}
	a := &attendance{Executor: e, host: h, job: j, out: output{note: progress}, pause: e.retry}
	for {
		r, err := a.ask(ctx)
		if err != nil {
			if err = a.endure(ctx, err); err != nil {
				return remote.Result{}, err
			}
			continue
		}
		a.pause = e.retry
		a.out.add(&r)
		result, ended, err := a.judge(&r)
		if !ended {
			continue
		}
		a.out.end()
		var terminated *TerminatedError
		if errors.As(err, &terminated) && a.shutDown(ctx) {
			err = &LostError{Host: h.String(), Execution: id, Reason: "the host was shut down while the command ran", Stdout: a.out.stdout, Stderr: a.out.stderr}
		}
		return result, err
	}
}

// mostOutput is how much of either output one answer holds, as wrapper.sh has it.
const mostOutput = 1 << 20

// attendance is the waiting for one execution.
type attendance struct {
	*Executor
	host  remote.Host
	job   *job
	out   output
	sent  bool // the command may have been started
	known bool // the host has it
	pause time.Duration
}

// ask starts the execution when the host does not have it yet, and waits for news.
func (a *attendance) ask(ctx context.Context) (reply, error) {
	quick := a.hold
	if a.out.note != nil {
		quick = a.quick
	}
	args := []string{"wait", a.job.dir, strconv.Itoa(len(a.out.stdout)), strconv.Itoa(len(a.out.stderr)), hundredths(a.hold), hundredths(quick)}
	if a.known {
		return a.Executor.ask(ctx, a.host, nil, args...)
	}
	args[0] = "run"
	args = append(args, escape(a.run), strconv.FormatInt(a.epoch, 10), a.job.digest, a.job.unit, strconv.FormatInt(a.job.limit(), 10), a.job.size())
	return a.Executor.ask(ctx, a.host, a.job, args...)
}

func hundredths(d time.Duration) string {
	return strconv.FormatInt(int64(d/(10*time.Millisecond)), 10)
}

// endure waits a little after a lost connection. It gives the error when waiting
// is of no use.
func (a *attendance) endure(ctx context.Context, err error) error {
	var lost *remote.ConnectionError
	var failed *remote.ExitError
	switch {
	case errors.As(err, &failed) && !a.sent && !a.known:
		return &StartError{Host: a.host.String(), Execution: a.job.id, Reason: said(failed)}
	case !errors.As(err, &lost):
		return a.left(ctx, err)
	case lost.Unsent && !a.sent:
		return a.failure(a.host, a.job.id, err)
	}
	if a.pause == a.retry && a.out.note != nil {
		a.out.note(fmt.Sprintf("connection lost, the command goes on; connecting again (%v)", lost.Err))
	}
	a.sent = true
	wait := time.NewTimer(a.pause)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return a.left(ctx, fmt.Errorf("%w; last: %w", context.Cause(ctx), err))
	case <-wait.C:
	}
	a.pause = min(2*a.pause, 10*time.Second)
	return nil
}

// left says that nobody waits any more.
func (a *attendance) left(ctx context.Context, err error) error {
	if a.sent || a.known || ctx.Err() != nil {
		return fmt.Errorf("%s: execution %s may go on there: %w", a.host, a.job.id, unanswered(a.host, err))
	}
	return a.failure(a.host, a.job.id, err)
}

// judge tells whether the execution has ended, and how.
func (a *attendance) judge(r *reply) (result remote.Result, ended bool, err error) {
	host, id := a.host.String(), a.job.id
	more := len(r.stdout) == mostOutput || len(r.stderr) == mostOutput
	switch r.state {
	case Running:
		a.known, a.sent = true, true
		return result, false, nil
	case unstarted, Absent:
		if a.known && r.state == Absent {
			return result, true, &LostError{Host: host, Execution: id, Reason: "its directory is gone"}
		}
		a.known = false // ask to start it again: that cannot start it twice
		return result, false, nil
	case fenced:
		return result, true, a.fencedBy(a.host, *r)
	case other:
		return result, true, &OtherCommandError{Host: host, Execution: id}
	case Lost, Exited:
		a.known, a.sent = true, true
		if more {
			return result, false, nil
		}
	default:
		return result, true, fmt.Errorf("%s: execution %s: unexpected state %q", host, id, r.state)
	}
	if r.state == Lost {
		return result, true, &LostError{Host: host, Execution: id, Reason: lostReason(r.b), Stdout: a.out.stdout, Stderr: a.out.stderr}
	}
	result, err = a.exit(r)
	return result, true, err
}

func (a *attendance) exit(r *reply) (remote.Result, error) {
	code, err := r.code()
	if err != nil {
		return remote.Result{}, fmt.Errorf("%s: execution %s: %w", a.host, a.job.id, err)
	}
	if code == 0 && r.b == "exited" {
		return remote.Result{Stdout: a.out.stdout, Stderr: a.out.stderr}, nil
	}
	failed := &remote.ExitError{Host: a.host.String(), Argv: a.job.command.Argv, Code: code, Stdout: a.out.stdout, Stderr: a.out.stderr}
	switch r.b {
	case "timeout":
		return remote.Result{}, &TimeoutError{Host: failed.Host, Execution: a.job.id, After: a.job.command.Timeout, Err: failed}
	case "terminated":
		return remote.Result{}, &TerminatedError{Host: failed.Host, Execution: a.job.id, Err: failed}
	}
	return remote.Result{}, failed
}
