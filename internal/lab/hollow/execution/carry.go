package execution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// launch has the execution carried out. It is called under the lock, and once it
// has returned everybody can see who is at it.
func (q *question) launch() error {
	text, err := q.line(path.Join(q.dir, "limit"))
	limit, bad := strconv.ParseInt(text, 10, 64)
	if err != nil || bad != nil {
		return fmt.Errorf("%s is damaged", q.dir)
	}
	script, _ := q.fs.ReadFile(path.Join(q.dir, "command"))
	r := &running{
		execution: read(q.dir, string(script), time.Duration(limit)*time.Second),
		news:      make(chan struct{}),
	}
	life, kill := context.WithCancelCause(q.on.ctx)
	ctx, terminate := shell.Terminable(life)
	r.kill, r.terminate = kill, terminate
	c := &carrier{q: q, r: r}
	if err := q.on.begin(r, c.claim, func() { c.carry(ctx, life) }); err != nil {
		kill(nil)
		return errors.Join(fmt.Errorf("the command could not be started: %w", why(err)), q.withdraw())
	}
	return nil
}

// carrier carries out one execution.
type carrier struct {
	q              *question
	r              *running
	letGo          func() // of the file that says that the command lives
	stdin          io.Reader
	stdout, stderr io.WriteCloser
}

func (c *carrier) file(name string) string { return path.Join(c.q.dir, name) }

// claim makes the files that say that the execution is carried out.
func (c *carrier) claim() (err error) {
	fs := c.q.fs
	if err := fs.WriteFile(c.file("alive"), nil, 0o600); err != nil {
		return err
	}
	if c.letGo, err = fs.TryLock(c.file("alive"), false); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.letGo()
		}
	}()
	boot, err := fs.ReadFile(c.q.boot)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"launch": nil, "boot": boot, "pid": []byte("1\n")} {
		if err := fs.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	input, _ := fs.ReadFile(c.file("stdin"))
	c.stdin = bytes.NewReader(input)
	if c.stdout, err = c.output("stdout"); err != nil {
		return err
	}
	if c.stderr, err = c.output("stderr"); err != nil {
		return err
	}
	if err := fs.Mkdir(c.file("started"), 0o700); err != nil {
		return err
	}
	if c.q.exists(c.file("stdin")) {
		return fs.Remove(c.file("stdin"))
	}
	return nil
}

func (c *carrier) output(name string) (io.WriteCloser, error) {
	f, err := c.q.fs.OpenFile(c.file(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &recorded{WriteCloser: f, r: c.r, on: c.q.on}, nil
}

// recorded is an output of a command, of which those who wait are told.
type recorded struct {
	io.WriteCloser
	r  *running
	on *Boot
}

func (o *recorded) Write(p []byte) (n int, err error) {
	err = o.on.while(func() error {
		n, err = o.WriteCloser.Write(p)
		return err
	})
	o.r.tell()
	return n, err
}

// grace is what a command gets between SIGTERM and SIGKILL when its time is over.
const grace = 30 * time.Second

// carry runs the command and writes its status. ctx ends in the way of SIGTERM, life
// in that of SIGKILL.
func (c *carrier) carry(ctx, life context.Context) {
	defer c.r.kill(nil)
	defer c.letGo()
	defer func() { _, _ = c.stdout.Close(), c.stderr.Close() }()
	x := c.r.execution
	if x.Limit > 0 {
		late := time.AfterFunc(x.Limit, func() {
			c.r.late.Store(true)
			c.r.terminate()
		})
		defer late.Stop()
		last := time.AfterFunc(x.Limit+grace, func() { c.r.kill(errLate) })
		defer last.Stop()
	}
	around := c.q.m.Around
	if around == nil {
		around = func(_ context.Context, _ Execution, run func() int) int { return run() }
	}
	code := around(ctx, x, func() int { return c.run(ctx, life) })
	o := c.r.outcome(life, code)
	if o.How == vanished {
		return
	}
	_ = c.q.on.while(func() error { // a machine without power, or with a full disk, writes nothing
		line := fmt.Sprintf("%d %s\n", o.Code, o.How)
		if err := c.q.fs.WriteFile(c.file("status.new"), []byte(line), 0o600); err != nil {
			return err
		}
		return c.q.fs.Rename(c.file("status.new"), c.file("status"))
	})
}

// vanished is how a command ended that left no status.
const vanished = "vanished"

// timedOut is the exit code of a command that was ended when its time was over.
const timedOut = 124

func (r *running) outcome(life context.Context, code int) Outcome {
	cause := context.Cause(life)
	switch {
	case code < 0, errors.Is(cause, errKilled), errors.Is(cause, errOver):
		return Outcome{Code: killed, How: vanished}
	case r.cut.Load():
		return Outcome{Code: code, How: "terminated"}
	case errors.Is(cause, errLate):
		return Outcome{Code: killed, How: "timeout"}
	case r.late.Load():
		return Outcome{Code: timedOut, How: "timeout"}
	}
	return Outcome{Code: code, How: "exited"}
}

// command is how the script runs a command: with a umask that the command inherits.
const command = `umask 077; exec sh "$0"`

// run runs the command in the environment that the script gives it.
func (c *carrier) run(ctx, life context.Context) int {
	m, asker := c.q.m, c.q.process
	if m.Started != nil {
		m.Started(c.r.execution)
	}
	code := asker.Shell.Exec(ctx, &shell.Process{
		Args: []string{"sh", "-c", command, c.file("command")}, Env: environment(asker.Env), Dir: "/",
		Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr,
		FS: asker.FS, Root: asker.Root, Shell: asker.Shell,
	})
	if m.Ended != nil {
		m.Ended(c.r.execution, c.r.outcome(life, code))
	}
	return code
}

func environment(env func(string) string) func(string) string {
	add := map[string]string{}
	if env("HOME") == "" {
		add["HOME"] = "/root"
	}
	if path := env("PATH"); !strings.Contains(":"+path+":", ":/usr/sbin:") {
		add["PATH"] = path + ":/usr/local/sbin:/usr/sbin:/sbin"
	}
	return shell.Environment(add, env)
}
