package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// process is a server that was started. It ends with stop, or with this process.
type process struct {
	name   string
	log    string // file that it writes to
	pid    int
	cancel context.CancelFunc
	done   chan struct{}
	err    error // how it ended; read after done is closed
}

// stopGrace is how long a server may take to end in order.
const stopGrace = 15 * time.Second

// start starts a server in a process group of its own, so that an interrupt at the
// terminal does not end it before this program says so.
func start(ctx context.Context, dir, name string, argv []string) (*process, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cancel: cancel, done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		cancel()
		return nil, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so the thread
		// stays until then. https://github.com/golang/go/issues/27505
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer log.Close() //nolint:errcheck // a log
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop ends the server and waits for it.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

// failed says that the server has ended by itself, with the last it wrote; nil: it
// runs.
func (p *process) failed() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %w; it wrote last:\n%s", p.name, errors.Join(errEnded, p.err), tail(p.log))
	default:
		return nil
	}
}

var errEnded = errors.New("it should run")

// tail is the end of a file.
func tail(path string) []byte {
	const most = 2000
	content, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return content[max(0, len(content)-most):]
}

// tick is the unit of the CPU times in /proc, USER_HZ, which is 100 on Linux
// everywhere: proc_pid_stat(5).
const tick = time.Second / 100

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0 // it has ended
	}
	// The name, in parentheses, may have anything in it.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	const utime, stime = 11, 12 // counted from the state, the third field
	if len(fields) <= stime {
		return 0
	}
	var sum time.Duration
	for _, i := range []int{utime, stime} {
		n, err := strconv.Atoi(string(fields[i]))
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// waitFor asks until it gets an answer, or the server has ended.
func (p *process) waitFor(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failed()
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w; it wrote last:\n%s", p.name, err, tail(p.log))
		case <-again.C:
		}
	}
}
