package machine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/pkg/cluster"
)

// States of the kubelet's service.
const (
	stateActive     = "active"
	stateActivating = "activating"
	stateInactive   = "inactive"
)

// restartDelay is the unit's RestartSec.
const restartDelay = 10 * time.Second

var errNoKubelet = errors.New("the kubelet is not installed")

// unit is the kubelet's service while it is started.
type unit struct {
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}

	// guarded by the machine's mu
	state string
	pid   int
	// told is the version of the last kubelet that told the API what is here, its lease
	// included; zero: none yet.
	told cluster.Version
}

// startKubelet starts what is installed. A service that is started is left alone.
func (m *Machine) startKubelet() error {
	if _, ok := stampOf(m.fs, kubeletUnit); !ok {
		return errNoKubelet
	}
	u, ctx := m.newUnit()
	if u == nil {
		return nil
	}
	pid := m.newProcess()
	m.become(u, stateActive, pid)
	go func() {
		defer close(u.done)
		m.supervise(ctx, u, pid)
	}()
	return nil
}

// newUnit makes the service's unit and what its processes live in; nil when there is
// one, or no boot.
func (m *Machine) newUnit() (*unit, context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unit != nil || m.boot == nil {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(m.boot.Context())
	m.unit = &unit{cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1), state: stateActivating}
	return m.unit, ctx
}

// stopKubelet stops it and waits until it is gone.
func (m *Machine) stopKubelet() {
	m.mu.Lock()
	u := m.unit
	m.mu.Unlock()
	if u == nil {
		return
	}
	u.cancel()
	<-u.done
	m.mu.Lock()
	if m.unit == u {
		m.unit = nil
	}
	m.mu.Unlock()
}

// kubeletState is the service's state and the process's id, 0 when there is none.
func (m *Machine) kubeletState() (state string, pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unit == nil {
		return stateInactive, 0
	}
	return m.unit.state, m.unit.pid
}

// supervise runs the kubelet, as it is installed by then, again and again; pid is the
// first process.
func (m *Machine) supervise(ctx context.Context, u *unit, pid int) {
	for ctx.Err() == nil {
		if pid == 0 {
			pid = m.newProcess()
			m.become(u, stateActive, pid)
		}
		err := errNoKubelet
		if v, ok := stampOf(m.fs, kubeletUnit); ok {
			err = m.runKubelet(ctx, u, v)
		}
		m.endProcess(pid)
		pid = 0
		if ctx.Err() != nil {
			break
		}
		m.log.notef("main process exited: %v", err)
		m.become(u, stateActivating, 0)
		m.missHeartbeats()
		_ = m.wait(ctx, restartDelay)
	}
	if pid != 0 {
		m.endProcess(pid)
	}
	m.become(u, stateInactive, 0)
	m.missHeartbeats()
}

func (m *Machine) become(u *unit, state string, pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u.state, u.pid = state, pid
}

// tells notes that the unit's kubelet has told the API what is here.
func (m *Machine) tells(u *unit, v cluster.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u.told = v
}

// told gives the version of the kubelet that told the API last, zero where none has
// since the service is on; false: it is off.
func (m *Machine) told() (v cluster.Version, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unit == nil {
		return cluster.Version{}, false
	}
	return m.unit.told, true
}

// newProcess gives a kubelet process an id and its entry in /proc.
func (m *Machine) newProcess() int {
	m.mu.Lock()
	m.pid++
	pid := m.pid
	m.mu.Unlock()
	dir := "/proc/" + strconv.Itoa(pid)
	if err := errors.Join(m.fs.MkdirAll(dir, 0o555), m.fs.Symlink(binary(kubeletUnit), dir+"/exe")); err != nil {
		m.log.notef("%v", err)
	}
	return pid
}

func (m *Machine) endProcess(pid int) {
	if err := m.fs.RemoveAll("/proc/" + strconv.Itoa(pid)); err != nil {
		m.log.notef("%v", err)
	}
}

// unpacked is told when a package's files were replaced: a process that runs goes on
// with the file that is gone.
func (m *Machine) unpacked(f *vfs.FS, name string) {
	_, pid := m.kubeletState()
	if name != kubeletUnit || pid == 0 || f != m.fs {
		return
	}
	link := fmt.Sprintf("/proc/%d/exe", pid)
	if err := errors.Join(m.fs.RemoveAll(link), m.fs.Symlink(binary(kubeletUnit)+" (deleted)", link)); err != nil {
		m.log.notef("%v", err)
	}
}

// wake has the kubelet look at everything again.
func (m *Machine) wake() {
	m.mu.Lock()
	u := m.unit
	m.mu.Unlock()
	if u == nil {
		return
	}
	select {
	case u.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// isSick tells whether this kubelet is one that never becomes ready.
func (m *Machine) isSick(v cluster.Version) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sick[v]
}
