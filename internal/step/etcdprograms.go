package step

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// etcdPrograms are the programs of the etcd that a member runs, as the scripts ask
// for them: DIR VERSION IMAGE SOCKET.
type etcdPrograms struct {
	dir     string // empty: the run's own, see [etcdPrograms.in]
	version string // 3.5.24
	image   string // empty: installed on the host
	socket  string
}

var bareVersion = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

func (a *args) etcdPrograms() etcdPrograms {
	p := etcdPrograms{version: a.text("version"), image: a.step.Args["image"], dir: a.step.Args["programs"]}
	if p.version != "" && !bareVersion.MatchString(p.version) {
		a.bad("version", "is not an etcd version such as 3.5.24")
	}
	p.socket = cmp.Or(a.step.Args["socket"], defaultSocket)
	if p.dir != "" {
		p.dir = a.path("programs")
	}
	return p
}

// in gives what the scripts take, for a run. The directory holds the version's
// programs alone, so that two hops of one run do not mix them up.
func (p etcdPrograms) in(run string) []string {
	return []string{cmp.Or(p.dir, ProgramsDir(run, p.version)), p.version, p.image, p.socket}
}

// ProgramsDir is where a run keeps the programs of an etcd version on a node, root
// only.
func ProgramsDir(run, version string) string {
	return path.Join(stateDir, run, "etcd-"+version)
}

// path is a required absolute path without surprises.
func (a *args) path(key string) string {
	v := a.text(key)
	if v != "" && (!path.IsAbs(v) || path.Clean(v) != v || v == "/") {
		a.bad(key, "is not a clean absolute path")
	}
	return v
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// digest is a required SHA-256, hexadecimal.
func (a *args) digest(key string) string {
	v := a.text(key)
	if v != "" && !hexDigest.MatchString(v) {
		a.bad(key, "is not a SHA-256")
	}
	return v
}

// bump is how far the revision is raised; empty: not at all.
func (a *args) bump() string {
	v := a.step.Args["bump"]
	if v == "" {
		return ""
	}
	if n, err := strconv.ParseInt(v, 10, 64); err != nil || n <= 0 {
		a.bad("bump", "is not a number above 0")
	}
	return v
}

// restorable: the truth is the programs on the node, which the script looks for
// before it fetches them.
type restorable struct{ executions }

func (r *restorable) read(s plan.Step) (etcdPrograms, string, error) {
	a := args{step: s}
	a.node()
	p := a.etcdPrograms()
	raises := ""
	if a.flag("bump") {
		raises = "bump"
	}
	return p, raises, a.err
}

func (r *restorable) Done(ctx context.Context, s plan.Step) (bool, error) {
	if _, _, err := r.read(s); err != nil {
		return false, err
	}
	return r.endedWell(ctx, s)
}

func (r *restorable) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	p, raises, err := r.read(s)
	if err != nil {
		return err
	}
	argv := script([]string{"common", "etcd_programs", "etcd_restorable"}, append(p.in(x.Run), raises)...)
	res, err := r.run(ctx, s, x, "see to etcd "+p.version+"'s programs, which a restore needs", remote.Command{Argv: argv})
	if err == nil {
		r.observer.Note(s.ID, "etcd "+p.version+" from "+strings.TrimSpace(string(res.Stdout)))
	}
	return err
}
