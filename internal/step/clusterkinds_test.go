package step

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

type fakeSnapshots struct {
	dir   string
	taken int
	err   error
}

func (f *fakeSnapshots) Snapshot(_ context.Context, hop string, progress func(int64)) (Snapshot, error) {
	f.taken++
	progress(100 << 20)
	path := filepath.Join(f.dir, "etcd-"+hop)
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		return Snapshot{}, err
	}
	digest, err := Digest(path)
	return Snapshot{Path: path, Stored: strings.TrimPrefix(digest, "sha256:"), Revision: 7, Member: "cp-1"}, errors.Join(err, f.err)
}

func TestSnapshotIsTakenOnce(t *testing.T) {
	s := plan.Step{ID: "1.34/prepare/snapshot", Kind: plan.KindSnapshot, Args: map[string]string{"hop": "1.34"}}
	w := newWorld(t, nil)
	snaps := &fakeSnapshots{dir: t.TempDir(), err: errors.New("hashes differ")}
	w.Snapshots = snaps
	r := w.runner(plan.KindSnapshot)
	if err := r.Run(t.Context(), s, attempt(s, 1)); err == nil || len(w.artefacts.all) != 0 {
		t.Fatalf("an unproven snapshot was recorded: %v", w.artefacts.all)
	}
	snaps.err = nil
	for range 2 {
		if err := r.Run(t.Context(), s, attempt(s, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if snaps.taken != 2 {
		t.Errorf("taken %d times", snaps.taken)
	}
	if err := os.WriteFile(w.artefacts.all[0].Path, []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if err := r.Run(t.Context(), s, attempt(s, 3)); !errors.As(err, &damaged) {
		t.Errorf("a damaged snapshot: %v", err)
	}
}

type fakeSchedule struct {
	cordoned bool
	calls    []string
	err      error
}

func (f *fakeSchedule) Node(_ context.Context, name string) (cluster.Node, error) {
	return cluster.Node{Name: name, Cordoned: f.cordoned}, f.err
}

func (f *fakeSchedule) Cordon(context.Context, string) error {
	f.calls, f.cordoned = append(f.calls, "cordon"), true
	return f.err
}

func (f *fakeSchedule) Uncordon(context.Context, string) error {
	f.calls, f.cordoned = append(f.calls, "uncordon"), false
	return f.err
}

func TestCordon(t *testing.T) {
	in, out := aStep(plan.KindCordon, nil), aStep(plan.KindUncordon, nil)
	for _, before := range []bool{false, true} {
		w := newWorld(t, nil)
		f := &fakeSchedule{cordoned: before}
		w.Schedule = f
		if done, err := w.runner(plan.KindCordon).Done(t.Context(), in); done || err != nil {
			t.Errorf("done before the start: %t, %v", done, err)
		}
		for range 2 { // a second attempt must not take kup's own cordon for the operator's
			if err := w.runner(plan.KindCordon).Run(t.Context(), in, attempt(in, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if done, _ := w.runner(plan.KindCordon).Done(t.Context(), in); !done || len(w.artefacts.all) != 1 {
			t.Errorf("cordoned, but done is %t and %v", done, w.artefacts.all)
		}
		if err := w.runner(plan.KindUncordon).Run(t.Context(), out, attempt(out, 1)); err != nil {
			t.Fatal(err)
		}
		if f.cordoned != before {
			t.Errorf("cordoned before %t, after %t", before, f.cordoned)
		}
		if done, _ := w.runner(plan.KindUncordon).Done(t.Context(), out); !done {
			t.Error("uncordon is not done")
		}
	}
	t.Run("nothing is touched that was not recorded", func(t *testing.T) {
		w := newWorld(t, nil)
		f := &fakeSchedule{}
		w.Schedule, w.artefacts.err = f, errors.New("disk full")
		if err := w.runner(plan.KindCordon).Run(t.Context(), in, attempt(in, 1)); err == nil || len(f.calls) != 0 {
			t.Errorf("%v, %v", err, f.calls)
		}
	})
}

type fakeDrainer struct {
	got DrainOptions
	err error
}

func (f *fakeDrainer) Drain(_ context.Context, _ string, o DrainOptions, note func(string)) error {
	f.got = o
	note("evicted shop/web-1")
	return f.err
}

func (f *fakeDrainer) Drained(context.Context, string) (bool, error) { return f.err == nil, nil }

func TestDrain(t *testing.T) {
	w := newWorld(t, nil)
	f := &fakeDrainer{}
	w.Drainer = f
	s := aStep(plan.KindDrain, map[string]string{"timeout": "3m", "gracePeriod": "-1s", "deleteEmptyDirData": "true", "force": "false"})
	if err := w.runner(plan.KindDrain).Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	if want := (DrainOptions{Timeout: 3 * time.Minute, GracePeriod: -time.Second, DeleteEmptyDirData: true}); f.got != want {
		t.Errorf("got %+v", f.got)
	}
	if !reflect.DeepEqual(w.observer.spent, []string{SpentEviction}) || len(w.observer.notes) != 1 {
		t.Errorf("spent %v, notes %v", w.observer.spent, w.observer.notes)
	}
	f.err = errors.New("budget shop/web allows no disruption")
	err := w.runner(plan.KindDrain).Run(t.Context(), s, attempt(s, 1))
	if !errors.Is(err, f.err) || !strings.HasPrefix(err.Error(), "cp-1: drain the node: budget") {
		t.Errorf("got %v", err)
	}
}

type fakeMembers struct {
	members []cluster.Member
	moved   []string
}

func (f *fakeMembers) Members(context.Context) ([]cluster.Member, error) { return f.members, nil }

func (f *fakeMembers) MoveLeader(_ context.Context, from string) error {
	f.moved = append(f.moved, from)
	return nil
}

func TestMoveLeader(t *testing.T) {
	leader := cluster.Member{Name: "cp-1", Node: "cp-1", Leader: true}
	follower := cluster.Member{Name: "cp-2", Node: "cp-2"}
	learner := cluster.Member{Name: "cp-3", Node: "cp-3", Learner: true}
	tests := map[string]struct {
		members []cluster.Member
		done    bool
		moved   int
	}{
		"leads":        {[]cluster.Member{leader, follower}, false, 1},
		"follows":      {[]cluster.Member{{Name: "cp-1", Node: "cp-1"}, {Name: "cp-2", Node: "cp-2", Leader: true}}, true, 0},
		"alone":        {[]cluster.Member{leader}, true, 0},
		"only learner": {[]cluster.Member{leader, learner}, true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			f := &fakeMembers{members: tt.members}
			w.Members = f
			s := aStep(plan.KindMoveLeader, map[string]string{"member": "cp-1"})
			done, err := w.runner(s.Kind).Done(t.Context(), s)
			if err != nil || done != tt.done {
				t.Errorf("done %t, %v", done, err)
			}
			if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err != nil || len(f.moved) != tt.moved {
				t.Errorf("%v, moved %v", err, f.moved)
			}
		})
	}
}

type fakeLocal struct {
	argv []string
	err  error
}

func (f *fakeLocal) Run(_ context.Context, argv []string, line func(string)) error {
	f.argv = argv
	line("ok")
	return f.err
}

func TestLocal(t *testing.T) {
	w := newWorld(t, nil)
	f := &fakeLocal{}
	s := aStep(plan.KindLocal, map[string]string{"argv": plan.JoinArgv("lb", "drain", "cp 1")})
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err == nil {
		t.Error("no way to run commands, and no error")
	}
	w.Local = f
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err != nil || len(f.argv) != 3 {
		t.Errorf("%v, ran %v", err, f.argv)
	}
	if done, _ := w.runner(s.Kind).Done(t.Context(), s); done {
		t.Error("only the journal knows, and it did not say so")
	}
	f.err = errors.New("exit status 1: no such backend")
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err == nil || !strings.Contains(err.Error(), "on this machine: lb drain 'cp 1': exit status 1: no such backend; mend the program") {
		t.Errorf("got %v", err)
	}
}

func TestEveryKindHasARunner(t *testing.T) {
	runners := New(newWorld(t, nil).Deps)
	for _, k := range []plan.Kind{plan.KindSnapshot, plan.KindBackup, plan.KindBaseline, plan.KindFetch, plan.KindImages, plan.KindPackages,
		plan.KindCommand, plan.KindMoveLeader, plan.KindPinEtcd, plan.KindUnpinEtcd, plan.KindDefragment, plan.KindCordon, plan.KindDrain, plan.KindUncordon, plan.KindLocal, plan.KindCompare} {
		if runners[k] == nil {
			t.Errorf("no runner for %s", k)
		}
	}
}

type hangingLocal struct{}

func (hangingLocal) Run(ctx context.Context, _ []string, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

// A load balancer command that hangs does not hold the cluster's lock for ever.
func TestLocalCommandIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Local = hangingLocal{}
		s := plan.Step{ID: "1.34/control-plane/cp-1/lb-drain", Kind: plan.KindLocal, Node: "cp-1", Args: map[string]string{"argv": plan.JoinArgv("./lb", "drain")}}
		err := w.runner(plan.KindLocal).Run(t.Context(), s, attempt(s, 1))
		if err == nil || !strings.Contains(err.Error(), "did not end within 10m") || !strings.Contains(err.Error(), "kup apply --resume") {
			t.Errorf("%v", err)
		}
	})
}
