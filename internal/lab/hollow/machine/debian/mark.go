package debian

import (
	"context"
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// aptMark is apt-mark hold, unhold and showhold.
func (s *System) aptMark(_ context.Context, p *shell.Process) int {
	if len(p.Args) < 2 {
		return fail(p, words(nil, "E: Invalid operation"))
	}
	switch verb, names := p.Args[1], p.Args[2:]; verb {
	case "showhold":
		held, err := Held(p.FS)
		if err != nil {
			return fail(p, err)
		}
		for _, name := range held {
			_, _ = fmt.Fprintln(p.Stdout, name)
		}
		return 0
	case "hold":
		return s.mark(p, names, "hold", "%s was already set on hold.\n", "%s set on hold.\n")
	case "unhold":
		return s.mark(p, names, "install", "%s was already not on hold.\n", "Canceled hold on %s.\n")
	default:
		return fail(p, words(nil, "E: Invalid operation %s", verb))
	}
}

// mark has dpkg set selections, which it does under its own lock.
func (s *System) mark(p *shell.Process, names []string, want, already, done string) int {
	if !p.Root {
		return fail(p, words(nil, "E: Executing dpkg failed. Are you root?"))
	}
	for _, file := range []string{frontendLock, databaseLock} {
		release, err := p.FS.TryLock(file, false)
		if err != nil {
			return fail(p, words(nil, "dpkg: error: dpkg frontend lock was locked by another process with pid 4711\nE: Executing dpkg failed. Are you root?"))
		}
		defer release()
	}
	d, err := readDatabase(p.FS, statusFile)
	if err != nil {
		return fail(p, err)
	}
	var said strings.Builder
	changed := false
	for _, name := range names {
		e := d.find(name)
		switch {
		case e == nil:
			return fail(p, words(nil, "E: Unable to locate package %s", name))
		case e.want == want:
			fmt.Fprintf(&said, already, name)
		default:
			e.want, changed = want, true
			fmt.Fprintf(&said, done, name)
		}
	}
	if changed {
		if s.Mutated != nil {
			s.Mutated(p.Args)
		}
		if err := d.save(p.FS); err != nil {
			return fail(p, words(err, "E: Executing dpkg failed: %v", err))
		}
	}
	_, _ = fmt.Fprint(p.Stdout, said.String())
	return 0
}
