package step

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

func TestRehearseScript(t *testing.T) {
	s := newEtcdShell(t)
	run := func(bump string, want Snapshot, env ...string) (string, string, int) {
		for _, f := range []string{"serving", "compacted"} {
			_ = os.Remove(s.path("state", f))
		}
		want.SHA256 = s.snapshotSum()
		return s.run(rehearsal(s.path("run"), s.etcd(), bump, s.path("etcd-1.34.db"), want), env...)
	}
	good := Snapshot{Revision: 14, Keys: 5, HashRevision: 12, CompactRevision: 5, Hash: 77}
	const said = "with image registry.k8s.io/etcd:3.5.24-0\nrevision 14\nkeys 5\n"
	for name, want := range map[string]Snapshot{"all is known": good, "nothing is known": {}} {
		if out, stderr, code := run("1000", want); code != 0 || out != said {
			t.Errorf("%s: exit code %d, says %q\n%s", name, code, out, stderr)
		}
	}
	further := good
	further.CompactRevision = 9
	if _, stderr, code := run("", further); code != 0 || s.read("state/compacted") != "9\n" {
		t.Errorf("members compacted further: exit code %d\n%s", code, stderr)
	}
	for what, change := range map[string]func(*Snapshot){
		"revision 14, recorded is 13": func(w *Snapshot) { w.Revision = 13 },
		"keys: 5, recorded is 6":      func(w *Snapshot) { w.Keys = 6 },
		"the hash 77, recorded is 78": func(w *Snapshot) { w.Hash = 78 },
	} {
		want := good
		change(&want)
		if _, stderr, code := run("", want); code != 65 || !strings.Contains(stderr, what) {
			t.Errorf("%s: exit code %d\n%s", what, code, stderr)
		}
	}
	s.write("state/start.code", "1")
	s.write("state/start", `{"level":"panic","msg":"failed to recover v3 backend"}`)
	if _, stderr, code := run("", good); code != 65 || !strings.Contains(stderr, "ends on what it restored: {\"level\":\"panic\"") {
		t.Errorf("an etcd that ends: exit code %d\n%s", code, stderr)
	}
	s.write("state/start", "{\"level\":\"fatal\",\"error\":\"no space left on device\"}")
	if _, _, code := run("", good); code != 75 {
		t.Errorf("a full disk: exit code %d", code)
	}
	if err := os.Remove(s.path("state", "start")); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := s.run(rehearsal(s.path("run"), s.etcd(), "", s.path("etcd-1.34.db"), Snapshot{SHA256: strings.Repeat("0", 64)})); code != 75 {
		t.Errorf("a copy that is another file: exit code %d\n%s", code, stderr)
	}
	s.write("state/df", "disk 100000000 1 15000000 1% /\n")
	if _, stderr, code := run("", good); code != 0 {
		t.Errorf("little beside what is left: exit code %d\n%s", code, stderr)
	}
	s.write("state/df", "disk 100000000 1 3000000 1% /\n")
	if _, stderr, code := run("", good); code != 73 || !strings.Contains(stderr, "less than a fifth of its disk would be left") {
		t.Errorf("a disk that is nearly full: exit code %d\n%s", code, stderr)
	}
	if left, _ := os.ReadDir(s.path("run")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPlaceScript(t *testing.T) {
	s := newEtcdShell(t)
	argv := func(size string) []string {
		return append([]string{"sh", "-c", `printf snapshot | "$@"`, "pipe"}, script([]string{"common", "etcd_programs", "etcd_place"}, s.path("run/x.db"), size)...)
	}
	if _, _, code := s.run(argv("9")); code != 75 || s.read("run/x.db") != "" {
		t.Errorf("cut short: exit code %d, %q", code, s.read("run/x.db"))
	}
	if _, stderr, code := s.run(argv("8")); code != 0 || s.read("run/x.db") != "snapshot" {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if left, _ := os.ReadDir(s.path("run")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

var rehearseArgs = with(restorableArgs, "hop", "1.34", "bump", "1000000000")

// rehearsing is a world whose run has a snapshot, and a host that answers the
// rehearsal so.
func rehearsing(t *testing.T, answer func() (string, error)) *world {
	t.Helper()
	return rehearsingOf(t, oneSnapshot{}, answer)
}

func rehearsingOf(t *testing.T, of oneSnapshot, answer func() (string, error)) *world {
	t.Helper()
	w := newWorld(t, func(argv []string) (string, error) {
		switch name := scriptName(argv[2]); name {
		case "etcd_rehearse.sh":
			return answer()
		case "etcd_place.sh":
			return "", nil
		default:
			return "", exit(3, "") // no copy there yet
		}
	})
	of.dir = w.artefacts.Dir()
	s := &snapshot{snapshots: of, keeper: keeper{artefacts: w.artefacts, hosts: w.Hosts}, observer: w.observer}
	step := plan.Step{ID: "1.34/prepare/snapshot", Kind: plan.KindSnapshot, Args: map[string]string{"hop": "1.34"}}
	if err := s.Run(t.Context(), step, plan.Execution{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// oneSnapshot saves the same in a directory; sealed: as if it were encrypted.
type oneSnapshot struct {
	dir    string
	sealed *Rehearsal
}

func (o oneSnapshot) Snapshot(_ context.Context, hop string, _ func(int64)) (Snapshot, error) {
	path := filepath.Join(o.dir, "etcd-"+hop+".db")
	if o.sealed != nil {
		path += encryptedSuffix
	}
	err := os.WriteFile(path, []byte("snapshot"), 0o600)
	digest, digestErr := Digest(path)
	s := Snapshot{
		Path: path, Stored: strings.TrimPrefix(digest, "sha256:"), SHA256: strings.TrimPrefix(digest, "sha256:"), Revision: 14, Keys: 5, Size: 8, Member: "cp-2",
		HashRevision: 12, CompactRevision: 5, Hash: 77,
	}
	if o.sealed != nil {
		s.SHA256, s.Encrypted, s.Rehearsed = "of what is in it", true, *o.sealed
	}
	return s, errors.Join(err, digestErr)
}

func TestRehearse(t *testing.T) {
	s := aStep(plan.KindRehearse, rehearseArgs)
	w := rehearsing(t, func() (string, error) { return "with image r/etcd:1\nrevision 14\nkeys 5\n", nil })
	r := w.runner(plan.KindRehearse)
	for range 2 {
		if err := r.Run(t.Context(), s, attempt(s, 1)); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "rehearse.txt", shown(w.host.asked))
	if got, ok, err := Rehearsed(w.artefacts, "1.34"); err != nil || !ok || got.String() != "restored by etcd 3.5.24, image r/etcd:1 on cp-1: revision 14, 5 keys" {
		t.Errorf("%v %t %v", got, ok, err)
	}
	if done, err := r.Done(t.Context(), s); !done || err != nil {
		t.Errorf("done: %t, %v", done, err)
	}
}

// An encrypted snapshot cannot be restored aside any more: what counts is how that went
// while it was plain, and on another machine, that it is not known.
func TestRehearsalOfAnEncryptedSnapshot(t *testing.T) {
	s := aStep(plan.KindRehearse, rehearseArgs)
	before := Rehearsal{With: "image r/etcd:1 on cp-1", Version: "3.5.24", Revision: 14, Keys: 5}
	for name, want := range map[string]Rehearsal{"here": before, "elsewhere": {Instead: "it is encrypted, and what was found when it was taken is not here"}} {
		w := rehearsingOf(t, oneSnapshot{sealed: &before}, func() (string, error) { return "", errors.New("a node was asked to restore what it cannot read") })
		if name == "elsewhere" {
			if err := os.Remove(filepath.Join(w.artefacts.Dir(), snapshotFacts+"-1.34.json")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.runner(plan.KindRehearse).Run(t.Context(), s, attempt(s, 1)); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := Rehearsed(w.artefacts, "1.34"); err != nil || !ok || got != want {
			t.Errorf("%s: %+v %t %v", name, got, ok, err)
		}
	}
}

func TestRehearsalsThatFail(t *testing.T) {
	s := aStep(plan.KindRehearse, rehearseArgs)
	for code, instead := range map[int]string{
		65: "", 1: "", 69: "why on cp-1", 73: "why on cp-1", 75: "why on cp-1", 137: "why on cp-1",
	} {
		w := rehearsing(t, func() (string, error) { return "", exit(code, "kup: why\n") })
		err := w.runner(plan.KindRehearse).Run(t.Context(), s, attempt(s, 1))
		got, recorded, _ := Rehearsed(w.artefacts, "1.34")
		if (err == nil) != (instead != "") || recorded != (err == nil) || got.Instead != instead || got.With != "" {
			t.Errorf("exit code %d: %v, recorded %+v", code, err, got)
		}
		if err == nil && !strings.Contains(strings.Join(w.observer.notes, "\n"), "not with the cluster's own: why on cp-1") {
			t.Errorf("exit code %d is not told of: %v", code, w.observer.notes)
		}
	}
	w := rehearsing(t, func() (string, error) {
		return "", &remote.ConnectionError{Host: "cp-1", Err: errors.New("broken pipe")}
	})
	var mine *Error
	if err := w.runner(plan.KindRehearse).Run(t.Context(), s, attempt(s, 1)); !errors.As(err, &mine) || !mine.Unsettled() {
		t.Errorf("a lost connection: %v", err)
	}
	w = rehearsing(t, func() (string, error) { return "nothing\n", nil })
	if err := w.runner(plan.KindRehearse).Run(t.Context(), s, attempt(s, 1)); err == nil {
		t.Error("a rehearsal that says nothing was taken")
	}
}

func TestBench(t *testing.T) {
	dir := t.TempDir()
	snap, err := oneSnapshot{dir: dir}.Snapshot(t.Context(), "1.34", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHost{name: "cp-1", answer: func(argv []string) (string, error) {
		if argv[0] == "sh" && scriptName(argv[2]) == "etcd_rehearse.sh" {
			return "with image r/etcd:1\nrevision 14\nkeys 5\n", nil
		}
		return "", nil
	}}
	b := Bench{Host: h, Node: "cp-1", Version: "3.5.24", Image: "r/etcd:1", Bump: 1000, Dir: "/var/lib/kup/verify"}
	r, err := b.Rehearse(t.Context(), snap.Path, snap)
	if err != nil || r.Keys != 5 || r.With != "image r/etcd:1 on cp-1" {
		t.Errorf("%+v %v", r, err)
	}
	golden(t, "bench.txt", shown(h.asked))
}
