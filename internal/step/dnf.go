package step

// dnf installs rpm packages, with yum where there is no dnf.
type dnf struct{}

func (dnf) check(a *args, p request) { needsRepository(a, p) }

func (dnf) fetch(p request) []string {
	return script([]string{"common", "dnf", "dnf_fetch"}, append([]string{p.file, p.repository, p.key, yes(p.downgrade)}, p.pins...)...)
}

func (dnf) fetched(p request) []string {
	return script([]string{"common", "dnf", "dnf_fetched"}, p.pins...)
}

func (dnf) install(p request) []string {
	return script([]string{"common", "dnf", "dnf_install"},
		append([]string{p.file, p.repository, p.key, p.keep(), yes(p.hold), p.version, p.unit, yes(p.downgrade)}, p.pins...)...)
}

func (dnf) installed(p request) []string {
	return script([]string{"common", "dnf", "dnf_installed"}, append([]string{p.version, p.unit}, p.pins...)...)
}
