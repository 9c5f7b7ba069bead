package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// bootTime is how long a machine takes from its power button to its services.
const bootTime = 20 * time.Second

// PowerOn boots the machine: nothing of what ran before runs, services start. A
// machine that is on is left alone.
func (m *Machine) PowerOn() error {
	m.power.Lock()
	defer m.power.Unlock()
	if m.on() {
		return nil
	}
	m.runtime.lost()
	for _, dir := range []string{"/run", "/tmp", "/proc"} {
		if err := empty(m.fs, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("boot %s: %w", m.cfg.Name, err)
		}
	}
	return m.start(newBootID())
}

// Resume goes on with the boot that the machine was saved in, or provisioned for:
// what ran then runs. A machine that is on is left alone.
func (m *Machine) Resume() error {
	m.power.Lock()
	defer m.power.Unlock()
	if m.on() {
		return nil
	}
	id, err := m.fs.ReadFile(execution.BootFile)
	if errors.Is(err, fs.ErrNotExist) {
		id = []byte(newBootID())
	} else if err != nil {
		return fmt.Errorf("resume %s: %w", m.cfg.Name, err)
	}
	if err := empty(m.fs, "/proc"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resume %s: %w", m.cfg.Name, err)
	}
	return m.start(string(trimmed(id)))
}

var errClosed = errors.New("the machine is closed")

func (m *Machine) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *Machine) on() bool {
	b := m.Boot()
	return b != nil && b.Context().Err() == nil
}

// start begins a boot. What the runtime says runs is started again.
func (m *Machine) start(id string) error {
	if m.isClosed() {
		return fmt.Errorf("boot %s: %w", m.cfg.Name, errClosed)
	}
	b, err := execution.NewBoot(m.fs, id)
	if err != nil {
		return fmt.Errorf("%s: %w", m.cfg.Name, err)
	}
	m.mu.Lock()
	m.boot = b
	m.mu.Unlock()
	if m.cfg.Powered != nil {
		m.cfg.Powered(b)
	}
	if err := m.startProcesses(b.Context()); err != nil {
		return fmt.Errorf("%s: %w", m.cfg.Name, err)
	}
	if err := m.startKubelet(); err != nil && !errors.Is(err, errNoKubelet) {
		return fmt.Errorf("%s: %w", m.cfg.Name, err)
	}
	return nil
}

// startProcesses starts what is behind the static pods that run.
func (m *Machine) startProcesses(ctx context.Context) error {
	m.listening(m.runtime.staticNames())
	for _, name := range m.runtime.staticNames() {
		if m.runtime.serves(name) {
			if err := m.showProcess(name); err != nil {
				return err
			}
		}
	}
	if run, runs := m.runtime.static(manifest.Etcd); runs && !run.Crashing && m.cfg.Etcd != nil {
		if err := m.cfg.Etcd.Start(ctx, run.Version); err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
		m.background(func() {
			if m.cfg.Etcd.Ready(ctx) == nil {
				m.tellReadiness()
				m.wake()
			}
		})
	}
	run, runs := m.runtime.static(apiServer)
	if !runs || run.Crashing || m.cfg.APIServer == nil {
		return nil
	}
	if err := m.cfg.APIServer.Start(ctx, run.Version); err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	return nil
}

// PowerOff cuts the power: all that runs is gone at once, files stay as they are. It
// must not be called by what runs on the machine.
func (m *Machine) PowerOff(ctx context.Context) error {
	m.power.Lock()
	defer m.power.Unlock()
	return m.off(ctx, (*execution.Boot).End)
}

// Reboot shuts the machine down in order and boots it again. It must not be called
// by what runs on the machine.
func (m *Machine) Reboot(ctx context.Context) error {
	m.power.Lock()
	err := m.off(ctx, (*execution.Boot).Shutdown)
	m.power.Unlock()
	if err != nil {
		return err
	}
	if err := m.wait(ctx, bootTime); err != nil {
		return fmt.Errorf("boot %s: %w", m.cfg.Name, err)
	}
	return m.PowerOn()
}

func (m *Machine) off(ctx context.Context, end func(*execution.Boot)) error {
	b := m.Boot()
	if b == nil {
		return nil
	}
	end(b)
	if m.cfg.Etcd != nil {
		m.cfg.Etcd.Kill()
	}
	var err error
	if m.cfg.APIServer != nil {
		err = m.cfg.APIServer.Stop(ctx)
	}
	b.Wait()
	m.stopKubelet()
	if err != nil {
		return fmt.Errorf("power off %s: API server: %w", m.cfg.Name, err)
	}
	return nil
}

// Close ends the present boot and waits until nothing of the machine runs. The
// processes behind its static pods are left to whoever gave them. It cannot be
// powered on again.
func (m *Machine) Close() {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.closing)
	}
	m.mu.Unlock()
	m.power.Lock()
	if b := m.Boot(); b != nil {
		b.End()
		b.Wait()
	}
	m.stopKubelet()
	m.power.Unlock()
	m.tasks.Wait()
}

// background runs what outlives a boot; nothing once the machine is closed.
func (m *Machine) background(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.tasks.Go(f)
	}
}

// reboot is the program: the machine goes down when it can, and the command with it.
func (m *Machine) reboot(ctx context.Context, p *shell.Process) int {
	if !p.Root {
		return p.Errorf("Failed to reboot: Access denied")
	}
	m.mutated(p.Args)
	m.background(func() {
		ctx, cancel := context.WithCancel(context.Background())
		stop := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			select {
			case <-m.closing:
				cancel()
			case <-stop:
			}
		})
		if err := m.Reboot(ctx); err != nil {
			m.log.notef("reboot: %v", err)
		}
		close(stop)
		watch.Wait()
		cancel()
	})
	<-ctx.Done()
	return 1
}

// newBootID makes an id as the kernel does.
func newBootID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails; see its documentation
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func trimmed(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}
