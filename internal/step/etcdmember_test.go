package step

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

// etcdSays is a program that says it is an etcd of a version.
func etcdSays(version string) string {
	return "#!/bin/sh\necho 'etcd Version: " + version + "'\necho 'Git SHA: abc'\n"
}

// releaseOf is the archive of a release, as upstream packs it.
func releaseOf(t *testing.T, version string) (archive []byte, digest string) {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for name, text := range map[string]string{"etcd": etcdSays(version), "etcdctl": "ctl " + version, "etcdutl": "utl " + version, "README.md": "read me"} {
		if err := tw.WriteHeader(&tar.Header{Name: "etcd-v" + version + "-linux-amd64/" + name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:])
}

// etcdLab is a host with a member at 3.5.33 and a mirror of 3.6.5.
type etcdLab struct {
	*shell
	mirror *httptest.Server
	sums   atomic.Value
	digest string
}

const memberFile = "etcd-v3.6.5-linux-amd64.tar.gz"

func newEtcdLab(t *testing.T) *etcdLab {
	t.Helper()
	l := &etcdLab{shell: newShell(t, map[string]string{
		"systemctl": `case $1 in
stop) /bin/rm -f "$STATE/active" ;;
restart) [ "${REFUSES:-}" != yes ] || exit 1; : >"$STATE/active" ;;
is-active) [ -e "$STATE/active" ] ;;
show) case $3 in MainPID) echo MainPID=1 ;; ExecStart) echo "ExecStart={ path=/x ; argv[]=/x ${FLAGS:-} ; }" ;; esac ;;
esac`,
		"journalctl": "echo the log", "sync": "",
		"readlink": `case $1 in /proc/*) echo "$RUNS" ;; *) exec /usr/bin/readlink "$@" ;; esac`,
	})}
	archive, digest := releaseOf(t, "3.6.5")
	l.digest = digest
	l.sums.Store(digest + "  " + memberFile + "\n")
	l.mirror = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/" + memberFile:
			_, _ = w.Write(archive)
		case "/SHA256SUMS":
			_, _ = w.Write([]byte(l.sums.Load().(string)))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(l.mirror.Close)
	l.program("opt/etcd", etcdSays("3.5.33"))
	l.program("opt/etcdctl", "ctl 3.5.33")
	l.write("state/active", "")
	l.write("data/member/wal/0-0.wal", "log")
	l.write("data/member/snap/db", "old store")
	return l
}

func (l *etcdLab) program(path, text string) {
	l.write(path, text)
	if err := os.Chmod(l.path(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
}

func (l *etcdLab) fetch() []string {
	return etcdScript("etcd_fetch", l.path("cache"), "v3.6.5", l.mirror.URL+"/"+memberFile, l.mirror.URL+"/SHA256SUMS")
}

func (l *etcdLab) swap() []string {
	return etcdScript("etcd_swap", l.path("cache"), "v3.6.5", l.mirror.URL+"/"+memberFile, l.mirror.URL+"/SHA256SUMS", "v3.5.33",
		"etcd.service", l.path("data"), l.path("opt"), l.path("keep"))
}

func (l *etcdLab) goBack(with ...string) []string {
	return etcdScript("etcd_return", append([]string{"v3.5.33", "etcd.service", l.path("data"), l.path("opt"), l.path("keep")}, with...)...)
}

func (l *etcdLab) does(argv []string, env ...string) string {
	l.t.Helper()
	out, stderr, code := l.run(argv, env...)
	if code != 0 {
		l.t.Fatalf("exit code %d\n%s", code, stderr)
	}
	return out
}

func (l *etcdLab) refuses(argv []string, code int, why string, env ...string) {
	l.t.Helper()
	_, stderr, got := l.run(argv, env...)
	if got != code || !strings.Contains(stderr, why) {
		l.t.Errorf("exit code %d, want %d and %q\n%s", got, code, why, stderr)
	}
}

func TestEtcdFetch(t *testing.T) {
	l := newEtcdLab(t)
	look := etcdScript("etcd_fetched", l.path("cache"))
	l.sums.Store(strings.Repeat("0", 64) + "  " + memberFile + "\n")
	l.refuses(l.fetch(), 65, "has SHA-256 "+l.digest)
	l.sums.Store(l.digest + "  etcd-v3.6.5-linux-arm64.tar.gz\n")
	l.refuses(l.fetch(), 66, "has no SHA-256 of "+memberFile)
	if out := l.does(look); !strings.HasPrefix(out, "no: ") {
		t.Errorf("says %q", out)
	}
	l.sums.Store(strings.Repeat("0", 64) + "  other\n" + l.digest + " *./" + memberFile + "\n")
	other := l.fetch()
	other[len(other)-3] = "v3.6.6"
	l.refuses(other, 70, "holds an etcd that says v3.6.5, want v3.6.6")
	l.does(l.fetch())
	if out := l.does(look); out != "yes\n" {
		t.Errorf("says %q", out)
	}
	l.mirror.Close() // what was fetched is enough
	l.does(l.fetch())
	l.write("cache/etcdctl", "damaged")
	if out := l.does(look); !strings.HasPrefix(out, "no: ") {
		t.Errorf("damaged: says %q", out)
	}
}

func TestEtcdSwap(t *testing.T) {
	l := newEtcdLab(t)
	look := etcdScript("etcd_swapped", "v3.6.5", "etcd.service", l.path("opt"))
	runs := "RUNS=" + l.path("opt/etcd")
	if out := l.does(look, runs); out != "no: "+l.path("opt/etcd")+" says v3.5.33\n" {
		t.Errorf("says %q", out)
	}
	l.does(l.swap())
	golden(t, "etcd_swap.calls", l.calls("systemctl is-active"))
	for path, want := range map[string]string{
		"opt/etcd": etcdSays("3.6.5"), "opt/etcdctl": "ctl 3.6.5", "opt/etcdutl": "utl 3.6.5",
		"keep/bin/etcd": etcdSays("3.5.33"), "keep/bin/etcdctl": "ctl 3.5.33", "keep/bin/etcdutl": "",
		"keep/data/member/snap/db": "old store", "data/member/snap/db": "old store",
	} {
		if got := l.read(path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	for env, want := range map[string]string{
		runs:              "yes\n",
		"RUNS=/bin/other": "no: unit etcd.service runs another program\n",
		"RUNS=" + l.path("opt/etcd") + " (deleted)": "no: unit etcd.service does not run what is installed\n",
	} {
		if out := l.does(look, env); out != want {
			t.Errorf("%s: says %q, want %q", env, out, want)
		}
	}

	// By now the new etcd has written; what was set aside stays what it was.
	l.write("data/member/snap/db", "new store")
	l.does(l.swap())
	if got := l.read("keep/data/member/snap/db"); got != "old store" {
		t.Errorf("set aside again: %q", got)
	}
}

func TestEtcdSwapRefuses(t *testing.T) {
	l := newEtcdLab(t)
	l.program("opt/etcd", etcdSays("3.5.30"))
	l.refuses(l.swap(), 70, "says v3.5.30, the plan expects v3.5.33")
	l.program("opt/etcd", etcdSays("3.5.33"))
	l.refuses(l.swap(), 71, "did not start and was stopped", "REFUSES=yes")
	if _, err := os.Stat(l.path("state/active")); err == nil {
		t.Error("a unit that does not start is left trying")
	}
	l.does(l.swap()) // once the cause is removed

	l = newEtcdLab(t)
	l.program("bin/df", "#!/bin/sh\necho F; echo /dev/x 1000 990 10 99% /\n")
	l.refuses(l.swap(), 73, "nothing was changed")
	if calls := l.calls(); strings.Contains(calls, "systemctl stop") {
		t.Errorf("stopped without room for the copy:\n%s", calls)
	}

	l = newEtcdLab(t)
	if err := os.Rename(l.path("data/member"), l.path("member")); err != nil {
		t.Fatal(err)
	}
	l.refuses(l.swap(), 72, l.path("data")+" holds no member's data")
	if calls := l.calls(); strings.Contains(calls, "systemctl stop") {
		t.Errorf("stopped with its data elsewhere:\n%s", calls)
	}
}

func TestEtcdReturn(t *testing.T) {
	tests := map[string]struct {
		log, store string // what the new etcd left
		want       string // the store that the old one starts on
	}{
		"the new one refused the store":  {"log", "half converted", "old store"},
		"the new one was in the cluster": {"log and more", "new store", "new store"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newEtcdLab(t)
			l.does(l.goBack("")) // the swap never came so far
			l.program("opt/etcd", etcdSays("3.6.5"))
			l.refuses(l.goBack(""), 66, "nothing was set aside there")
			l.program("opt/etcd", etcdSays("3.5.33"))
			l.does(l.swap())
			l.write("data/member/wal/0-0.wal", tt.log)
			l.write("data/member/snap/db", tt.store)
			l.does(l.goBack(""))
			for path, want := range map[string]string{"opt/etcd": etcdSays("3.5.33"), "opt/etcdctl": "ctl 3.5.33", "data/member/snap/db": tt.want} {
				if got := l.read(path); got != want {
					t.Errorf("%s holds %q, want %q", path, got, want)
				}
			}
			left, err := os.ReadDir(l.path("data"))
			if err != nil || len(left) != 1 {
				t.Errorf("left in the data directory: %v, %v", left, err)
			}
			// A second swap sets aside what the member has by now.
			l.write("data/member/snap/db", "later store")
			l.does(l.swap())
			if got := l.read("keep/data/member/snap/db"); got != "later store" {
				t.Errorf("the second swap set %q aside", got)
			}
		})
	}
	t.Run("one that does not start loses nothing that was set aside", func(t *testing.T) {
		l := newEtcdLab(t)
		l.does(l.swap())
		l.write("data/member/snap/db", "half converted")
		if _, stderr, code := l.run(l.goBack("true"), "REFUSES=yes"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		if l.read("keep/data/member/snap/db") != "old store" || l.read("data/member.refused/snap/db") != "half converted" || l.read("keep/bin/etcd") == "" {
			t.Error("what was set aside is gone")
		}
		l.does(l.goBack("true"))
	})
	t.Run("a new log file", func(t *testing.T) {
		l := newEtcdLab(t)
		l.does(l.swap())
		l.write("data/member/wal/1-1.wal", "more")
		l.write("data/member/snap/db", "new store")
		l.does(l.goBack(""))
		if got := l.read("data/member/snap/db"); got != "new store" {
			t.Errorf("a member that took part was given %q back", got)
		}
	})
	t.Run("cut short between two moves", func(t *testing.T) {
		l := newEtcdLab(t)
		l.does(l.swap())
		if err := os.Rename(l.path("data/member"), l.path("data/member.refused")); err != nil {
			t.Fatal(err)
		}
		l.write("data/member.kup/snap/db", "old store")
		l.does(l.goBack(""))
		if got := l.read("data/member/snap/db"); got != "old store" {
			t.Errorf("the member has %q", got)
		}
	})
	t.Run("it does not start", func(t *testing.T) {
		l := newEtcdLab(t)
		l.does(l.swap())
		l.refuses(l.goBack(""), 71, "did not start", "REFUSES=yes")
		l.does(l.goBack("true"), "REFUSES=yes") // a later step judges its data
		if _, err := os.Stat(l.path("state/active")); err == nil {
			t.Error("a unit that does not start is left trying")
		}
	})
}

// Cut short at whatever it moves or removes, with what it was removing half gone, it comes
// to the same end when it is run again; and a swap behind that sets all aside anew.
func TestEtcdReturnCutShort(t *testing.T) {
	const cut = `n=$(($(cat "$STATE/n" 2>/dev/null || echo 0) + 1))
echo "$n" >"$STATE/n"
[ "$n" = "$(cat "$STATE/cut")" ] || exec "/bin/${0##*/}" "$@"
[ "${0##*/}" != rm ] || for name; do
	[ ! -d "$name" ] || find "$name" -type f ! -name '*.wal' -exec /bin/rm -f {} +
done
exit 9`
	for at, over := 1, false; !over; at++ {
		l := newEtcdLab(t)
		l.does(l.swap())
		l.write("data/member/snap/db", "half converted")
		l.write("state/cut", fmt.Sprint(at))
		l.shell.program("rm", cut)
		l.shell.program("mv", cut)
		if _, stderr, code := l.run(l.goBack("")); code != 9 {
			if over = code == 0; !over || at < 7 {
				t.Fatalf("cut at %d: exit code %d\n%s", at, code, stderr)
			}
		}
		l.write("state/cut", "0")
		l.does(l.goBack(""))
		if got := l.read("data/member/snap/db"); got != "old store" || l.read("opt/etcd") != etcdSays("3.5.33") || l.read("opt/etcdctl") != "ctl 3.5.33" {
			t.Errorf("cut at %d: the member has %q", at, got)
		}
		for _, dir := range []string{"data", "keep"} {
			if left, _ := os.ReadDir(l.path(dir)); len(left) != map[string]int{"data": 1}[dir] {
				t.Errorf("cut at %d: left in %s: %v", at, dir, left)
			}
		}
		l.write("data/member/snap/db", "later store")
		l.does(l.swap())
		if got := l.read("keep/data/member/snap/db"); got != "later store" {
			t.Errorf("cut at %d: the next swap set %q aside", at, got)
		}
	}
}

func TestEtcdMemberArguments(t *testing.T) {
	release := map[string]string{"version": "v3.6.5", "url": "https://m/a.tar.gz", "checksumURL": "https://m/SHA256SUMS"}
	swap := with(release, "member", "e-1", "unit", "etcd.service", "dataDirectory", "/var/lib/etcd", "directory", "/usr/local/bin", "from", "v3.5.33")
	back := with(swap, "version", "v3.5.33", "keep", plan.EtcdKeep("run-1", "1.34", "v3.5.33"), "judged", "true")
	var b strings.Builder
	for _, s := range []plan.Step{
		aStep(plan.KindEtcdFetch, release), aStep(plan.KindEtcdSwap, swap), aStep(plan.KindEtcdReturn, back),
	} {
		w := newWorld(t, nil)
		if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err != nil {
			t.Fatalf("%s: %v", s.Kind, err)
		}
		if done, err := w.runner(s.Kind).Done(t.Context(), s); done || err != nil {
			t.Errorf("%s: done %t, %v", s.Kind, done, err)
		}
		fmt.Fprintf(&b, "# %s\n%s", s.Kind, shown(w.host.asked))
	}
	golden(t, "etcdmember.txt", b.String())
	for _, bad := range []plan.Step{
		aStep(plan.KindEtcdFetch, with(release, "version", "3.6")), aStep(plan.KindEtcdFetch, with(release, "checksumURL", "")),
		aStep(plan.KindEtcdSwap, with(swap, "unit", "etcd; rm -rf /")), aStep(plan.KindEtcdSwap, with(swap, "dataDirectory", "/")),
		aStep(plan.KindEtcdSwap, with(swap, "from", "")), aStep(plan.KindEtcdReturn, with(back, "keep", "/etc")),
	} {
		w := newWorld(t, nil)
		if err := w.runner(bad.Kind).Run(t.Context(), bad, attempt(bad, 1)); err == nil || len(w.host.asked) > 0 {
			t.Errorf("%s %v: %v, asked %v", bad.Kind, bad.Args, err, w.host.asked)
		}
	}
}
