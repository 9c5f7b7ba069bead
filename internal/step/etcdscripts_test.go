package step

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// theEtcd is a stand-in for etcd's programs: what it restores is the snapshot's text,
// and what a restored etcd answers is in that text.
const theEtcd = `
fail() { [ ! -f "$STATE/$1" ] || { cat "$STATE/$1" >&2; exit "$(cat "$STATE/$1.code")"; }; }
case ${0##*/} in
etcd)
	[ "$1" != --version ] || { echo "etcd Version: 3.5.24"; exit 0; }
	fail start
	while [ $# -gt 0 ]; do [ "$1" != --data-dir ] || cp "$2/member/snap/db" "$STATE/serving"; shift; done
	exec /bin/sleep 60 ;;
etcdctl)
	case $* in
	*health) [ -f "$STATE/serving" ] ;;
	*count-only*) cat "$STATE/serving" ;;
	*hashkv*) printf '[{"HashKV":{"header":{"revision":14},"hash":%s,"compact_revision":%s}}]' "$(cat "$STATE/hash")" "$(cat "$STATE/compacted" 2>/dev/null || echo 5)" ;;
	*compaction*) echo 9 >"$STATE/compacted" ;;
	esac ;;
etcdutl)
	[ "$3" != --help ] || { cat "$STATE/help"; exit 0; }
	shift 2
	fail restore
	rm -f "$STATE/serving"
	from=$1 by=0
	while [ $# -gt 0 ]; do
		case $1 in --data-dir) to=$2 ;; --bump-revision) by=$2 ;; esac
		shift
	done
	[ ! -e "$to" ] || exit 1
	mkdir -p "$to/member/snap" "$to/member/wal"
	sed "s/^\"Revision\" : .*/\"Revision\" : $((14 + by))/" "$from" >"$to/member/snap/db"
	chmod 0600 "$to/member/snap/db" ;;
esac`

// theRuntime gives the programs of one image.
const theRuntime = `
[ ! -f "$STATE/away" ] || { echo "ctr: connection refused" >&2; exit 1; }
case $* in
*"images mount"*)
	case $* in *"registry.k8s.io/etcd:3.5.24-0 "*) ;; *) echo "ctr: image not found" >&2; exit 1 ;; esac
	for to; do :; done
	mkdir -p "$to/usr/local/bin"
	for name in etcd etcdctl etcdutl; do cp "$STATE/program" "$to/usr/local/bin/$name"; done ;;
*"images unmount"*) for to; do :; done; rm -rf "$to/usr" ;;
esac`

const answers = "\"Revision\" : 14\n\"Count\" : 5\n"

func newEtcdShell(t *testing.T) *shell {
	s := newShell(t, map[string]string{
		"ctr": theRuntime, "unshare": `shift; exec "$@"`, "ip": "", "sync": "", "chcon": "", "sleep": "exec /bin/sleep 0.05",
		"df": `d=$2; [ ! -f "$STATE/df" ] || { cat "$STATE/df"; exit 0; }; echo "disk 100000000 1 90000000 1% /"`,
	})
	s.write("state/program", "#!/bin/sh\n"+theEtcd+"\n")
	s.write("state/help", "--bump-revision --mark-compacted\n")
	s.write("state/hash", "77")
	s.write("etcd-1.34.db", answers)
	return s
}

func (s *shell) etcd() []string {
	return []string{s.path("run", "etcd-3.5.24"), "3.5.24", "registry.k8s.io/etcd:3.5.24-0", "unix:///run/c.sock"}
}

func (s *shell) snapshotSum() string {
	s.t.Helper()
	sum, err := Digest(s.path("etcd-1.34.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimPrefix(sum, "sha256:")
}

func TestRestorableScript(t *testing.T) {
	s := newEtcdShell(t)
	argv := script([]string{"common", "etcd_programs", "etcd_restorable"}, append(s.etcd(), "bump")...)
	for range 2 { // again: what is there is not fetched anew
		out, stderr, code := s.run(argv)
		if code != 0 || out != "image registry.k8s.io/etcd:3.5.24-0\n" {
			t.Fatalf("exit code %d, says %q\n%s", code, out, stderr)
		}
	}
	if calls := s.calls("df"); calls != "" {
		t.Errorf("the second time it called %s", calls)
	}
	if entries, _ := os.ReadDir(s.path("run", "etcd-3.5.24")); len(entries) != 4 {
		t.Errorf("left behind: %v", entries)
	}
	s.write("state/help", "usage\n")
	if _, stderr, code := s.run(argv); code != 69 || !strings.Contains(stderr, "does not know snapshot restore --bump-revision") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}

	other := script([]string{"common", "etcd_programs", "etcd_restorable"}, s.path("run", "x"), "3.6.6", s.etcd()[2], s.etcd()[3], "")
	if _, stderr, code := s.run(other); code != 69 || !strings.Contains(stderr, "etcd 3.6.6 is not to be had on this host") {
		t.Errorf("another version: exit code %d\n%s", code, stderr)
	}
	s.write("state/df", "disk 100000000 1 300000 1% /\n")
	full := script([]string{"common", "etcd_programs", "etcd_restorable"}, append([]string{s.path("run", "y")}, append(s.etcd()[1:], "")...)...)
	if _, stderr, code := s.run(full); code != 73 || !strings.Contains(stderr, "292 MiB free, too little") {
		t.Errorf("a full disk: exit code %d\n%s", code, stderr)
	}
}

// without gives a directory with all programs of this machine but one.
func (s *shell) without(program string) string {
	s.t.Helper()
	dir := s.path("without-" + program)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	for _, from := range []string{"/bin", "/usr/bin"} {
		all, err := os.ReadDir(from)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range all {
			if e.Name() != program {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // one that is there is as good
			}
		}
	}
	return dir
}

func TestRestoreScript(t *testing.T) {
	s := newEtcdShell(t)
	data, aside, sum := s.path("lib", "etcd"), s.path("lib", "etcd-kup-run-1"), s.snapshotSum()
	s.write("lib/etcd/member/snap/db", "old")
	if err := os.Chmod(filepath.Join(data, "member"), 0o750); err != nil {
		t.Fatal(err)
	}
	restore := func(sum string) []string {
		return script([]string{"common", "etcd_programs", "etcd_restored", "etcd_restore"}, append(s.etcd(),
			"1000", s.path("etcd-1.34.db"), sum, data, aside, "cp-1", "https://10.0.0.1:2380", "cp-1=https://10.0.0.1:2380", "token-1")...)
	}
	ask := script([]string{"etcd_restored", "etcd_restored_ask"}, data, sum, "token-1")
	untouched := func(when string) {
		t.Helper()
		if out, _, _ := s.run(ask); !strings.HasPrefix(out, "no: ") || s.read("lib/etcd/member/snap/db") != "old" {
			t.Errorf("%s: says %q, the data are %q", when, out, s.read("lib/etcd/member/snap/db"))
		}
	}
	untouched("before")
	if _, stderr, code := s.run(restore(strings.Repeat("0", 64))); code != 65 || !strings.Contains(stderr, "has SHA-256 "+sum) {
		t.Errorf("another snapshot: exit code %d\n%s", code, stderr)
	}
	untouched("another snapshot")
	s.write("state/restore", "Error: expected sha256 [1], got [2]\n")
	s.write("state/restore.code", "1")
	if _, stderr, code := s.run(restore(sum)); code != 65 || !strings.HasSuffix(stderr, "with etcd 3.5.24: Error: expected sha256 [1], got [2]\n") {
		t.Errorf("a bad snapshot: exit code %d\n%s", code, stderr)
	}
	s.write("state/restore", "Error: write x: no space left on device\n")
	if _, _, code := s.run(restore(sum)); code != 75 {
		t.Errorf("a full disk: exit code %d", code)
	}
	s.write("state/restore", "")
	s.write("state/restore.code", "137")
	if _, _, code := s.run(restore(sum)); code != 75 {
		t.Errorf("killed: exit code %d", code)
	}
	untouched("after failures")
	for _, f := range []string{"restore", "restore.code"} {
		if err := os.Remove(s.path("state", f)); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := s.run(append([]string{"flock", filepath.Join(data, "member/snap/db")}, restore(sum)...)); code != 75 || !strings.Contains(stderr, "etcd still runs on ") {
		t.Errorf("with etcd running: exit code %d\n%s", code, stderr)
	}
	untouched("with etcd running")
	s.program("flock", "echo flock: no locks available >&2; exit 71")
	if _, stderr, code := s.run(restore(sum)); code != 75 || !strings.Contains(stderr, "cannot be told: flock ended with exit code 71") {
		t.Errorf("flock fails: exit code %d\n%s", code, stderr)
	}
	untouched("flock fails")
	if err := os.Remove(s.path("bin", "flock")); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := s.run(restore(sum), "PATH="+s.path("bin")+":"+s.without("flock")); code != 69 || !strings.Contains(stderr, "flock is missing on the host; install util-linux") {
		t.Errorf("no flock: exit code %d\n%s", code, stderr)
	}
	untouched("no flock")

	s.write("lib/etcd/kup-restore.part/member/half", "of an attempt that was cut short")
	for range 2 {
		if _, stderr, code := s.run(restore(sum)); code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		if out, _, _ := s.run(ask); out != "yes\n" {
			t.Errorf("says %q", out)
		}
	}
	if got := s.read("lib/etcd/member/snap/db"); got != strings.Replace(answers, "14", "1014", 1) {
		t.Errorf("restored %q", got)
	}
	if got := s.read("lib/etcd-kup-run-1/snap/db"); got != "old" {
		t.Errorf("set aside %q", got)
	}
	if st, _ := os.Stat(filepath.Join(data, "member")); st.Mode().Perm() != 0o750 {
		t.Errorf("mode %v", st.Mode())
	}
	if left, _ := os.ReadDir(data); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}

	// Cut short between the two renames, then with another token: nothing is lost.
	if err := os.RemoveAll(filepath.Join(data, "member")); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := s.run(restore(sum)); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	again := restore(sum)
	again[len(again)-1] = "token-2"
	if _, stderr, code := s.run(again); code != 0 || s.read("lib/etcd-kup-run-1.2/snap/db") == "" || s.read("lib/etcd-kup-run-1/snap/db") != "old" {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
