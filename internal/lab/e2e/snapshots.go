package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/kup-project/kup/internal/lab/node"
)

const ageModule = "filippo.io/age"

// snapshots is the scenario of that name: snapshots of one cluster, proven, refused,
// and restored by hand into another one.
type snapshots struct {
	*env
	inventory string // with a second place
	sealed    string // the same, and recipients
	identity  string
	second    string
}

func runSnapshots(ctx context.Context, e *env) (err error) {
	s := &snapshots{env: e, second: filepath.Join(e.dir, "second"), identity: filepath.Join(e.dir, "identity")}
	if err := s.configure(); err != nil {
		return err
	}
	if err := e.deploy(ctx, "not-a-secret", "not-a-canary"); err != nil {
		return err
	}
	if err := e.settled(ctx, settleTimeout); err != nil {
		return err
	}
	before, err := takeSnapshot(ctx, e.client.Discovery(), e.dynamic, nil)
	if err != nil {
		return err
	}
	plain, err := s.save(ctx, s.inventory)
	if err != nil {
		return err
	}
	sealed, err := s.save(ctx, s.sealed)
	if err != nil {
		return err
	}
	s.check(strings.HasSuffix(sealed, ".age"), "%s is said to be encrypted", sealed)
	fresh, err := s.another(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.finish(ctx, nil)) }()
	if err := s.verify(ctx, plain, sealed, fresh); err != nil {
		return err
	}
	opened, err := s.decrypt(ctx, sealed)
	if err != nil {
		return err
	}
	return s.restore(ctx, opened, fresh, before)
}

// configure writes inventories beside the lab's own, whose paths are relative to it.
func (s *snapshots) configure() error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(s.lab.Inventory())
	if err != nil {
		return err
	}
	s.inventory = filepath.Join(s.lab.Dir(), "kup-snapshots.yaml")
	s.sealed = filepath.Join(s.lab.Dir(), "kup-sealed.yaml")
	section := fmt.Sprintf("snapshots:\n  second: {directory: %s}\n", s.second)
	return errors.Join(
		os.WriteFile(s.identity, []byte(id.String()+"\n"), 0o600),
		os.WriteFile(s.inventory, append(raw, section...), 0o600),
		os.WriteFile(s.sealed, append(raw, section+"  recipients: ["+id.Recipient().String()+"]\n"...), 0o600))
}

// save takes a snapshot by hand and gives the file in the second place.
func (s *snapshots) save(ctx context.Context, inventory string) (string, error) {
	o, err := s.kup.run(ctx, prefixed(s.out, "kup snapshot save | "), "snapshot", "save", "-f", inventory, "-o", "json")
	if err != nil {
		return "", err
	}
	var saved struct {
		Meta struct {
			Name      string `json:"name"`
			Rehearsed struct {
				With string `json:"with"`
			} `json:"rehearsed"`
		}
	}
	if err := o.failure(); err != nil {
		return "", err
	}
	if err := json.Unmarshal(o.stdout, &saved); err != nil {
		return "", fmt.Errorf("%s: %w", o, err)
	}
	with := saved.Meta.Rehearsed.With
	s.check(strings.HasPrefix(with, "image registry.k8s.io/etcd:"), "%s was rehearsed with %q, not with the cluster's own etcd", saved.Meta.Name, with)
	file := filepath.Join(s.second, saved.Meta.Name)
	fi, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("the second place: %w", err)
	}
	s.check(fi.Mode().Perm() == 0o600, "%s has mode %v", file, fi.Mode())
	for _, n := range s.lab.Nodes() {
		left, err := s.lab.Exec(ctx, n.Name, "sh", "-c", "ls -d /var/lib/kup/bench 2>/dev/null || :; ctr -n k8s.io snapshots ls | grep kup || :")
		if err != nil {
			return "", err
		}
		s.check(left == "", "the rehearsal left on %s: %s", n.Name, left)
	}
	return file, nil
}

// another brings up the lab that the snapshot is restored into: of other hosts, with
// certificates and an etcd cluster of its own.
func (s *snapshots) another(ctx context.Context) (*env, error) {
	spec := node.Spec{
		Name: s.lab.Name() + "-2", ControlPlanes: 1, Workers: 1, Kubernetes: s.from, Minors: []string{s.from}, Cleanup: true,
	}
	lab, err := node.Up(ctx, spec, prefixed(s.out, "second lab | "))
	if err != nil {
		return nil, err
	}
	scenario := s.scenario
	scenario.Name += ", second lab"
	fresh := &env{scenario: scenario, dir: s.dir, lab: lab, kup: s.kup, from: s.from, to: s.to, path: s.path, out: s.out, since: s.since}
	if err := fresh.connect(); err != nil {
		return nil, errors.Join(err, lab.Down(context.WithoutCancel(ctx)))
	}
	return fresh, nil
}

// verify wants good ones to be good, and the others refused with the reason.
func (s *snapshots) verify(ctx context.Context, plain, sealed string, other *env) error {
	content, err := os.ReadFile(plain)
	if err != nil {
		return err
	}
	damaged := slices.Clone(content)
	damaged[len(damaged)/2] ^= 0xff
	foreign := &snapshots{env: other, second: filepath.Join(s.dir, "foreign")}
	foreign.inventory = filepath.Join(other.lab.Dir(), "kup-snapshots.yaml")
	raw, err := os.ReadFile(other.lab.Inventory())
	if err != nil {
		return err
	}
	corrupted, truncated := filepath.Join(s.dir, "corrupted.db"), filepath.Join(s.dir, "truncated.db")
	err = errors.Join(
		os.WriteFile(corrupted, damaged, 0o600), os.WriteFile(truncated, content[:len(content)/3], 0o600),
		os.WriteFile(foreign.inventory, append(raw, fmt.Sprintf("snapshots:\n  second: {directory: %s}\n", foreign.second)...), 0o600))
	if err != nil {
		return err
	}
	theirs, err := foreign.save(ctx, foreign.inventory)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		file, reason string
		args         []string
	}{
		{file: plain},
		{file: sealed, args: []string{"--identity", s.identity}},
		{file: corrupted, reason: "its checksum is another one"},
		{file: truncated, reason: "truncated"},
		{file: theirs, reason: "another cluster"},
	} {
		o, err := s.kup.run(ctx, nil, append([]string{"snapshot", "verify", c.file, "-f", s.inventory}, c.args...)...)
		if err != nil {
			return err
		}
		if c.reason == "" {
			s.check(o.code == exitDone && strings.Contains(o.output(), "Restore rehearsed with image "), "%s: exit code %d: %s", o, o.code, o.output())
			continue
		}
		s.check(o.code != exitDone && strings.Contains(o.output(), c.reason), "%s: exit code %d, does not say %q: %s", o, o.code, c.reason, o.errorLine())
		s.printf("refused: %s", o.errorLine())
	}
	return nil
}

// decrypt runs the page's own command, with the age program that operators have.
func (s *snapshots) decrypt(ctx context.Context, sealed string) ([]byte, error) {
	guide, err := openGuide(s.lab, "")
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", ageModule).Output()
	if err != nil {
		return nil, fmt.Errorf("version of %s: %w", ageModule, err)
	}
	install := exec.CommandContext(ctx, "go", "install", ageModule+"/cmd/age@"+strings.TrimSpace(string(version)))
	install.Env = append(os.Environ(), "GOBIN="+s.dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install age: %w\n%s", err, out)
	}
	opened := filepath.Join(s.dir, "opened.db")
	c := exec.CommandContext(ctx, "sh", "-euc", guide.blocks["decrypt"])
	c.Env = append(os.Environ(), "PATH="+s.dir+":"+os.Getenv("PATH"), "IDENTITY="+s.identity, "PLAIN="+opened, "SEALED="+sealed)
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s, decrypt: %w\n%s", disasterGuide, err, out)
	}
	return os.ReadFile(opened)
}

// restoredTimeout is for the restored API to answer and its nodes to be Ready.
const restoredTimeout = 5 * time.Minute

// restore follows the page on the fresh lab, which must then serve what the first did.
func (s *snapshots) restore(ctx context.Context, content []byte, fresh *env, before *Snapshot) error {
	guide, err := openGuide(fresh.lab, "restored")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := guide.restore(ctx, content); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, restoredTimeout, fmt.Errorf("the restored API did not answer within %s", restoredTimeout))
	defer cancel()
	var after *Snapshot
	err = poll(ctx, time.Second, func(ctx context.Context) error {
		after, err = takeSnapshot(ctx, fresh.client.Discovery(), fresh.dynamic, before)
		return err
	})
	if err != nil {
		return err
	}
	s.printf("restored by hand, and served again after %s", seconds(time.Since(began)))
	lost, changed, same := servedAgain(before.Objects, after.Objects)
	for _, what := range append(lost, changed...) {
		s.check(false, "after the restore %s", what)
	}
	s.check(same > 100, "only %d objects were compared", same)
	s.printf("objects served as they were: %d", same)
	return nil
}

// passing are resources that live shorter than a restore takes: they are made anew,
// renewed or removed by controllers and kubelets all the time. The Jobs are those that
// the workload's CronJob makes, one a minute.
var passing = []string{
	"events", "events.events.k8s.io", "leases.coordination.k8s.io", "pods", "endpoints", "endpointslices.discovery.k8s.io", "nodes",
	"componentstatuses", "jobs.batch", "certificatesigningrequests.certificates.k8s.io",
}

// servedAgain compares identity and content of what outlives a restore. The certificates
// of the other lab's authority arrive in these objects, by its own controllers.
func servedAgain(before, after map[Key]map[string]any) (lost, changed []string, same int) {
	for key, old := range before {
		if slices.Contains(passing, key.Resource) || key.Name == "kube-root-ca.crt" || key.Name == "extension-apiserver-authentication" {
			continue
		}
		now, there := after[key]
		if !there || uid(old) != uid(now) {
			lost = append(lost, key.String()+" is gone")
			continue
		}
		same++
		for _, field := range []string{"spec", "data", "rules", "subjects", "roleRef"} {
			if !reflect.DeepEqual(old[field], now[field]) {
				changed = append(changed, fmt.Sprintf("%s: %s is another", key, field))
			}
		}
	}
	slices.Sort(lost)
	slices.Sort(changed)
	return lost, changed, same
}
