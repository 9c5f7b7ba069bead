package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// bringUp is a lab on its way up.
type bringUp struct {
	lab     *Lab
	spec    Spec
	log     *progress
	store   *artifact.Store
	bundles []artifact.Bundle // the starting release's first
	etcd    []artifact.EtcdRelease
	depot   string // the depot program's path
	keyring []byte
	privs   []string
	keys    sshFiles
	secrets secrets
}

// secrets are made for one lab and end with it.
type secrets struct {
	token, certificateKey, sudoPassword string
}

// Up brings a lab up and returns when every node is Ready. Progress goes to
// log. A failure is a *StepError that says which step failed on which node; what
// exists by then is left for inspection unless spec.Cleanup.
func Up(ctx context.Context, spec Spec, log io.Writer) (*Lab, error) {
	spec, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &bringUp{spec: spec, log: newProgress(log)}
	unlock, err := u.claim(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	defer func() {
		if u.store != nil {
			_ = u.store.Close()
		}
	}()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"reach Docker", u.reachDocker},
		{"build artifacts", u.buildArtifacts},
		{"import the node image", u.importImage},
		{"make the network", u.makeNetwork},
		{"write the lab's keys", u.writeKeys},
		{"start the lab's servers", u.startServers},
		{"start nodes", u.startNodes},
		{"provision nodes", u.provisionNodes},
		{"form the cluster", u.formCluster},
		{"settle the cluster", u.settle},
		{"write the inventory", u.writeInventory},
	} {
		u.log.logf("%s", s.name)
		if err := s.do(ctx); err != nil {
			return nil, u.failed(ctx, s.name, err)
		}
	}
	u.lab.state.Ready = true
	if err := u.lab.save(); err != nil {
		return nil, err
	}
	u.log.logf("lab %s is ready: %d control planes, %d workers, %d hosts of an external etcd, Kubernetes %s, API at %s",
		spec.Name, spec.ControlPlanes, spec.Workers, spec.ExternalEtcd, u.lab.state.Version, u.lab.LoadBalancer())
	return u.lab, nil
}

func (u *bringUp) failed(ctx context.Context, step string, err error) error {
	if stepErr := (*StepError)(nil); !errors.As(err, &stepErr) {
		err = &StepError{Step: step, Err: err}
	}
	if u.lab.state.Topology.Subnet == "" {
		// Nothing exists yet but a directory, and there is nothing to inspect.
		return errors.Join(fmt.Errorf("lab %s: %w", u.spec.Name, err), os.RemoveAll(u.lab.dir))
	}
	if !u.spec.Cleanup {
		return fmt.Errorf("lab %s: %w\nthe lab is left as it is; remove it with: kup-lab down --name %s", u.spec.Name, err, u.spec.Name)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	return errors.Join(fmt.Errorf("lab %s: %w", u.spec.Name, err), Remove(clean, u.spec.Name))
}

// claim makes the lab's directory and keeps other processes off the name.
func (u *bringUp) claim(ctx context.Context) (unlock func(), err error) {
	dir, err := labDir(u.spec.Name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	lockCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	unlock, err = artifact.LockFile(lockCtx, dir)
	if err != nil {
		return nil, fmt.Errorf("lab %s is being brought up by another process: %w", u.spec.Name, err)
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); !errors.Is(err, fs.ErrNotExist) {
		unlock()
		return nil, fmt.Errorf("lab %s exists; remove it with: kup-lab down --name %s", u.spec.Name, u.spec.Name)
	}
	u.lab = &Lab{dir: dir, state: state{Name: u.spec.Name, Created: time.Now().UTC(), Network: "kup-lab-" + u.spec.Name, Etcd: u.spec.Etcd}}
	if err := os.MkdirAll(filepath.Join(dir, "depot", "images"), 0o700); err != nil {
		unlock()
		return nil, err
	}
	return unlock, u.lab.save()
}

func (u *bringUp) reachDocker(ctx context.Context) error {
	root, err := stateRoot()
	if err != nil {
		return err
	}
	unlock, err := artifact.LockFile(ctx, filepath.Join(root, "dockerd"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := ensureDocker(ctx, root, u.log.logf); err != nil {
		return err
	}
	return newMachine(root).raise(u.log.logf)
}

func (u *bringUp) buildArtifacts(ctx context.Context) error {
	var err error
	if u.store, err = openStore(u.log); err != nil {
		return err
	}
	if u.bundles, err = build(ctx, u.store, u.spec); err != nil {
		return err
	}
	if u.etcd, err = etcdReleases(ctx, u.store, u.spec, u.bundles); err != nil {
		return err
	}
	if u.depot, err = u.store.Depot(ctx); err != nil {
		return err
	}
	keys, err := u.store.SigningKey(ctx)
	if err != nil {
		return err
	}
	if u.keyring, err = os.ReadFile(keys.Keyring()); err != nil {
		return err
	}
	u.lab.state.Store = u.store.Dir()
	for _, b := range u.bundles {
		u.lab.state.Served = append(u.lab.state.Served, b.Version)
	}
	u.lab.state.Version = u.bundles[0].Version
	return u.lab.save()
}

// build makes the artifacts of every release the spec serves, the starting
// one's first.
func build(ctx context.Context, store *artifact.Store, spec Spec) ([]artifact.Bundle, error) {
	var bundles []artifact.Bundle
	g, ctx := errgroup.WithContext(ctx)
	// debootstrap waits for the network and disks, compilers do not.
	g.Go(func() error {
		_, err := store.Rootfs(ctx)
		return err
	})
	g.Go(func() error {
		var err error
		bundles, err = buildBundles(ctx, store, spec)
		return err
	})
	return bundles, g.Wait()
}

func buildBundles(ctx context.Context, store *artifact.Store, spec Spec) ([]artifact.Bundle, error) {
	var bundles []artifact.Bundle
	for i, m := range spec.Minors {
		version, err := store.Resolve(ctx, m)
		if err != nil {
			return nil, err
		}
		var etcd []string
		if i == 0 {
			etcd = spec.etcdImages()
		}
		b, err := store.Bundle(ctx, version, etcd...)
		if err != nil {
			return nil, err
		}
		bundles = append(bundles, b)
	}
	return bundles, nil
}

// Build makes the artifacts a lab of the spec needs, and no lab.
func Build(ctx context.Context, spec Spec, log io.Writer) error {
	spec, err := spec.withDefaults()
	if err != nil {
		return err
	}
	store, err := openStore(newProgress(log))
	if err != nil {
		return err
	}
	bundles, buildErr := build(ctx, store, spec)
	if buildErr == nil {
		_, buildErr = etcdReleases(ctx, store, spec, bundles)
	}
	if buildErr == nil {
		_, buildErr = store.Depot(ctx)
	}
	return errors.Join(buildErr, store.Close())
}

func (u *bringUp) importImage(ctx context.Context) error {
	rootfs, err := u.store.Rootfs(ctx)
	if err != nil {
		return err
	}
	image := "kup-lab-node:" + rootfs.Key
	u.lab.state.Image = image
	unlock, err := artifact.LockFile(ctx, filepath.Join(u.store.Dir(), "locks", "docker-image"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := docker(ctx, "image", "inspect", image); err != nil {
		if _, err := docker(ctx, "import", rootfs.Tar, image); err != nil {
			return err
		}
	}
	u.privs, err = privilegeArgs(ctx, image)
	return err
}

// makeNetwork takes the first free /24 of a range that overlaps neither with
// pods and services nor with this machine's own addresses.
func (u *bringUp) makeNetwork(ctx context.Context) error {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var lastErr error
	for i := range 256 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210, byte(i), 0}), 24)
		if overlaps(subnet, taken) {
			continue
		}
		t := layOut(u.spec, subnet)
		_, lastErr = docker(ctx, "network", "create", "--driver", "bridge", "--subnet", t.Subnet, "--gateway", t.Gateway,
			"--label", labelLab+"="+u.spec.Name, u.lab.state.Network)
		if lastErr == nil {
			u.lab.state.Topology = t
			return u.lab.save()
		}
		if !strings.Contains(lastErr.Error(), "overlaps") {
			return lastErr
		}
	}
	return fmt.Errorf("no free network in 10.210.0.0/16: %w", lastErr)
}

func overlaps(subnet netip.Prefix, addrs []net.Addr) bool {
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(subnet) {
			return true
		}
	}
	return false
}

func (u *bringUp) writeKeys(context.Context) error {
	var err error
	if u.keys, err = newSSHFiles(u.lab.dir, u.spec.Name, u.lab.state.Topology); err != nil {
		return err
	}
	id, err := randomHex(3)
	if err != nil {
		return err
	}
	token, err := randomHex(8)
	if err != nil {
		return err
	}
	u.secrets.token = id + "." + token
	if u.secrets.certificateKey, err = randomHex(32); err != nil {
		return err
	}
	if u.secrets.sudoPassword, err = randomHex(12); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(u.lab.dir, "sudo-password"), []byte(u.secrets.sudoPassword+"\n"), 0o600)
}

// eachNode runs do for nodes, at most limit at once, and names the node in errors.
func eachNode(ctx context.Context, nodes []Node, limit int, step string, do func(context.Context, Node) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limit)
	for _, n := range nodes {
		g.Go(func() error {
			if err := do(ctx, n); err != nil {
				if stepErr := (*StepError)(nil); errors.As(err, &stepErr) {
					return err
				}
				return &StepError{Step: step, Node: n.Name, Err: err}
			}
			return nil
		})
	}
	return g.Wait()
}
