package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/internal/lab/artifact/depot"
)

const (
	depotStore = "/store" // the artifact store inside the depot's container
	depotLab   = "/depot" // the lab's own part of it
)

// startServers starts the machines that are not nodes: the depot of packages
// and images, the load balancer, the bastion.
func (u *bringUp) startServers(ctx context.Context) error {
	if err := u.lab.writeDepotConfig(u.bundles, u.etcd); err != nil {
		return err
	}
	t := u.lab.state.Topology
	inStore := func(p string) string { return path.Join(depotStore, strings.TrimPrefix(p, u.store.Dir())) }
	haproxy, err := render("haproxy.cfg", map[string]any{"Port": apiPort, "ControlPlanes": t.controlPlanes()})
	if err != nil {
		return err
	}
	for _, s := range []server{
		{
			name: "depot", ip: t.Depot,
			options: []string{"-v", u.store.Dir() + ":" + depotStore + ":ro", "-v", filepath.Join(u.lab.dir, "depot") + ":" + depotLab + ":ro"},
			argv:    []string{inStore(u.depot), "-config", depotLab + "/config.json"},
		},
		{
			name: "lb", ip: t.LoadBalancer,
			files: []nodeFile{{path: "/etc/haproxy/haproxy.cfg", mode: 0o644, data: haproxy}},
			argv:  []string{"/usr/sbin/haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"},
		},
		{
			name: "bastion", ip: t.Bastion, files: sshServerFiles(u.keys, t.Bastion),
			argv: []string{"/bin/sh", "-c", "mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e"},
		},
	} {
		if err := u.startServer(ctx, s); err != nil {
			return &StepError{Step: "start the lab's servers", Node: s.name, Err: err}
		}
	}
	return poll(ctx, 30*time.Second, 200*time.Millisecond, func(ctx context.Context) error {
		return httpOK(ctx, "http://"+t.Depot+"/healthz")
	})
}

// server is a container that runs one program.
type server struct {
	name, ip string
	options  []string
	files    []nodeFile
	argv     []string
}

func (u *bringUp) startServer(ctx context.Context, s server) error {
	name := u.lab.container(s.name)
	args := []string{
		"create", "--name", name, "--hostname", s.name, "--label", labelLab + "=" + u.spec.Name,
		"--network", u.lab.state.Network, "--ip", s.ip, "--init",
	}
	args = append(append(append(args, s.options...), u.lab.state.Image), s.argv...)
	if _, err := docker(ctx, args...); err != nil {
		return err
	}
	tarball, err := archive(s.files)
	if err != nil {
		return err
	}
	if _, err := dockerIn(ctx, tarball, "cp", "-", name+":/"); err != nil {
		return err
	}
	_, err = docker(ctx, "start", name)
	return err
}

// writeDepotConfig publishes the releases' packages and images, those of etcd, and what was
// imported into the lab since.
func (l *Lab) writeDepotConfig(bundles []artifact.Bundle, etcd []artifact.EtcdRelease) error {
	inStore := func(p string) string { return path.Join(depotStore, strings.TrimPrefix(p, l.state.Store)) }
	c := depot.Config{Files: map[string]string{}}
	for _, b := range bundles {
		c.Files[b.Repo.URLPath()] = inStore(b.Repo.Dir)
		for _, image := range b.Images {
			c.Images = append(c.Images, inStore(image))
		}
	}
	for _, r := range etcd {
		c.Files[r.URLPath()] = inStore(r.Dir)
	}
	return l.saveDepotConfig(c)
}

func (l *Lab) depotConfigPath() string { return filepath.Join(l.dir, "depot", "config.json") }

func (l *Lab) saveDepotConfig(c depot.Config) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.depotConfigPath(), raw, 0o644)
}

// ImportImage makes an image of one static program, publishes it in the lab's
// registry under ref ("registry.k8s.io/demo/web:1") and pulls it on every node.
func (l *Lab) ImportImage(ctx context.Context, ref, binary string, entrypoint []string) error {
	unlock, err := artifact.LockFile(ctx, l.depotConfigPath())
	if err != nil {
		return err
	}
	defer unlock()
	dir := filepath.Join(l.dir, "depot", "images", strings.NewReplacer("/", "_", ":", "_").Replace(ref))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	program := "/" + filepath.Base(binary)
	if len(entrypoint) > 0 && path.IsAbs(entrypoint[0]) {
		program = entrypoint[0]
	}
	if len(entrypoint) == 0 {
		entrypoint = []string{program}
	}
	spec := artifact.ImageSpec{Ref: ref, Files: map[string]string{program: binary}, Entrypoint: entrypoint}
	if err := artifact.WriteImage(dir, spec); err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	raw, err := os.ReadFile(l.depotConfigPath())
	if err != nil {
		return err
	}
	var c depot.Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	inDepot := path.Join(depotLab, "images", filepath.Base(dir))
	c.Images = append([]string{inDepot}, without(c.Images, inDepot)...)
	if err := l.saveDepotConfig(c); err != nil {
		return err
	}
	return eachNode(ctx, l.Nodes(), 3, "pull "+ref, func(ctx context.Context, n Node) error {
		_, err := l.Exec(ctx, n.Name, "crictl", "pull", ref)
		return err
	})
}

func without(list []string, item string) []string {
	var out []string
	for _, s := range list {
		if s != item {
			out = append(out, s)
		}
	}
	return out
}

func httpOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
