package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

type fakeTag struct {
	tag string
	err error
}

func (f *fakeTag) EtcdImageTag(context.Context) (string, error) { return f.tag, f.err }

func (f *fakeTag) ReplaceEtcdImageTag(_ context.Context, expected, tag string) error {
	switch {
	case f.err != nil:
		return f.err
	case f.tag != expected && f.tag != tag:
		return fmt.Errorf("the tag is %q", f.tag)
	}
	f.tag = tag
	return nil
}

func TestPinEtcd(t *testing.T) {
	for name, tc := range map[string]struct {
		kind plan.Kind
		is   string
		done bool
		then string // empty with fails: what it was
		fail string
	}{
		"pin":                   {plan.KindPinEtcd, "", false, "3.5.33-0", ""},
		"pinned already":        {plan.KindPinEtcd, "3.5.33-0", true, "3.5.33-0", ""},
		"pinned by others":      {plan.KindPinEtcd, "3.6.5-0", false, "3.6.5-0", "set etcd.local.imageTag to 3.5.33-0: the tag is \"3.6.5-0\"; look at it"},
		"unpin":                 {plan.KindUnpinEtcd, "3.5.33-0", false, "", ""},
		"unpinned already":      {plan.KindUnpinEtcd, "", true, "", ""},
		"pinned anew by others": {plan.KindUnpinEtcd, "3.6.5-0", false, "3.6.5-0", "have it as it was (3.5.33-0)"},
	} {
		w := newWorld(t, nil)
		f := &fakeTag{tag: tc.is}
		w.EtcdTag = f
		s := aStep(tc.kind, map[string]string{"tag": "3.5.33-0"})
		s.Node = ""
		if done, err := w.runner(tc.kind).Done(t.Context(), s); done != tc.done || err != nil {
			t.Errorf("%s: done %t, %v", name, done, err)
		}
		err := w.runner(tc.kind).Run(t.Context(), s, attempt(s, 1))
		if f.tag != tc.then || (err == nil) != (tc.fail == "") || (err != nil && !strings.Contains(err.Error(), tc.fail)) {
			t.Errorf("%s: the tag is %q, %v", name, f.tag, err)
		}
	}
	w := newWorld(t, nil)
	w.EtcdTag = &fakeTag{err: errors.New("no route")}
	bad := aStep(plan.KindPinEtcd, nil)
	var ae *ArgsError
	if _, err := w.runner(plan.KindPinEtcd).Done(t.Context(), bad); !errors.As(err, &ae) {
		t.Errorf("without a tag: %v", err)
	}
	s := aStep(plan.KindPinEtcd, map[string]string{"tag": "3.5.33-0"})
	if done, err := w.runner(plan.KindPinEtcd).Done(t.Context(), s); done || err == nil {
		t.Errorf("the API is away: %t, %v", done, err)
	}
}

type fakeDefragmenter struct {
	node string
	err  error
}

func (f *fakeDefragmenter) Defragment(_ context.Context, node string) (before, after int64, err error) {
	f.node = node
	return 300 << 20, 20 << 20, f.err
}

func TestDefragment(t *testing.T) {
	w := newWorld(t, nil)
	f := &fakeDefragmenter{}
	w.Defragmenter = f
	s := aStep(plan.KindDefragment, map[string]string{"member": "cp-1"})
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err != nil || f.node != "cp-1" {
		t.Errorf("%q, %v", f.node, err)
	}
	if got := strings.Join(w.observer.notes, ""); !strings.Contains(got, "20 MiB, before 300 MiB") {
		t.Errorf("notes %q", got)
	}
	if done, err := w.runner(s.Kind).Done(t.Context(), s); done || err != nil {
		t.Errorf("nobody can tell that it is done: %t, %v", done, err)
	}
	f.err = errors.New("cp-2 is behind")
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); !errors.Is(err, f.err) || !strings.Contains(err.Error(), "kup apply --resume") {
		t.Errorf("got %v", err)
	}
}
