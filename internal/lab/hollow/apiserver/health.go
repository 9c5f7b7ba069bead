package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/version"
)

// checks are those that /readyz names, in its order.
var checks = []string{
	"ping", "log", "etcd", "etcd-readiness", "informer-sync", "poststarthook/start-apiserver-admission-initializer",
	"poststarthook/rbac/bootstrap-roles", "poststarthook/scheduling/bootstrap-system-priority-classes",
	"poststarthook/apiservice-registration-controller", "autoregister-completion", "shutdown",
}

// public serves what everybody may ask; false: it is something else.
func (s *Server) public(w http.ResponseWriter, r *http.Request) bool {
	switch path, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); path {
	case "readyz", "healthz":
		s.mu.Lock()
		failing := maps.Clone(s.failing)
		s.mu.Unlock()
		health(w, r, path, failing)
	case "livez":
		health(w, r, path, nil)
	case "version":
		writeJSON(w, http.StatusOK, s.release())
	default:
		return false
	}
	return true
}

func health(w http.ResponseWriter, r *http.Request, endpoint string, failing map[string]string) {
	var lines strings.Builder
	all := slices.Clone(checks)
	for _, name := range slices.Sorted(maps.Keys(failing)) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	bad := 0
	for _, name := range all {
		if _, fails := failing[name]; fails && !slices.Contains(r.URL.Query()["exclude"], name) {
			bad++
			fmt.Fprintf(&lines, "[-]%s failed: reason withheld\n", name)
		} else {
			fmt.Fprintf(&lines, "[+]%s ok\n", name)
		}
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	const media = "text/plain; charset=utf-8"
	switch _, verbose := r.URL.Query()["verbose"]; {
	case bad > 0:
		write(w, http.StatusInternalServerError, media, fmt.Appendf(nil, "%s%s check failed\n", lines.String(), endpoint))
	case verbose:
		write(w, http.StatusOK, media, fmt.Appendf(nil, "%s%s check passed\n", lines.String(), endpoint))
	default:
		write(w, http.StatusOK, media, []byte("ok"))
	}
}

// release is what /version says.
func (s *Server) release() version.Info {
	release := s.Version()
	numbers := append(strings.SplitN(strings.TrimPrefix(release, "v"), ".", 3), "", "")
	return version.Info{
		Major: numbers[0], Minor: numbers[1], GitVersion: release, GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: "linux/amd64",
	}
}

// Deprecated is an API version on its way out that some client has asked for.
type Deprecated struct{ Group, Version, Resource, RemovedRelease string }

// SetDeprecated has /metrics say which deprecated API versions were asked for
// since the server's start.
func (s *Server) SetDeprecated(asked ...Deprecated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deprecated = slices.Clone(asked)
}

func (s *Server) metrics(w http.ResponseWriter) {
	s.mu.Lock()
	asked := slices.Clone(s.deprecated)
	s.mu.Unlock()
	const name = "apiserver_requested_deprecated_apis"
	text := fmt.Appendf(nil, "# HELP %s [STABLE] Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.\n# TYPE %s gauge\n", name, name)
	for _, d := range asked {
		text = fmt.Appendf(text, "%s{group=%q,removed_release=%q,resource=%q,subresource=\"\",version=%q} 1\n", name, d.Group, d.RemovedRelease, d.Resource, d.Version)
	}
	write(w, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", text)
}
