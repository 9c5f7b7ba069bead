package step

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// etcdTimeout is how long a member's host may take: a copy of the largest store there is,
// and a unit that waits for its cluster.
const etcdTimeout = 20 * time.Minute

// etcdScript gives the argv of a script for an external member's host.
func etcdScript(name string, params ...string) []string {
	return script([]string{"common", "binaries", "etcd", name}, params...)
}

// releaseRequest is a release of etcd and where it comes from.
type releaseRequest struct{ version, url, sums, run string }

func readRelease(a *args, run string) releaseRequest {
	return releaseRequest{version: a.version("version").String(), url: a.text("url"), sums: a.text("checksumURL"), run: run}
}

// cache is where a host keeps what was downloaded.
func (r releaseRequest) cache() string { return path.Join(stateDir, r.run, "cache", "etcd-"+r.version) }

func (r releaseRequest) params() []string { return []string{r.cache(), r.version, r.url, r.sums} }

// etcdFetch: the truth is the run's cache on the host.
type etcdFetch struct{ executions }

func (r *etcdFetch) Done(ctx context.Context, s plan.Step) (bool, error) {
	x, begun := r.last(s.ID)
	if !begun {
		return false, nil
	}
	a := args{step: s}
	a.node()
	release := readRelease(&a, x.Run)
	if a.err != nil {
		return false, a.err
	}
	return r.proven(ctx, s, "look for etcd "+release.version, etcdScript("etcd_fetched", release.cache()))
}

func (r *etcdFetch) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	a := args{step: s}
	a.node()
	release := readRelease(&a, x.Run)
	if a.err != nil {
		return a.err
	}
	_, err := r.run(ctx, s, x, "download etcd "+release.version, remote.Command{Argv: etcdScript("etcd_fetch", release.params()...), Timeout: etcdTimeout})
	return err
}

// memberRequest is where a host runs its member.
type memberRequest struct{ version, unit, data, directory string }

func readMember(a *args) memberRequest {
	a.node()
	m := memberRequest{version: a.version("version").String(), unit: a.text("unit"), data: a.path("dataDirectory"), directory: a.path("directory")}
	a.unitName(m.unit)
	return m
}

// runs tells whether the unit runs the release.
func (r *executions) runs(ctx context.Context, s plan.Step, m memberRequest) (bool, error) {
	return r.proven(ctx, s, "look for etcd "+m.version, etcdScript("etcd_swapped", m.version, m.unit, m.directory))
}

// etcdSwap: the truth is the installed program, and that the unit runs it.
type etcdSwap struct{ executions }

func (r *etcdSwap) read(s plan.Step, run string) (memberRequest, []string, error) {
	a := args{step: s}
	m := readMember(&a)
	release := readRelease(&a, run)
	from := a.version("from").String()
	keep := plan.EtcdKeep(run, hopOf(s), from)
	return m, append(release.params(), from, m.unit, m.data, m.directory, keep), a.err
}

func (r *etcdSwap) Done(ctx context.Context, s plan.Step) (bool, error) {
	m, _, err := r.read(s, "")
	if err != nil {
		return false, err
	}
	return r.runs(ctx, s, m)
}

func (r *etcdSwap) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	m, params, err := r.read(s, x.Run)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, x, "replace etcd by "+m.version, remote.Command{Argv: etcdScript("etcd_swap", params...), Timeout: etcdTimeout})
	return err
}

// etcdReturn: the truth is as for a swap.
type etcdReturn struct{ executions }

func (r *etcdReturn) read(s plan.Step) (memberRequest, []string, error) {
	a := args{step: s}
	m := readMember(&a)
	keep := a.path("keep")
	if keep != "" && !strings.HasPrefix(keep, stateDir+"/") {
		a.bad("keep", "is not below "+stateDir)
	}
	return m, []string{m.version, m.unit, m.data, m.directory, keep, s.Args["judged"]}, a.err
}

func (r *etcdReturn) Done(ctx context.Context, s plan.Step) (bool, error) {
	m, _, err := r.read(s)
	if err != nil {
		return false, err
	}
	return r.runs(ctx, s, m)
}

func (r *etcdReturn) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	m, params, err := r.read(s)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, x, "go back to etcd "+m.version, remote.Command{Argv: etcdScript("etcd_return", params...), Timeout: etcdTimeout})
	return err
}
