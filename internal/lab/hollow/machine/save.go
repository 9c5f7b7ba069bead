package machine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/pkg/cluster"
)

// saved is what a machine is apart from what surrounds it.
type saved struct {
	FS      json.RawMessage `json:"fs"`
	Runtime containerState  `json:"runtime"`
	PID     int             `json:"pid"`
}

// MarshalJSON implements json.Marshaler: files, images, and what runs. A machine that
// is on may change while it is saved; close it first.
func (m *Machine) MarshalJSON() ([]byte, error) {
	files, err := json.Marshal(m.fs)
	if err != nil {
		return nil, fmt.Errorf("save %s: %w", m.cfg.Name, err)
	}
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return json.Marshal(saved{FS: files, Runtime: m.runtime.state, PID: m.pid})
}

// UnmarshalJSON implements json.Unmarshaler, into a machine that New has just made.
// Resume goes on where it was.
func (m *Machine) UnmarshalJSON(b []byte) error {
	s := saved{Runtime: newContainers().state}
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("load %s: %w", m.cfg.Name, err)
	}
	if err := json.Unmarshal(s.FS, m.fs); err != nil {
		return fmt.Errorf("load %s: %w", m.cfg.Name, err)
	}
	m.runtime.mu.Lock()
	m.runtime.state = s.Runtime
	m.runtime.mu.Unlock()
	m.mu.Lock()
	m.pid = s.PID
	m.mu.Unlock()
	return nil
}

// Images are those in the runtime.
func (m *Machine) Images() []string { return m.runtime.images() }

// Static are the versions of the static pods that run, by component.
func (m *Machine) Static() map[string]string {
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.runtime.state.Static)) {
		out[name] = m.runtime.state.Static[name].Version
	}
	return out
}

// Kubelet is the kubelet that is installed; zero when none is.
func (m *Machine) Kubelet() cluster.Version {
	v, _ := stampOf(m.fs, kubeletUnit)
	return v
}

// Installed gives the versions of the installed packages of Kubernetes, by name.
func (m *Machine) Installed() (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"kubeadm", "kubelet", "kubectl", "cri-tools", "kubernetes-cni"} {
		v, err := debian.Version(m.fs, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.cfg.Name, err)
		}
		if v != "" {
			out[name] = v
		}
	}
	return out, nil
}

// Held are the packages on hold.
func (m *Machine) Held() ([]string, error) { return debian.Held(m.fs) }
