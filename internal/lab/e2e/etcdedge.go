package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/pkg/plan"
)

const (
	// edgeEtcd is what the scenario starts with, and edgeSafe the oldest etcd from
	// which the way to 3.6 is safe: https://etcd.io/blog/2025/zombie_members_upgrade.
	edgeEtcd = "3.5.24"
	edgeSafe = "3.5.26"
)

// etcdEdge is the scenario's state: what was seen while the plan raised etcd.
type etcdEdge struct {
	*hop
	// pinned is etcd.local.imageTag when the plan had set it, raised are the members'
	// versions when it had taken it out again.
	pinned string
	raised map[string]string
}

func runEtcdEdge(ctx context.Context, e *env) error {
	x := &etcdEdge{hop: newHop(e)}
	x.drive = x.applyAndLook
	x.more = x.judgeEdge
	return x.run(ctx)
}

// applyAndLook is one apply. When the tag is set, and when it is out again, the
// cluster is asked what it is and what etcd runs.
func (x *etcdEdge) applyAndLook(ctx context.Context, _ *traffic) error {
	for name, f := range x.before {
		if v, runs := f.Static["etcd"]; runs {
			x.check(v == edgeEtcd, "%s: etcd is at %s before, and the scenario is about %s", name, v, edgeEtcd)
		}
	}
	o, err := x.kup.run(ctx, nil, "plan", "-f", x.lab.Inventory(), "--to", "v"+x.to)
	if err != nil {
		return err
	}
	for _, line := range []string{"set etcd.local.imageTag", "(etcd to v3.5.", "take etcd.local.imageTag out"} {
		x.check(strings.Contains(string(o.stdout), line), "the plan does not show the step %q", line)
	}
	p, err := x.kup.start(ctx, prefixed(x.out, "kup apply | "), x.applyArgs()...)
	if err != nil {
		return err
	}
	lookErr := x.look(ctx, p)
	var applyErr error
	x.applied, applyErr = p.wait()
	return errors.Join(lookErr, applyErr)
}

// look asks at the two moments. That one did not come is a failed assertion and not
// an error: kup's own exit code says why.
func (x *etcdEdge) look(ctx context.Context, p *process) error {
	alive := func() bool { return !p.ended() }
	for _, m := range []struct {
		step string
		do   func(context.Context) error
	}{
		{"etcd/raise-pin", func(ctx context.Context) (err error) { x.pinned, err = x.etcdTag(ctx); return err }},
		{"etcd/raise-unpin", func(ctx context.Context) (err error) { x.raised, err = x.etcdVersions(ctx); return err }},
	} {
		s, err := x.await(ctx, x.kup, alive, moment{step: m.step, after: true})
		if errors.Is(err, errMissed) {
			x.check(false, "the cluster could not be asked after step %s: %v", m.step, err)
			return nil
		}
		if err == nil {
			err = m.do(ctx)
		}
		if err != nil {
			return err
		}
		x.printf("asked after step %s", s.step)
	}
	return nil
}

// etcdVersions asks the members' own programs, each on its node.
func (x *etcdEdge) etcdVersions(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, n := range x.lab.Nodes() {
		if n.Role != node.RoleControlPlane {
			continue
		}
		v, err := x.staticVersion(ctx, n.Name, "etcd")
		if err != nil {
			return nil, fmt.Errorf("etcd on %s: %w", n.Name, err)
		}
		out[n.Name] = v
	}
	return out, nil
}

// etcdTag reads what kubeadm's configuration pins etcd to; empty: nothing.
func (x *etcdEdge) etcdTag(ctx context.Context) (string, error) {
	m, err := x.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, kubeadmConfig, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("ConfigMap %s: %w", kubeadmConfig, err)
	}
	var config struct {
		Etcd struct {
			Local struct {
				ImageTag string `json:"imageTag"`
			} `json:"local"`
		} `json:"etcd"`
	}
	if err := yaml.Unmarshal([]byte(m.Data["ClusterConfiguration"]), &config); err != nil {
		return "", fmt.Errorf("ConfigMap %s: %w", kubeadmConfig, err)
	}
	return config.Etcd.Local.ImageTag, nil
}

// judgeEdge judges the steps that the plan had inserted, what they made of the
// members, and where etcd is at the end.
func (x *etcdEdge) judgeEdge(ctx context.Context) error {
	x.judgeTime()
	if err := x.judgeOnce(ctx, &away{}); err != nil {
		return err
	}
	p, err := x.readPlan()
	if err != nil {
		return err
	}
	end, err := x.etcdVersions(ctx)
	if err != nil {
		return err
	}
	steps := raising(p)
	to := p.Hops[0].Etcd.Bare()
	rows := [][]string{{"node", "etcd before", "raised to", "at the end"}}
	for _, name := range sortedNames(end) {
		was, between := x.before[name].Static["etcd"], x.raised[name]
		rows = append(rows, []string{name, was, orDash(between), end[name]})
		x.check(len(steps[name]) == 1, "%s: the plan raises etcd there in steps %v, want one", name, steps[name])
		x.check(strings.HasPrefix(between, "3.5.") && compareVersions(between, edgeSafe) >= 0,
			"%s: etcd was at %q when its raise was over, want 3.5 from %s on", name, between, edgeSafe)
		x.check(compareVersions(end[name], to) >= 0, "%s: etcd is at %s, the plan says %s", name, end[name], to)
	}
	x.printTable("etcd on the way", rows)
	tag, err := x.etcdTag(ctx)
	if err != nil {
		return err
	}
	x.check(strings.HasPrefix(x.pinned, "3.5."), "while etcd was raised, etcd.local.imageTag was %q", x.pinned)
	x.check(tag == "", "kubeadm's configuration still pins etcd to %s", tag)
	x.sum("etcd", "%s, raised by %d inserted steps with the tag %s, then %s", edgeEtcd, len(steps), x.pinned, to)
	return nil
}

// raising gives, by node, the plan's steps that upgrade etcd before the first of a
// control plane.
func raising(p *plan.Plan) map[string][]string {
	out := map[string][]string{}
	p.Steps(func(_ *plan.Hop, st *plan.Stage, s *plan.Step) bool {
		if s.Args["component"] == plan.ComponentEtcd {
			out[s.Node] = append(out[s.Node], s.ID)
		}
		return st.Name != plan.ControlPlane
	})
	return out
}
