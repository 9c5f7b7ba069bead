package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// How long the kubelet's doings take on a real machine.
const (
	kubeletStart   = 2 * time.Second
	heartbeat      = 10 * time.Second
	deadAfter      = 40 * time.Second // the node lifecycle controller's patience
	unreachedRetry = time.Second
	pullBackoff    = 10 * time.Second

	// What a modelled time never falls below, however fast the pace: a computer
	// that is busy must not look like a dead node, and retries must not be a loop.
	leastPatience  = 3 * time.Second
	leastHeartbeat = time.Second
	leastRetry     = 20 * time.Millisecond
)

// kubelet is one process of it.
type kubelet struct {
	m       *Machine
	unit    *unit
	version cluster.Version
	wake    chan struct{}

	workers sync.WaitGroup
	mu      sync.Mutex
	busy    map[string]bool // pods, by UID or component, that a worker is at
	retry   bool            // something is to be tried again soon
}

var errCrash = errors.New("signal: killed")

// goneFlags are flags whose kubelet of that minor does not start with.
var goneFlags = []struct {
	flag string
	from cluster.Minor
}{
	{"--network-plugin", cluster.Minor{Major: 1, Minor: 24}},
	{"--container-runtime=", cluster.Minor{Major: 1, Minor: 27}},
	{"--pod-infra-container-image", cluster.Minor{Major: 1, Minor: 35}},
}

// runKubelet is one process of the kubelet; it ends with ctx, or with an error when
// it cannot run.
func (m *Machine) runKubelet(ctx context.Context, u *unit, v cluster.Version) error {
	if err := m.wait(ctx, kubeletStart); err != nil {
		return err
	}
	if err := m.checkKubelet(v); err != nil {
		return err
	}
	if m.crashes(kubeletUnit, v.String()) {
		return errCrash
	}
	m.log.notef("Kubelet version %s", v)
	k := &kubelet{m: m, unit: u, version: v, wake: u.wake, busy: map[string]bool{}}
	defer k.workers.Wait()
	changed, end := m.fs.Changes(manifest.Dir)
	defer end()
	k.loop(ctx, changed)
	return ctx.Err()
}

// checkKubelet tells why the kubelet does not start.
func (m *Machine) checkKubelet(v cluster.Version) error {
	for _, file := range []string{manifest.KubeletConfig, "/etc/kubernetes/kubelet.conf"} {
		if _, err := m.fs.Stat(file); err != nil {
			return fmt.Errorf("command failed: failed to load kubelet config file: %w", err)
		}
	}
	text, err := m.fs.ReadFile(manifest.KubeletFlags)
	if err != nil {
		return nil //nolint:nilerr // the unit's EnvironmentFile may be missing
	}
	for _, flag := range manifest.ReadFlags(string(text)) {
		for _, gone := range goneFlags {
			if strings.HasPrefix(flag, gone.flag) && !v.Line().Less(gone.from) {
				name, _, _ := strings.Cut(flag, "=")
				return fmt.Errorf("failed to parse kubelet flag: unknown flag: %s", name)
			}
		}
	}
	return nil
}

// loop looks at everything whenever something has changed.
func (k *kubelet) loop(ctx context.Context, manifests <-chan struct{}) {
	beat := time.NewTicker(max(k.m.scaled(heartbeat), leastHeartbeat))
	defer beat.Stop()
	var pods <-chan struct{}
	var end func()
	defer func() {
		if end != nil {
			end()
		}
	}()
	for ctx.Err() == nil {
		api, err := k.m.cfg.API()
		if err == nil && pods == nil {
			pods, end = api.Changes(k.m.cfg.Name)
		}
		if err != nil {
			k.m.log.notef("Unable to register node with API server: %v", err)
			api = nil
		}
		k.sync(ctx, api)
		var again <-chan time.Time
		if k.again() || api == nil {
			again = time.After(max(k.m.scaled(unreachedRetry), leastRetry))
		}
		select {
		case <-ctx.Done():
		case <-manifests:
		case <-pods:
		case <-k.wake:
		case <-beat.C:
		case <-again:
		}
	}
}

// sync brings the node nearer to what it should be. api is nil when it does not
// answer.
func (k *kubelet) sync(ctx context.Context, api Objects) {
	errs := []error{k.syncStatic(ctx)}
	if api != nil {
		errs = append(errs, k.syncWith(ctx, api))
	}
	err := errors.Join(errs...)
	switch {
	case err == nil && api != nil:
		k.m.tells(k.unit, k.version)
	case err != nil && ctx.Err() == nil:
		k.m.log.notef("%v", err)
		k.soon()
	}
}

// syncWith does what needs the API: pods, mirrors of static pods, the node.
func (k *kubelet) syncWith(ctx context.Context, api Objects) error {
	pods, err := api.List(resourcePods, "")
	if err != nil {
		return err
	}
	return errors.Join(k.mirror(api, pods), k.syncPods(ctx, api, pods), k.report(api, pods))
}

// soon asks for another look in a moment.
func (k *kubelet) soon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retry = true
}

func (k *kubelet) again() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	again := k.retry
	k.retry = false
	return again
}

// work has a worker do something about a pod, one thing at a time.
func (k *kubelet) work(ctx context.Context, pod string, do func(ctx context.Context) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[pod] {
		return
	}
	k.busy[pod] = true
	k.workers.Go(func() {
		err := do(ctx)
		if err != nil && ctx.Err() == nil {
			k.m.log.notef("Error syncing pod %s: %v", pod, err)
			_ = k.m.wait(ctx, pullBackoff)
		}
		k.mu.Lock()
		delete(k.busy, pod)
		k.mu.Unlock()
		k.m.wake()
	})
}

// tooNew names the API servers that are older than the kubelet, which must not be.
func (k *kubelet) tooNew(pods []*unstructured.Unstructured) (string, error) {
	servers, err := apiServers(pods)
	if err != nil {
		return "", err
	}
	nodes := make([]string, 0, len(servers))
	for node, v := range servers {
		if v.Line().Less(k.version.Line()) {
			nodes = append(nodes, fmt.Sprintf("%s of %s", v, node))
		}
	}
	slices.Sort(nodes)
	return strings.Join(nodes, ", "), nil
}
