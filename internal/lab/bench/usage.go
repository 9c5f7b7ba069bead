package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a command took.
type Usage struct {
	Wall time.Duration
	// CPU is its processor time, Memory its peak resident set in bytes.
	CPU    time.Duration
	Memory int64
	Code   int
}

// Measure runs a command and writes, as JSON, the [Usage] of it. The command's own
// output goes to a file and its errors to stderr.
//
// It is for a process that does nothing else: Linux counts the memory of the process
// that starts a program as the program's own until it runs, so that a program
// started by a big process would seem to be as big.
func Measure(ctx context.Context, argv []string, output string, out, stderr io.Writer) error {
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = f, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	began := time.Now()
	err = cmd.Run()
	u := Usage{Wall: time.Since(began)}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return errors.Join(fmt.Errorf("%s: %w", argv[0], err), f.Close())
	}
	u.Code = cmd.ProcessState.ExitCode()
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.Memory = r.Maxrss << 10 // KiB on Linux: getrusage(2)
	}
	return errors.Join(f.Close(), json.NewEncoder(out).Encode(u))
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// resetPeak has the peak of this process's memory begin anew: proc_pid_clear_refs(5).
// A kernel that cannot do it says the peak since the start.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// ownPeak is the peak resident set since then, in bytes.
func ownPeak() int64 {
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) //nolint:errcheck // the kernel's own number
			return n << 10
		}
	}
	return 0
}

// profiled does something, with a profile of this process's processor time in a file;
// an empty name: without.
func profiled(file string, do func() error) error {
	if file == "" {
		return do()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}
