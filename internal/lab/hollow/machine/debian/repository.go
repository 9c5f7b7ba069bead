package debian

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Package is one Debian package of one version.
type Package struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Depends []string          `json:"depends,omitempty"` // "cri-tools (>= 1.30.0)"
	Summary string            `json:"summary,omitempty"`
	Files   map[string]string `json:"files"` // content by path; those below /usr/bin are programs
}

// FileName is how the package is called in a repository and in apt's cache.
func (p *Package) FileName(architecture string) string {
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"), architecture)
}

// control is the package's paragraph, as in an index and in dpkg's database.
func (p *Package) control(architecture string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Version: %s\nArchitecture: %s\nMaintainer: hollow <lab@kup.invalid>\n", p.Version, architecture)
	if len(p.Depends) > 0 {
		fmt.Fprintf(&b, "Depends: %s\n", strings.Join(p.Depends, ", "))
	}
	fmt.Fprintf(&b, "Section: admin\nPriority: optional\nHomepage: https://kubernetes.io\nDescription: %s\n", p.Summary)
	return b.String()
}

// Outage is a way in which a repository fails.
type Outage string

// The outages.
const (
	NotFound    Outage = "404  Not Found"
	Unreachable Outage = "Could not connect to the server - connect (111: Connection refused)"
)

// FetchError is what a host gets instead of a repository.
type FetchError struct {
	URL    string
	Outage Outage
}

func (e *FetchError) Error() string {
	return fmt.Sprintf("Failed to fetch %s  %s", e.URL, e.Outage)
}

// Repository is a set of package repositories, one a minor of Kubernetes, shared by
// all hosts. It is safe for concurrent use.
type Repository struct {
	template string

	mu      sync.Mutex
	minors  map[string][]Package
	outages map[outageKey]Outage
}

type outageKey struct{ host, minor string }

const minorMark = "{minor}"

// NewRepository makes one without packages. The template is a minor's URL, ending
// in a slash, with {minor} in it.
func NewRepository(template string) *Repository {
	return &Repository{template: template, minors: map[string][]Package{}, outages: map[outageKey]Outage{}}
}

// URL is where the repository of the minor is.
func (r *Repository) URL(minor string) string {
	return strings.ReplaceAll(r.template, minorMark, minor)
}

// Template is the URL with {minor} in it.
func (r *Repository) Template() string { return r.template }

// Publish adds packages to the minor's repository.
func (r *Repository) Publish(minor string, packages ...Package) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.minors[minor] = append(r.minors[minor], packages...)
}

// Withdraw takes a version of all packages out of the minor's repository.
func (r *Repository) Withdraw(minor, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.minors[minor] = slices.DeleteFunc(r.minors[minor], func(p Package) bool { return p.Version == version })
}

// Minors are those that have packages.
func (r *Repository) Minors() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.minors))
}

// Fail breaks the repository of a minor, of all when it is empty, for one host, for
// all when that is empty; restore mends it.
func (r *Repository) Fail(host, minor string, o Outage) (restore func()) {
	key := outageKey{host, minor}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outages[key] = o
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.outages, key)
	}
}

// Fetch gives a host what is at the URL of a repository; [*FetchError] when there
// is none, or when it fails.
func (r *Repository) Fetch(host, url string) ([]Package, error) {
	url = strings.TrimSuffix(url, "/") + "/"
	minor, known := r.minorOf(url)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range []outageKey{{host, minor}, {host, ""}, {"", minor}, {"", ""}} {
		if o, broken := r.outages[key]; broken {
			return nil, &FetchError{URL: url, Outage: o}
		}
	}
	if !known {
		return nil, &FetchError{URL: url, Outage: Unreachable}
	}
	if len(r.minors[minor]) == 0 {
		return nil, &FetchError{URL: url, Outage: NotFound}
	}
	return slices.Clone(r.minors[minor]), nil
}

// minorOf reads the minor out of a URL; false when it is no URL of this repository.
func (r *Repository) minorOf(url string) (string, bool) {
	before, after, _ := strings.Cut(r.template, minorMark)
	rest, found := strings.CutPrefix(url, before)
	if !found {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// index is the repository's Packages file.
func index(packages []Package, architecture string) string {
	var b strings.Builder
	for i, p := range packages {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "Package: %s\n%sFilename: %s/%s\n", p.Name, p.control(architecture), architecture, p.FileName(architecture))
	}
	return b.String()
}
