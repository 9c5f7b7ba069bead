package execution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// question is what the script is asked to do.
type question struct {
	m       *Model
	on      *Boot
	process *shell.Process
	fs      *vfs.FS
	stdin   io.Reader

	base, boot, action string

	dir         string // of an execution
	out, err    int64  // what of its output was shown before
	hold, quick int64  // hundredths of seconds

	run, digest, unit string
	epoch             int64
	limit, size       int64
}

// question reads the script's arguments: BASE BOOT SYSTEMD ACTION and the action's.
func (m *Model) question(p *shell.Process, on *Boot, args []string) (*question, error) {
	q := &question{m: m, on: on, process: p, fs: p.FS, stdin: p.Stdin}
	var systemd string // an execution of the model is never a unit
	texts := []*string{&q.base, &q.boot, &systemd, &q.action}
	rest, err := take(args, texts, nil)
	if err != nil {
		return nil, err
	}
	switch q.action {
	case "own":
		_, err = take(rest, []*string{&q.run}, []*int64{&q.epoch})
	case "status":
		_, err = take(rest, []*string{&q.dir}, nil)
	case "wait", "run":
		rest, err = take(rest, []*string{&q.dir}, []*int64{&q.out, &q.err, &q.hold, &q.quick})
		if err == nil && q.action == "run" {
			rest, err = take(rest, []*string{&q.run}, []*int64{&q.epoch})
		}
		if err == nil && q.action == "run" {
			_, err = take(rest, []*string{&q.digest, &q.unit}, []*int64{&q.limit, &q.size})
		}
	}
	return q, err
}

// take reads arguments, first texts, then numbers, and gives the rest.
func take(args []string, texts []*string, numbers []*int64) ([]string, error) {
	if len(args) < len(texts)+len(numbers) {
		return nil, errors.New("parameter not set")
	}
	for i, t := range texts {
		*t = args[i]
	}
	args = args[len(texts):]
	for i, n := range numbers {
		var err error
		if *n, err = strconv.ParseInt(args[i], 10, 64); err != nil {
			return nil, fmt.Errorf("illegal number: %s", args[i])
		}
	}
	return args[len(numbers):], nil
}

func (q *question) answer(ctx context.Context) (*reply, error) {
	switch q.action {
	case "own":
		if err := q.directory(q.base); err != nil {
			return nil, err
		}
		return q.own(ctx)
	case "status":
		return q.status(ctx)
	case "run":
		return q.ask(ctx)
	case "wait":
		if !q.exists(q.dir) {
			return &reply{state: "absent"}, nil
		}
		return q.show(q.attend(ctx)), nil
	default:
		return nil, fmt.Errorf("no such action: %s", q.action)
	}
}

// directory makes one with its parents, as root alone can.
func (q *question) directory(name string) error {
	if !q.process.Root && !q.exists(name) {
		return fmt.Errorf("cannot make %s: %w", name, syscall.EACCES)
	}
	if err := q.fs.MkdirAll(name, 0o700); err != nil {
		return fmt.Errorf("cannot make %s: %w", name, why(err))
	}
	return nil
}

// patience is how long the host's lock is waited for.
const patience = time.Minute

// guard takes the host's lock.
func (q *question) guard(ctx context.Context) (release func(), err error) {
	if !q.process.Root {
		return nil, fmt.Errorf("cannot lock %s: %w", q.base, syscall.EACCES)
	}
	file := path.Join(q.base, "lock")
	if f, err := q.fs.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", q.base, why(err))
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", q.base, why(err))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if release, err = q.fs.Lock(ctx, file, false); err != nil {
		return nil, fmt.Errorf("%s is held for a minute now", file)
	}
	return release, nil
}

func (q *question) own(ctx context.Context) (*reply, error) {
	release, err := q.guard(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if fenced, err := q.raise(); fenced != nil || err != nil {
		return fenced, err
	}
	return &reply{state: "owned"}, nil
}

// raise makes the run the owner of the host, unless a newer one is: then that is
// the answer. It is called under the lock.
func (q *question) raise() (fenced *reply, err error) {
	file := path.Join(q.base, "owner")
	if q.exists(file) {
		line, _ := q.line(file)
		line, _, _ = strings.Cut(line, "\n")
		owner, had, _ := strings.Cut(strings.TrimSpace(line), " ")
		had = strings.TrimSpace(had)
		epoch, err := strconv.ParseUint(had, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged; remove it when no other kup works on this host", file)
		}
		switch held := int64(epoch); { //nolint:gosec // 63 bits
		case held > q.epoch, held == q.epoch && owner != q.run:
			return &reply{state: "fenced", a: owner, b: had}, nil
		case held == q.epoch:
			return nil, nil
		}
	}
	line := fmt.Sprintf("%s %d\n", q.run, q.epoch)
	err = q.fs.WriteFile(file+".new", []byte(line), 0o600)
	if err == nil {
		err = q.fs.Rename(file+".new", file)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write %s", file)
	}
	return nil, nil
}
