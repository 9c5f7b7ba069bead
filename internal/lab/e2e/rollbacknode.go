package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/plan"
)

const (
	secondControlPlane, firstWorker = "cp-2", "w-1"
	noRollback                      = "--rollback-on-failure=never"
	// etcdDB is what an etcd that is to be killed has opened by then.
	etcdDB = "/member/snap/db"
)

// nodeRollback is the scenario's state: what nodes were before the hop.
type nodeRollback struct {
	*hop
	digests map[string]map[string]string // by node and file
	second  string                       // the node whose etcd member moves second
	member  string                       // that one's data, and all members
}

// runRollbackNode breaks three things of the new version, one after the other. Each
// time the node goes back, and the same run goes on when the cause is removed.
func runRollbackNode(ctx context.Context, e *env) error {
	r := &nodeRollback{hop: newHop(e)}
	r.drive = r.applyAndGoBack
	if err := e.shortGates(); err != nil {
		return err
	}
	// It is in the node's backup, as an operator's own file would be.
	if err := e.lab.RefuseKubelet(ctx, firstWorker, " v"+e.to+"."); err != nil {
		return err
	}
	return r.run(ctx)
}

// shortGates has kup give up earlier on what will not come: one gate is waited out.
func (e *env) shortGates() error {
	raw, err := os.ReadFile(e.lab.Inventory())
	if err != nil || strings.Contains(string(raw), "\ngates:") {
		return err
	}
	return os.WriteFile(e.lab.Inventory(), append(raw, "gates:\n  timeout: 5m\n"...), 0o644)
}

func (r *nodeRollback) applyAndGoBack(ctx context.Context, _ *traffic) error {
	var err error
	if r.second, err = r.secondMember(); err != nil {
		return err
	}
	if r.digests, err = r.fileDigests(ctx, secondControlPlane, r.second, firstWorker); err != nil {
		return err
	}
	if r.member, err = r.memberFacts(ctx, r.second); err != nil {
		return err
	}
	err = r.inOrder(ctx, "--", []part{
		{"an API server that ends again and again", r.apiServer},
		{"an etcd member that ends once it has opened its data", r.etcdMember},
		{"a kubelet that cannot start", r.kubelet},
	})
	if err != nil {
		return err
	}
	r.applied, err = r.kup.run(ctx, prefixed(r.out, "kup apply | "), resumeArgs(r.lab.Inventory())...)
	return err
}

// apiServer: the one of the second control plane crashes at the new version.
func (r *nodeRollback) apiServer(ctx context.Context) error {
	const program = "kube-apiserver"
	if err := r.lab.KillVersion(ctx, secondControlPlane, program, "v"+r.to+".", ""); err != nil {
		return err
	}
	if err := r.stopsAndGoesBack(ctx, secondControlPlane, append(r.applyArgs(), noRollback)); err != nil {
		return err
	}
	killed, err := r.lab.Killed(ctx, secondControlPlane, program)
	r.check(err == nil && killed > 0, "%s of %s was killed %d times: %v", program, secondControlPlane, killed, err)
	r.sameFiles(ctx, secondControlPlane, "/etc/", "/var/lib/kubelet/")
	if err := r.sameHost(ctx, secondControlPlane); err != nil {
		return err
	}
	return r.lab.SpareVersion(ctx, secondControlPlane, program)
}

// etcdMember: the second of three members is killed at 3.6 each time that it has opened
// its data. It goes back to 3.5 on just these.
func (r *nodeRollback) etcdMember(ctx context.Context) error {
	const program = "etcd"
	if err := r.lab.KillVersion(ctx, r.second, program, " 3.6.", etcdDB); err != nil {
		return err
	}
	applying, over := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.endKubeadm(applying, program) }()
	err := r.stopsAndGoesBack(ctx, r.second, append(resumeArgs(r.lab.Inventory()), noRollback))
	over()
	kubeadmErr := <-ended
	r.check(kubeadmErr == nil, "kubeadm was not ended on %s: %v", r.second, kubeadmErr)
	if err != nil {
		return err
	}
	r.sameFiles(ctx, r.second, "/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/pki/etcd/")
	version, err := r.staticVersion(ctx, r.second, program)
	if err != nil {
		return err
	}
	was := r.before[r.second].Static[program]
	r.check(version == was, "etcd of %s is %s after the rollback, before the hop %s", r.second, version, was)
	now, err := r.memberFacts(ctx, r.second)
	if err != nil {
		return err
	}
	r.check(now == r.member, "etcd's members, or the data of %s, are not those of before:\n%s\nbefore:\n%s", r.second, now, r.member)
	r.sum("etcd of "+r.second, "back at %s on its own data", version)
	return r.lab.SpareVersion(ctx, r.second, program)
}

// kills is how often a member is killed until nobody believes in it any more.
const kills = 3

// endKubeadm ends kubeadm beside the member that is killed again and again, as operators
// do who do not wait for 22 minutes until it gives up: it looks ten times, for two minutes
// each. It then puts the manifest of before back by itself, and that is to be kup's work
// here.
func (r *nodeRollback) endKubeadm(ctx context.Context, program string) error {
	return poll(ctx, time.Second, func(ctx context.Context) error {
		n, err := r.lab.Killed(ctx, r.second, program)
		if err == nil && n < kills {
			err = fmt.Errorf("%s was killed %d times, want %d", program, n, kills)
		}
		if err != nil {
			return err
		}
		_, err = r.lab.Exec(ctx, r.second, "pkill", "-TERM", "-x", "kubeadm")
		return err
	})
}

// kubelet: that of a worker cannot start at the new version; kup takes it back by
// itself.
func (r *nodeRollback) kubelet(ctx context.Context) error {
	o, err := r.kup.run(ctx, prefixed(r.out, "kup apply | "), resumeArgs(r.lab.Inventory())...)
	if err != nil {
		return err
	}
	r.check(o.code == exitRolledBack, "%s: exit code %d, want %d: %s", o, o.code, exitRolledBack, o.errorLine())
	r.wentBack(o, firstWorker)
	if err := r.settled(ctx, settleTimeout); err != nil {
		return err
	}
	r.sameFiles(ctx, firstWorker, "/")
	if err := r.sameHost(ctx, firstWorker); err != nil {
		return err
	}
	return r.lab.AdmitKubelet(ctx, firstWorker)
}

// wentBack wants a kup to have taken one node back, and no other.
func (r *nodeRollback) wentBack(o outcome, name string) {
	want := "was rolled back on " + name + ";"
	r.check(strings.Contains(o.output(), want), "%s does not say %q: %s", o, want, o.errorLine())
}

// stopsAndGoesBack runs an apply that must stop, and the rollback of the node that stopped
// it.
func (r *nodeRollback) stopsAndGoesBack(ctx context.Context, name string, args []string) error {
	for _, c := range []struct {
		args []string
		code int
	}{
		{args, exitStopped}, {[]string{"rollback", "-f", r.lab.Inventory(), "--yes"}, exitRolledBack},
	} {
		o, err := r.kup.run(ctx, prefixed(r.out, "kup "+c.args[0]+" | "), c.args...)
		if err != nil {
			return err
		}
		if !r.check(o.code == c.code, "%s: exit code %d, want %d: %s", o, o.code, c.code, o.errorLine()) {
			return fmt.Errorf("%s: exit code %d", o, o.code)
		}
		if o.code == exitRolledBack {
			r.wentBack(o, name)
		}
		r.sum("kup "+c.args[0], "exit code %d after %s", o.code, seconds(o.took))
	}
	return r.settled(ctx, settleTimeout)
}

// sameHost wants a node's versions, packages on hold and certificates of before.
func (r *nodeRollback) sameHost(ctx context.Context, name string) error {
	for _, n := range r.lab.Nodes() {
		if n.Name != name {
			continue
		}
		now, err := r.askHost(ctx, n)
		if err != nil {
			return err
		}
		was := r.before[name]
		r.check(now.Kubelet == was.Kubelet && now.Kubeadm == was.Kubeadm, "%s has kubelet %s and kubeadm %s, before %s and %s", name, now.Kubelet, now.Kubeadm, was.Kubelet, was.Kubeadm)
		r.check(maps.Equal(now.Static, was.Static), "%s runs %v, before %v", name, now.Static, was.Static)
		slices.Sort(now.Held)
		held := slices.Sorted(slices.Values(was.Held))
		r.check(slices.Equal(now.Held, held), "%s holds %v, before %v", name, now.Held, held)
		for file, end := range was.Certificates {
			r.check(now.Certificates[file].Equal(end), "%s: %s ends %s, before %s", name, file, now.Certificates[file], end)
		}
		r.sum(name+" after the rollback", "kubelet %s, %d files compared", now.Kubelet, len(r.digests[name]))
	}
	return nil
}

// sameFiles wants the files of a node below some paths to be what they were.
func (r *nodeRollback) sameFiles(ctx context.Context, node string, below ...string) {
	now, err := r.fileDigests(ctx, node)
	if !r.check(err == nil, "files of %s: %v", node, err) {
		return
	}
	among := func(file string) bool {
		return slices.ContainsFunc(below, func(p string) bool { return strings.HasPrefix(file, p) })
	}
	compared := 0
	for file, digest := range r.digests[node] {
		if among(file) {
			compared++
			r.check(now[node][file] == digest, "%s: %s is not what it was before", node, file)
		}
	}
	r.check(compared > 0, "%s: no file below %v was there before", node, below)
	for file := range now[node] {
		_, was := r.digests[node][file]
		r.check(was || !among(file), "%s: %s was not there before", node, file)
	}
}

// fileDigests are those of all that kup takes back on nodes. What kubeadm and the lab
// keep aside is none of it.
func (e *env) fileDigests(ctx context.Context, nodes ...string) (map[string]map[string]string, error) {
	const script = `find /etc/kubernetes /etc/systemd/system/kubelet.service.d /etc/default/kubelet /etc/apt/sources.list.d \
	/var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env \
	-path /etc/kubernetes/tmp -prune -o -type f -print 2>/dev/null | sort | while IFS= read -r file; do sha256sum "$file"; done`
	out := map[string]map[string]string{}
	for _, node := range nodes {
		text, err := e.lab.Exec(ctx, node, "sh", "-c", script)
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w", node, err)
		}
		out[node] = map[string]string{}
		for line := range strings.Lines(text) {
			digest, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
			out[node][file] = digest
		}
	}
	return out, nil
}

// secondMember is the node whose member the plan moves second: the leader comes last.
func (r *nodeRollback) secondMember() (string, error) {
	p, err := r.readPlan()
	if err != nil {
		return "", err
	}
	var nodes []string
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if st.Name == plan.EtcdStage && s.Kind == plan.KindCommand && !slices.Contains(nodes, s.Node) {
			nodes = append(nodes, s.Node)
		}
		return true
	})
	if len(nodes) != 3 {
		return "", fmt.Errorf("the plan moves the etcd members of %v, not of three nodes", nodes)
	}
	return nodes[1], nil
}

// memberFacts are all members with their ids, and which directory the data of a node's
// are: one that was put aside, or restored, is another one.
func (e *env) memberFacts(ctx context.Context, node string) (string, error) {
	const script = `id=$(crictl ps -q --state running --name '^etcd$' | head -n 1)
[ -n "$id" ] || { echo "etcd does not run" >&2; exit 1; }
pki=/etc/kubernetes/pki/etcd
crictl exec "$id" etcdctl --endpoints https://127.0.0.1:2379 --cacert "$pki/ca.crt" --cert "$pki/healthcheck-client.crt" --key "$pki/healthcheck-client.key" member list | sort
stat -c 'data: inode %i' /var/lib/etcd/member
for aside in /var/lib/etcd/member.kup-*; do [ ! -e "$aside" ] || echo "set aside: $aside"; done`
	text, err := e.lab.Exec(ctx, node, "sh", "-c", script)
	if err != nil {
		return "", fmt.Errorf("etcd of %s: %w", node, err)
	}
	return strings.TrimSpace(text), nil
}
