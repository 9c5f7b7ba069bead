package detached

import (
	"context"
	"crypto/sha256"
	_ "embed" // the host's side
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Base is where everything of kup is kept on a host.
const Base = "/var/lib/kup"

//go:embed wrapper.sh
var wrapper string

// Executor starts, finds and awaits executions on hosts, on behalf of one run.
// It is safe for concurrent use.
type Executor struct {
	run   string
	epoch int64
	span  func(from, to time.Time)

	base    string
	bootID  string
	systemd string
	hold    time.Duration // how long the host keeps a question open
	quick   time.Duration // the same, once there is output and somebody to see it
	retry   time.Duration // pause after a lost connection, at first

	mu    sync.Mutex
	ready map[string]bool // hosts that have the wrapper
}

// Option changes an executor.
type Option func(*Executor)

// BaseDirectory keeps everything under dir instead of [Base].
func BaseDirectory(dir string) Option { return func(e *Executor) { e.base = dir } }

// BootID reads the host's boot id from another file than the kernel's.
func BootID(file string) Option { return func(e *Executor) { e.bootID = file } }

// SystemdDirectory is the directory whose existence on the host says that systemd
// runs there.
func SystemdDirectory(dir string) Option { return func(e *Executor) { e.systemd = dir } }

// Pace scales how soon output is asked for and a lost connection is made again,
// for hosts whose clocks run faster. 0: not at all.
func Pace(by float64) Option {
	return func(e *Executor) {
		if by <= 0 {
			return
		}
		for _, d := range []*time.Duration{&e.quick, &e.retry} {
			*d = max(time.Duration(float64(*d)*by), 10*time.Millisecond)
		}
	}
}

// New gives the executor of a run, whose epoch is that of its lock. span is told
// when a command ran, as seen from here; it may be nil.
func New(run string, epoch int64, span func(from, to time.Time), options ...Option) *Executor {
	e := &Executor{
		run: run, epoch: epoch, span: span,
		base: Base, bootID: "/proc/sys/kernel/random/boot_id", systemd: "/run/systemd/system",
		hold: 20 * time.Second, quick: 1500 * time.Millisecond, retry: 500 * time.Millisecond,
		ready: map[string]bool{},
	}
	for _, o := range options {
		o(e)
	}
	return e
}

// State is where an execution stands.
type State string

// The states.
const (
	Absent  State = "absent" // never started
	Running State = "running"
	Exited  State = "exited"
	Lost    State = "lost" // ended, nobody knows how
)

// Status is what a host knows of an execution.
type Status struct {
	State State
	Code  int // exit code, when Exited
	// Reason says why it is lost, or that it did not end by itself ("timeout",
	// "terminated").
	Reason string
}

// String gives "running" or "exited(1)".
func (s Status) String() string {
	if s.State == Exited {
		return fmt.Sprintf("exited(%d)", s.Code)
	}
	return string(s.State)
}

// Status asks where an execution stands. One that was proposed but is carried out
// by nobody is withdrawn, so that what is absent cannot start later.
func (e *Executor) Status(ctx context.Context, h remote.Host, id plan.Execution) (Status, error) {
	r, err := e.ask(ctx, h, nil, "status", e.dir(id))
	if err != nil {
		return Status{}, e.failure(h, id, err)
	}
	switch r.state {
	case Absent, Running:
		return Status{State: r.state}, nil
	case Lost:
		return Status{State: Lost, Reason: lostReason(r.b)}, nil
	case Exited:
		code, err := r.code()
		if err != nil {
			return Status{}, fmt.Errorf("%s: execution %s: %w", h, id, err)
		}
		s := Status{State: Exited, Code: code}
		if r.b != "exited" {
			s.Reason = r.b
		}
		return s, nil
	default:
		return Status{}, fmt.Errorf("%s: execution %s: unexpected state %q", h, id, r.state)
	}
}

// Own makes the run the owner of the host: from then on the host starts nothing
// for runs of a lower epoch. A *[FencedError] says that a newer run owns it. Run
// does the same before it starts something.
func (e *Executor) Own(ctx context.Context, h remote.Host) error {
	r, err := e.ask(ctx, h, nil, "own", escape(e.run), strconv.FormatInt(e.epoch, 10))
	if err != nil {
		return fmt.Errorf("own the host: %w", unanswered(h, err))
	}
	switch r.state {
	case owned:
		return nil
	case fenced:
		return e.fencedBy(h, r)
	default:
		return fmt.Errorf("%s: own the host: unexpected answer %q", h, r.state)
	}
}

func (e *Executor) fencedBy(h remote.Host, r reply) error {
	epoch, _ := strconv.ParseInt(r.b, 10, 64)
	return &FencedError{Host: h.String(), Run: e.run, Epoch: e.epoch, Owner: r.a, OwnerEpoch: epoch}
}

func lostReason(how string) string {
	if how == "reboot" {
		return "the host was restarted before the command ended"
	}
	return "it is gone without having written a status"
}

// wrapperPath is where the wrapper is on a host; its name tells its content.
func (e *Executor) wrapperPath() string {
	sum := sha256.Sum256([]byte(wrapper))
	return path.Join(e.base, escape(e.run), "wrapper-"+hex.EncodeToString(sum[:6])+".sh")
}

// Exit codes of a shell that cannot find its script.
const (
	dashMissing = 2
	bashMissing = 127
)

// ask has the wrapper do something, bringing it to the host when it is not there.
func (e *Executor) ask(ctx context.Context, h remote.Host, j *job, action ...string) (reply, error) {
	for again := false; ; again = true {
		if err := e.prepare(ctx, h); err != nil {
			return reply{}, err
		}
		c := remote.Command{Argv: append([]string{"sh", e.wrapperPath(), e.base, e.bootID, e.systemd}, action...), Sudo: true}
		if j != nil {
			c.Stdin = j.stdin()
		}
		result, err := h.Run(ctx, c)
		var failed *remote.ExitError
		if errors.As(err, &failed) && (failed.Code == dashMissing || failed.Code == bashMissing) && !again {
			e.setReady(h, false)
			continue
		}
		if err != nil {
			return reply{}, err
		}
		return parseReply(result.Stdout)
	}
}

// prepare brings the wrapper to the host, once.
func (e *Executor) prepare(ctx context.Context, h remote.Host) error {
	e.mu.Lock()
	ready := e.ready[h.String()]
	e.mu.Unlock()
	if ready {
		return nil
	}
	if err := h.WriteFile(ctx, e.wrapperPath(), []byte(wrapper), 0o600); err != nil {
		var lost *remote.ConnectionError
		if errors.As(err, &lost) {
			lost.Unsent = true // whatever became of the file, no command ran
		}
		return err
	}
	e.setReady(h, true)
	return nil
}

func (e *Executor) setReady(h remote.Host, ready bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready[h.String()] = ready
}

// unanswered is the error of a question that the wrapper did not answer. It does
// not wrap an exit code, which would pass for that of the command.
func unanswered(h remote.Host, err error) error {
	var failed *remote.ExitError
	if !errors.As(err, &failed) {
		return err
	}
	return fmt.Errorf("%s: %s", h, said(failed))
}

func said(e *remote.ExitError) string {
	if s := strings.TrimSpace(string(e.Stderr)); s != "" {
		return s
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

func (e *Executor) failure(h remote.Host, id plan.Execution, err error) error {
	return fmt.Errorf("execution %s: %w", id, unanswered(h, err))
}
