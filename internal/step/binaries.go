package step

import "strings"

// binaries installs plain programs from a web server, never without a checksum.
type binaries struct{}

func (binaries) check(a *args, _ request) {
	a.text("url")
	a.text("checksumURL")
}

func (binaries) fetch(p request) []string {
	return script([]string{"common", "binaries", "binaries_fetch"}, append([]string{p.cache()}, downloads(p)...)...)
}

func (binaries) fetched(p request) []string {
	return script([]string{"common", "binaries", "binaries_fetched"}, append([]string{p.cache()}, p.names()...)...)
}

func (binaries) install(p request) []string {
	return script([]string{"common", "binaries", "binaries_install"}, append([]string{p.cache(), p.version, p.unit}, downloads(p)...)...)
}

func (binaries) installed(p request) []string {
	return script([]string{"common", "binaries", "binaries_installed"}, append([]string{p.version, p.unit}, p.names()...)...)
}

// downloads is name, URL and URL of the checksum for each program.
func downloads(p request) []string {
	var out []string
	for _, name := range p.names() {
		out = append(out, name,
			strings.ReplaceAll(p.url, "{binary}", name),
			strings.ReplaceAll(strings.ReplaceAll(p.checksumURL, "{url}", p.url), "{binary}", name))
	}
	return out
}
