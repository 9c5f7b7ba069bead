package step

import (
	"strconv"
	"time"
)

// apt installs Debian packages.
type apt struct{}

func (apt) check(a *args, p request) { needsRepository(a, p) }

func (apt) fetch(p request) []string {
	return script([]string{"common", "apt", "apt_fetch"},
		append([]string{p.file, p.repository, p.key, wholeSeconds(p.lock), yes(p.downgrade)}, p.pins...)...)
}

func (apt) fetched(p request) []string {
	return script([]string{"common", "apt", "apt_fetched"}, p.pins...)
}

func (apt) install(p request) []string {
	return script([]string{"common", "apt", "apt_install"},
		append([]string{p.file, p.repository, p.key, p.keep(), yes(p.hold), wholeSeconds(p.lock), p.version, p.unit, yes(p.downgrade)}, p.pins...)...)
}

func (apt) installed(p request) []string {
	return script([]string{"common", "apt", "apt_installed"}, append([]string{yes(p.hold), p.version, p.unit}, p.pins...)...)
}

func wholeSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
