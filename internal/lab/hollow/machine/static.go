package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/pkg/cluster"
)

// apiServer is the component that the API is behind.
const apiServer = "kube-apiserver"

// How long static pods take on a real machine: from a changed manifest until the old
// one is gone, and then until the new one is ready.
const (
	staticStop  = 3 * time.Second
	otherStart  = 15 * time.Second
	serverStart = 35 * time.Second
	etcdStart   = 45 * time.Second
	crashTime   = 5 * time.Second // of one that ends as soon as it has started
)

// wanted is a static pod as its manifest says.
type wanted struct {
	pod  *corev1.Pod
	hash string
}

// hashOf changes with the manifest and with the kubelet's minor: kubelets of
// different minors fill in different defaults, and start static pods anew.
func hashOf(text []byte, kubelet cluster.Minor) string {
	sum := sha256.Sum256(append([]byte(kubelet.String()+"\n"), text...))
	return hex.EncodeToString(sum[:16])
}

// manifests are the static pods that the host is to run, by component.
func (m *Machine) manifests(kubelet cluster.Minor) (map[string]wanted, error) {
	out := map[string]wanted{}
	entries, err := m.fs.ReadDir(manifest.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".yaml") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		text, err := m.fs.ReadFile(path.Join(manifest.Dir, e.Name()))
		if err != nil {
			return nil, err
		}
		pod, err := m.parsed.pod(string(text))
		if err != nil || len(pod.Spec.Containers) == 0 {
			m.log.notef("Can't process manifest file %s: %v", e.Name(), err)
			continue
		}
		out[pod.Name] = wanted{pod, hashOf(text, kubelet)}
	}
	return out, nil
}

// parsed keeps manifests that were read before: the kubelet looks at them often, and
// they hardly ever change.
type parsed struct {
	mu   sync.Mutex
	pods map[string]*corev1.Pod // by text
}

// maxParsed is more than one host has at a time.
const maxParsed = 16

// pod reads a manifest. The pod is shared, and not to be changed.
func (c *parsed) pod(text string) (*corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, known := c.pods[text]; known {
		return p, nil
	}
	p := &corev1.Pod{}
	if err := yaml.Unmarshal([]byte(text), p); err != nil {
		return nil, err
	}
	if c.pods == nil || len(c.pods) >= maxParsed {
		c.pods = map[string]*corev1.Pod{}
	}
	c.pods[text] = p
	return p, nil
}

// syncStatic starts, replaces and stops static pods.
func (k *kubelet) syncStatic(ctx context.Context) error {
	want, err := k.m.manifests(k.version.Line())
	if err != nil {
		return err
	}
	for _, name := range k.m.runtime.staticNames() {
		if _, still := want[name]; !still {
			k.work(ctx, name, func(ctx context.Context) error { return k.stopStatic(ctx, name) })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		if run, runs := k.m.runtime.static(name); !runs || run.Hash != w.hash || run.Crashing {
			k.work(ctx, name, func(ctx context.Context) error { return k.replaceStatic(ctx, w) })
		}
	}
	return nil
}

// stopStatic stops a component.
func (k *kubelet) stopStatic(ctx context.Context, name string) error {
	if err := k.m.wait(ctx, staticStop); err != nil {
		return err
	}
	if err := k.m.stopProcess(ctx, name); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	k.m.runtime.setStatic(name, nil)
	return k.m.fs.RemoveAll(processDir(name))
}

// replaceStatic stops what runs of a component and starts what its manifest says.
func (k *kubelet) replaceStatic(ctx context.Context, w wanted) error {
	name, image := w.pod.Name, w.pod.Spec.Containers[0].Image
	old, ran := k.m.runtime.static(name)
	if ran && !old.Crashing {
		if err := k.stopStatic(ctx, name); err != nil {
			return err
		}
		k.m.wake() // the mirror says so
	}
	if err := k.m.pull(ctx, image); err != nil {
		return err
	}
	tag := image[strings.LastIndex(image, ":")+1:]
	run := staticRun{Hash: w.hash, Version: versionOfTag(tag), Restarts: old.Restarts, Started: k.m.now().UTC()}
	if old.Hash == w.hash {
		run.Restarts++
	}
	if err := k.m.startProcess(ctx, name, tag); err != nil {
		if errors.Is(err, errCrash) {
			run.Crashing = true
			k.m.runtime.setStatic(name, &run)
			k.m.wake()
		}
		return fmt.Errorf("back-off restarting failed container %s: %w", name, err)
	}
	k.m.runtime.setStatic(name, &run)
	k.m.tellReadiness()
	return k.m.showProcess(name)
}

// staticPID is the first of the processes behind static pods, as the host sees them.
const staticPID = 201

// processDir is where the host shows the process behind a component.
func processDir(component string) string {
	i := slices.Index([]string{manifest.Etcd, apiServer, "kube-controller-manager", "kube-scheduler"}, component)
	return "/proc/" + strconv.Itoa(staticPID+i)
}

// showProcess has the host show the process behind a component that runs: its name, its
// command line, and the files as it sees them.
func (m *Machine) showProcess(component string) error {
	const longest = 15 // of a name that the kernel keeps
	dir := processDir(component)
	text, err := m.fs.ReadFile(path.Join(manifest.Dir, component+".yaml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	command := component + "\x00"
	if pod, err := m.parsed.pod(string(text)); err == nil && len(pod.Spec.Containers) > 0 {
		command = strings.Join(pod.Spec.Containers[0].Command, "\x00") + "\x00"
	}
	if err := m.fs.MkdirAll(dir, 0o555); err != nil {
		return err
	}
	err = m.fs.Symlink("/", dir+"/root")
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, m.fs.WriteFile(dir+"/comm", []byte(component[:min(len(component), longest)]+"\n"), 0o444),
		m.fs.WriteFile(dir+"/cmdline", []byte(command), 0o444))
}

// versionOfTag drops what kubeadm's image tags have behind the version.
func versionOfTag(tag string) string {
	bare, _, _ := strings.Cut(tag, "-")
	return bare
}

// startProcess starts the process behind a component and waits until it is ready.
func (m *Machine) startProcess(ctx context.Context, name, tag string) error {
	if m.crashes(name, versionOfTag(tag)) {
		return errors.Join(m.wait(ctx, crashTime), errCrash)
	}
	switch {
	case name == manifest.Etcd && m.cfg.Etcd != nil:
		if err := m.restored(versionOfTag(tag)); err != nil {
			return err
		}
		if err := m.emptied(); err != nil {
			return err
		}
		if err := m.cfg.Etcd.Start(ctx, versionOfTag(tag)); err != nil {
			return err
		}
		if err := m.wait(ctx, etcdStart); err != nil {
			return err
		}
		return m.cfg.Etcd.Ready(ctx)
	case name == apiServer && m.cfg.APIServer != nil:
		if err := m.wait(ctx, serverStart); err != nil {
			return err
		}
		return m.cfg.APIServer.Start(ctx, tag)
	}
	return m.wait(ctx, otherStart)
}

// memberData is where etcd keeps all that it stores.
const memberData = manifest.EtcdData + "/member"

// emptied has the member join the cluster again when its data directory is gone, as
// the manifest then has to ask for.
func (m *Machine) emptied() error {
	if _, err := m.fs.Stat(memberData); err == nil {
		return nil
	}
	text, err := m.fs.ReadFile(path.Join(manifest.Dir, manifest.Etcd+".yaml"))
	if err != nil {
		return err
	}
	flags := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), "=")
		flags[name] = value
	}
	if flags["--initial-cluster-state"] != "existing" {
		return errors.New("member has already been bootstrapped")
	}
	return errors.Join(m.cfg.Etcd.Empty(flags["--initial-cluster"]), m.fs.MkdirAll(memberData, 0o700))
}

// stopProcess stops it.
func (m *Machine) stopProcess(ctx context.Context, name string) error {
	switch {
	case name == manifest.Etcd && m.cfg.Etcd != nil:
		m.setEtcdFailing("etcd is being restarted")
		return m.cfg.Etcd.Stop(ctx)
	case name == apiServer && m.cfg.APIServer != nil:
		return m.cfg.APIServer.Stop(ctx)
	}
	return nil
}

// tellReadiness has the API server's /readyz say whether the member beside it, the
// only one that it talks to, is there.
func (m *Machine) tellReadiness() {
	reason := ""
	if !m.runtime.serves(manifest.Etcd) {
		reason = "etcd failed: dial tcp 127.0.0.1:2379: connect: connection refused"
	}
	m.setEtcdFailing(reason)
}

func (m *Machine) setEtcdFailing(reason string) {
	if m.cfg.APIServer == nil || m.cfg.Etcd == nil {
		return
	}
	failing := map[string]string{}
	if reason != "" {
		failing["etcd"], failing["etcd-readiness"] = reason, reason
	}
	m.cfg.APIServer.SetFailing(failing)
}

// staticReady tells whether a component runs and is ready.
func (m *Machine) staticReady(name string) bool {
	return m.runtime.serves(name) && (name != apiServer || m.cfg.Etcd == nil || m.runtime.serves(manifest.Etcd))
}
