package machine

import (
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/pkg/cluster"
)

// BreakKubelet has kubelets of a version on this host never become ready; heal ends
// that.
func (m *Machine) BreakKubelet(v cluster.Version) (heal func()) {
	set := func(sick bool) {
		m.mu.Lock()
		m.sick[v] = sick
		m.mu.Unlock()
		m.wake()
	}
	set(true)
	return func() { set(false) }
}

// CrashKubelet has kubelets of a version on this host end as soon as they start.
func (m *Machine) CrashKubelet(v cluster.Version) (heal func()) {
	return m.crash(kubeletUnit, v.String())
}

// CrashStatic has a component of a version on this host end as soon as it has started:
// "kube-apiserver" as "v1.34.4", "etcd" as "3.6.5".
func (m *Machine) CrashStatic(component, version string) (heal func()) {
	return m.crash(component, version)
}

func (m *Machine) crash(program, version string) (heal func()) {
	set := func(crashes bool) {
		m.mu.Lock()
		m.crashing[program+" "+version] = crashes
		m.mu.Unlock()
		m.wake()
	}
	set(true)
	return func() { set(false) }
}

// crashes tells whether the program ends as soon as it has started.
func (m *Machine) crashes(program, version string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.crashing[program+" "+version]
}

// FillDisk leaves free bytes on the host's disk; heal gives all of it back.
func (m *Machine) FillDisk(free int64) (heal func()) {
	m.fs.SetFree(free)
	return func() { m.fs.SetFree(-1) }
}

// SkewClock sets the host's clock that much ahead, or behind.
func (m *Machine) SkewClock(d time.Duration) (heal func()) {
	set := func(d time.Duration) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.skew = d
	}
	set(d)
	return func() { set(0) }
}

// FailRepository takes the package repository of a minor away from this host, all
// of them when it is empty.
func (m *Machine) FailRepository(minor string, o debian.Outage) (heal func()) {
	return m.cfg.Repository.Fail(m.cfg.Name, minor, o)
}

// FailRegistry has this host's pulls of an image fail, of all when it is empty.
func (m *Machine) FailRegistry(image string) (heal func()) {
	return m.cfg.Registry.Fail(m.cfg.Name, image)
}

// HoldPackages does what unattended upgrades do: it holds the package manager's
// locks.
func (m *Machine) HoldPackages() (heal func(), err error) { return debian.Lock(m.fs) }

// PutPackages puts other versions of packages on the host behind everybody's back.
func (m *Machine) PutPackages(packages ...debian.Package) error {
	if err := m.packages.Install(m.fs, packages...); err != nil {
		return err
	}
	for _, p := range packages {
		m.unpacked(m.fs, p.Name)
	}
	return nil
}

// DropImage removes an image from the host, as garbage collection does.
func (m *Machine) DropImage(image string) { m.runtime.drop(image) }
