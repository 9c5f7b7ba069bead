package step

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// manager builds the scripts of one package manager. Each gives an argv list.
type manager interface {
	// fetch downloads and changes nothing that is installed; fetched says "yes"
	// when it was done.
	fetch(p request) []string
	fetched(p request) []string
	// install installs, verifies and restarts; installed says "yes" when all of
	// it is so.
	install(p request) []string
	installed(p request) []string
	// check tells what else the manager needs.
	check(a *args, p request)
}

// request is what a fetch or packages step asks for.
type request struct {
	pins        []string // name=version
	repository  string
	file        string // on the node, where the repository is written to
	key         string
	hold        bool
	downgrade   bool
	lock        time.Duration
	version     string // vX.Y.Z
	unit        string
	url         string
	checksumURL string
	hop         string
	run         string // the run's id; names directories on the node
}

// pinForm keeps the words that become arguments of a package manager apart from
// its options.
var pinForm = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*=[A-Za-z0-9][A-Za-z0-9.+:~_-]*$`)

func readRequest(s plan.Step, run string, managers map[string]manager) (request, manager, error) {
	a := args{step: s}
	a.node()
	m, known := managers[s.Args["manager"]]
	if !known {
		a.bad("manager", fmt.Sprintf("is %q; want apt, dnf or binaries", s.Args["manager"]))
		return request{}, nil, a.err
	}
	p := request{
		pins: a.lines("packages"), repository: s.Args["repository"], file: s.Args["repositoryFile"], key: s.Args["signingKey"],
		hold: a.flag("hold"), downgrade: a.flag("downgrade"), lock: a.duration("lockTimeout", 5*time.Minute),
		version: a.version("version").String(), unit: s.Args["restart"],
		url: s.Args["url"], checksumURL: s.Args["checksumURL"], hop: hopOf(s), run: run,
	}
	if len(p.pins) == 0 {
		a.bad("packages", "is missing")
	}
	for _, pin := range p.pins {
		if !pinForm.MatchString(pin) {
			a.bad("packages", fmt.Sprintf("has %q; want name=version", pin))
		}
	}
	m.check(&a, p)
	return p, m, a.err
}

// needsRepository is the check of managers that install from a repository.
func needsRepository(a *args, p request) {
	for _, v := range []string{p.repository, p.key} {
		if strings.ContainsAny(v, " \t\n\r[]") {
			a.bad("repository", "holds a blank or a bracket")
		}
	}
	a.text("repository")
	if file := a.text("repositoryFile"); file != "" && !path.IsAbs(file) {
		a.bad("repositoryFile", "is not an absolute path")
	}
}

// keep is where a node keeps what a hop replaced of its package sources.
func (p request) keep() string { return path.Join(stateDir, p.run, "packages", p.hop) }

// cache is where a node keeps downloaded binaries.
func (p request) cache() string { return path.Join(stateDir, p.run, "cache", p.version) }

func (p request) names() []string {
	out := make([]string, len(p.pins))
	for i, pin := range p.pins {
		out[i], _, _ = strings.Cut(pin, "=")
	}
	return out
}

func (p request) title(verb string) string { return verb + " " + strings.Join(p.pins, " ") }

// packages: the truth is the package manager, the binaries and, where a unit is
// restarted, the program that it runs.
type packages struct {
	executions
	managers map[string]manager
}

func (r *packages) Done(ctx context.Context, s plan.Step) (bool, error) {
	p, m, err := readRequest(s, "", r.managers)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, p.title("look for"), m.installed(p))
}

func (r *packages) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	p, m, err := readRequest(s, x.Run, r.managers)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, s, x, p.title("install"), remote.Command{Argv: m.install(p)})
	return err
}
