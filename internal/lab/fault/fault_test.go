package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorder offers every means and keeps what it was asked and what is wrong now.
type recorder struct {
	calls   []string
	wrong   map[string]bool
	version string
	// refuse is what a call begins with that fails, after it had its effect.
	refuse string
}

var errRefused = errors.New("refused")

func newRecorder() *recorder { return &recorder{wrong: map[string]bool{}, version: "new"} }

func (r *recorder) target() Target {
	return Target{
		Node: "w-1", LoadBalancer: "lb", Directory: "/var/lib/kup", LocalDirectory: "/state", Package: "kubelet", Older: "old",
		Minor: "1.34", Namespace: "shop", App: "web", Skew: time.Hour,
		SSH: r, Power: r, Services: r, Processes: r, Disks: r, LocalDisks: r, Kubelets: r, Clocks: r, Repository: r, Packages: r, Budgets: r,
	}
}

func (r *recorder) did(ctx context.Context, wrong bool, what, format string, args ...any) error {
	thing := fmt.Sprintf(format, args...)
	r.calls = append(r.calls, strings.TrimSpace(what+" "+thing))
	// The first two words of what is asked name the thing.
	if wrong {
		r.wrong[thing] = true
	} else {
		delete(r.wrong, thing)
	}
	if r.refuse != "" && strings.HasPrefix(what, r.refuse) {
		return errRefused
	}
	return ctx.Err()
}

func (r *recorder) BreakSSH(ctx context.Context, m string, how Break) error {
	err := r.did(ctx, true, "break", "ssh %s", m)
	r.calls[len(r.calls)-1] += " " + string(how)
	if how == Cut {
		delete(r.wrong, "ssh "+m)
	}
	return err
}
func (r *recorder) MendSSH(ctx context.Context, m string) error {
	return r.did(ctx, false, "mend", "ssh %s", m)
}
func (r *recorder) PowerOff(ctx context.Context, m string) error {
	return r.did(ctx, true, "off", "power %s", m)
}
func (r *recorder) PowerOn(ctx context.Context, m string) error {
	return r.did(ctx, false, "on", "power %s", m)
}
func (r *recorder) StopService(ctx context.Context, m, name string) error {
	return r.did(ctx, true, "stop", "service %s %s", m, name)
}
func (r *recorder) StartService(ctx context.Context, m, name string) error {
	return r.did(ctx, false, "start", "service %s %s", m, name)
}
func (r *recorder) PauseProcess(ctx context.Context, m, p string) error {
	return r.did(ctx, true, "pause", "process %s %s", m, p)
}
func (r *recorder) ResumeProcess(ctx context.Context, m, p string) error {
	return r.did(ctx, false, "resume", "process %s %s", m, p)
}
func (r *recorder) FillDisk(ctx context.Context, m, d string) error {
	return r.did(ctx, true, "fill", "disk %s %s", m, d)
}
func (r *recorder) FreeDisk(ctx context.Context, m, d string) error {
	return r.did(ctx, false, "free", "disk %s %s", m, d)
}
func (r *recorder) BreakKubelet(ctx context.Context, n string) error {
	return r.did(ctx, true, "break", "kubelet %s", n)
}
func (r *recorder) MendKubelet(ctx context.Context, n string) error {
	return r.did(ctx, false, "mend", "kubelet %s", n)
}
func (r *recorder) SkewClock(ctx context.Context, m string, by time.Duration) error {
	return r.did(ctx, by != 0, fmt.Sprintf("skew by %s", by), "clock %s", m)
}
func (r *recorder) WithdrawPackages(ctx context.Context, minor string) error {
	return r.did(ctx, true, "withdraw", "repository %s", minor)
}
func (r *recorder) PublishPackages(ctx context.Context, minor string) error {
	return r.did(ctx, false, "publish", "repository %s", minor)
}
func (r *recorder) PackageVersion(context.Context, string, string) (string, error) {
	return r.version, nil
}
func (r *recorder) InstallPackage(ctx context.Context, m, name, version string) error {
	err := r.did(ctx, version != "new", "install", "package %s %s", m, name)
	r.version = version
	r.calls[len(r.calls)-1] += " " + version
	return err
}
func (r *recorder) ForbidEvictions(ctx context.Context, ns, app string) error {
	return r.did(ctx, true, "forbid", "evictions %s %s", ns, app)
}
func (r *recorder) AllowEvictions(ctx context.Context, ns, app string) error {
	return r.did(ctx, false, "allow", "evictions %s %s", ns, app)
}

func TestEveryFaultIsPaired(t *testing.T) {
	want := map[string][]string{
		"drop-connection":    {"break ssh w-1 cut"},
		"refused":            {"break ssh w-1 refused", "mend ssh w-1"},
		"reply-lost":         {"break ssh w-1 mute", "mend ssh w-1"},
		"hang":               {"break ssh w-1 silent", "mend ssh w-1"},
		"slow-network":       {"break ssh w-1 slow", "mend ssh w-1"},
		"host-reboot":        {"off power w-1", "on power w-1"},
		"host-off":           {"off power w-1", "on power w-1"},
		"load-balancer-gone": {"off power lb", "on power lb"},
		"disk-full":          {"fill disk w-1 /var/lib/kup", "free disk w-1 /var/lib/kup"},
		"laptop-disk-full":   {"fill disk  /state", "free disk  /state"},
		"clock-skew":         {"skew by 1h0m0s clock w-1", "skew by 0s clock w-1"},
		"api-server-gone":    {"stop service w-1 kube-apiserver", "start service w-1 kube-apiserver"},
		"etcd-paused":        {"pause process w-1 etcd", "resume process w-1 etcd"},
		"kubelet-not-ready":  {"break kubelet w-1", "mend kubelet w-1"},
		"endless-drain":      {"forbid evictions shop web", "allow evictions shop web"},
		"repository-gone":    {"withdraw repository 1.34", "publish repository 1.34"},
		"package-downgraded": {"install package w-1 kubelet old", "install package w-1 kubelet new"},
	}
	for _, f := range Library() {
		t.Run(f.Name, func(t *testing.T) {
			r := newRecorder()
			heal, err := f.Inject(t.Context(), r.target())
			if err != nil {
				t.Fatal(err)
			}
			if err := heal(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[f.Name], r.calls); diff != "" {
				t.Errorf("calls: %s", diff)
			}
			if len(r.wrong) > 0 {
				t.Errorf("left behind: %v", r.wrong)
			}
			if f.What == "" {
				t.Error("says nothing to people")
			}
		})
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("not in the library: %v", want)
	}
}

// A fault that had its effect although it reported an error must be taken back,
// even when the one who wanted it has gone away.
func TestHalfAFaultIsTakenBack(t *testing.T) {
	for _, refuse := range []string{"break", "off", "fill", "skew by 1h", "stop", "pause", "forbid", "withdraw"} {
		for _, f := range Library() {
			r := newRecorder()
			r.refuse = refuse
			if f.Name == "drop-connection" {
				continue // nothing to take back
			}
			if _, err := f.Inject(t.Context(), r.target()); errors.Is(err, errRefused) && len(r.wrong) > 0 {
				t.Errorf("%s, when %q fails, leaves %v", f.Name, refuse, r.wrong)
			}
		}
	}
	r := newRecorder()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Strike(gone, "host-off", r.target()); !errors.Is(err, context.Canceled) || len(r.wrong) > 0 {
		t.Errorf("cancelled: %v, left %v", err, r.wrong)
	}
}

func TestTargetWithoutMeans(t *testing.T) {
	for _, f := range Library() {
		if _, err := f.Inject(t.Context(), Target{Node: "w-1", LoadBalancer: "lb"}); !errors.As(err, new(*UnsupportedError)) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if _, err := Strike(t.Context(), "nonsense", Target{}); err == nil {
		t.Error("an unknown fault struck")
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Library() {
		if seen[f.Name] || strings.ContainsAny(f.Name, " /") {
			t.Errorf("name %q", f.Name)
		}
		seen[f.Name] = true
	}
}
