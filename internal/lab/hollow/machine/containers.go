package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"sync"
	"time"
)

// pullTime is how long a pull takes on a real machine.
const pullTime = 8 * time.Second

// containers is the container runtime: the images that the host has, and what runs.
// It goes on when the kubelet does not.
type containers struct {
	mu    sync.Mutex
	state containerState
	// changed hears which static pods run; nil: nobody.
	changed func(components []string)
}

// containerState is what is saved of a runtime.
type containerState struct {
	Images  map[string]bool       `json:"images"`
	Sandbox string                `json:"sandbox"` // the sandbox image it is configured with
	Pods    map[string]podSandbox `json:"pods"`    // by UID
	Static  map[string]staticRun  `json:"static"`  // by component
}

// podSandbox is a pod of the API that runs.
type podSandbox struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	IP        string `json:"ip"`
	// Halted is true when its containers ended, and it is still there.
	Halted bool `json:"halted,omitempty"`
}

// staticRun is a static pod that runs.
type staticRun struct {
	Hash     string `json:"hash"` // of the manifest it was started from
	Version  string `json:"version"`
	Restarts int32  `json:"restarts"`
	// Crashing: its container ends again and again. The pod counts as running.
	Crashing bool      `json:"crashing,omitempty"`
	Started  time.Time `json:"started"`
}

func newContainers() *containers {
	return &containers{state: containerState{Images: map[string]bool{}, Pods: map[string]podSandbox{}, Static: map[string]staticRun{}}}
}

func (c *containers) has(image string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Images[image]
}

func (c *containers) add(images ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, image := range images {
		c.state.Images[image] = true
	}
}

func (c *containers) drop(image string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.state.Images, image)
}

func (c *containers) images() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.state.Images))
}

func (c *containers) static(component string) (staticRun, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run, ok := c.state.Static[component]
	return run, ok
}

// serves tells whether a component runs and does not end again and again.
func (c *containers) serves(component string) bool {
	run, ok := c.static(component)
	return ok && !run.Crashing
}

func (c *containers) setStatic(component string, run *staticRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run == nil {
		delete(c.state.Static, component)
	} else {
		c.state.Static[component] = *run
	}
	if c.changed != nil {
		c.changed(slices.Sorted(maps.Keys(c.state.Static)))
	}
}

func (c *containers) staticNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.state.Static))
}

func (c *containers) pod(uid string) (podSandbox, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.state.Pods[uid]
	return p, ok
}

func (c *containers) setPod(uid string, p *podSandbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == nil {
		delete(c.state.Pods, uid)
		return
	}
	c.state.Pods[uid] = *p
}

// keepPods forgets the pods that are not listed.
func (c *containers) keepPods(uids map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.state.Pods, func(uid string, _ podSandbox) bool { return !uids[uid] })
}

// addresses are those in use.
func (c *containers) addresses() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]bool{}
	for _, p := range c.state.Pods {
		out[p.IP] = true
	}
	return out
}

// lost is what a reboot does: nothing runs any more.
func (c *containers) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Pods, c.state.Static = map[string]podSandbox{}, map[string]staticRun{}
}

// pull brings an image from the registry, unless it is there.
func (m *Machine) pull(ctx context.Context, image string) error {
	if m.runtime.has(image) {
		return nil
	}
	if err := m.cfg.Registry.find(m.cfg.Name, image); err != nil {
		return err
	}
	if err := m.wait(ctx, pullTime); err != nil {
		return err
	}
	m.runtime.add(image)
	return nil
}

// digestOf makes up an image's id.
func digestOf(image string) string {
	sum := sha256.Sum256([]byte(image))
	return "sha256:" + hex.EncodeToString(sum[:])
}
