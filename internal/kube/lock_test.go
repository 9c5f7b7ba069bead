package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

const lasts = 30 * time.Second

func acquire(t *testing.T, c *Client, identity string) *Lease {
	t.Helper()
	l, err := c.AcquireLease(t.Context(), Holder{Identity: identity, Run: "run-" + identity}, lasts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLeaseHeldAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := fakeClient()
		first := acquire(t, c, "ann@a pid 1")
		if first.Epoch() != 1 {
			t.Errorf("first epoch is %d", first.Epoch())
		}
		if err := first.SetStep(t.Context(), "1.34/workers/w-1/drain"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- first.Run(ctx) }()

		heard := 0
		_, err := c.AcquireLease(t.Context(), Holder{Identity: "bob@b pid 2", Waiting: func(*HeldError) { heard++ }}, lasts)
		var held *HeldError
		if !errors.As(err, &held) || held.Holder != "ann@a pid 1" || held.Host != "a" || held.Run != "run-ann@a pid 1" || held.Step == "" || held.Since.IsZero() || heard != 1 {
			t.Fatalf("%+v %v, heard %d times", held, err, heard)
		}
		if !strings.Contains(err.Error(), "ann@a") || !strings.Contains(err.Error(), held.Step) {
			t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if second := acquire(t, c, "bob@b pid 2"); second.Epoch() != 2 || time.Since(start) != 0 {
			t.Errorf("epoch %d after %s", second.Epoch(), time.Since(start))
		}
		var lost *LostLeaseError
		if err := first.Assert(t.Context()); !errors.As(err, &lost) || lost.Holder != "bob@b pid 2" {
			t.Errorf("assert after release: %v", err)
		}
		if err := first.Release(t.Context()); err != nil {
			t.Errorf("releasing a lost lock: %v", err)
		}
	})
}

func TestLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, set := fakeClient()
		dead := acquire(t, c, "ann@a pid 1")
		// A holder whose clock is wrong by a year is as dead.
		lease, _ := set.CoordinationV1().Leases(leaseNamespace).Get(t.Context(), leaseName, metav1.GetOptions{})
		lease.Spec.RenewTime = new(metav1.NewMicroTime(time.Now().AddDate(1, 0, 0)))
		if _, err := set.CoordinationV1().Leases(leaseNamespace).Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		next := acquire(t, c, "bob@b pid 2")
		if took := time.Since(start); took < lasts || took > 2*lasts || next.Epoch() != 2 {
			t.Errorf("taken over after %s with epoch %d", took, next.Epoch())
		}
		var lost *LostLeaseError
		if err := dead.Run(t.Context()); !errors.As(err, &lost) || lost.Epoch != 1 {
			t.Errorf("the holder that came back: %v", err)
		}
		if err := next.Assert(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLeaseEpochStaysAbove(t *testing.T) {
	c, _ := fakeClient()
	l, err := c.AcquireLease(t.Context(), Holder{Identity: "ann@a pid 1", Above: 7}, lasts)
	if err != nil || l.Epoch() != 8 {
		t.Fatalf("epoch %d: %v", l.Epoch(), err)
	}
}

func TestLeaseRaces(t *testing.T) {
	c, set := fakeClient()
	conflicts := 2
	set.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if conflicts == 0 {
			return false, nil, nil
		}
		conflicts--
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, leaseName, errors.New("moved"))
	})
	l := acquire(t, c, "ann@a pid 1")
	if err := l.Assert(t.Context()); err != nil {
		t.Errorf("a conflict that is none: %v", err)
	}
	set.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("etcdserver: no leader"))
	})
	var lost *LostLeaseError
	if err := l.Assert(t.Context()); err == nil || errors.As(err, &lost) {
		t.Errorf("an API that cannot answer does not mean that the lock is lost: %v", err)
	}
}

func TestLeaseDeleted(t *testing.T) {
	c, set := fakeClient()
	l := acquire(t, c, "ann@a pid 1")
	if err := set.CoordinationV1().Leases(leaseNamespace).Delete(t.Context(), leaseName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var lost *LostLeaseError
	if err := l.Assert(t.Context()); !errors.As(err, &lost) {
		t.Error(err)
	}
	if again := acquire(t, c, "ann@a pid 1"); again.Epoch() != 1 {
		t.Error("a new lease starts at 1")
	}
}

// A process that provably ended is not watched for a sign of life.
func TestLeaseOfAHolderThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := fakeClient()
		acquire(t, c, "ann@a pid 1")
		start := time.Now()
		var asked []HeldError
		l, err := c.AcquireLease(t.Context(), Holder{Identity: "ann@a pid 2", Gone: func(h *HeldError) bool {
			asked = append(asked, *h)
			return true
		}}, lasts)
		if err != nil || time.Since(start) != 0 || l.Epoch() != 2 {
			t.Fatalf("after %s: %v", time.Since(start), err)
		}
		if len(asked) != 1 || asked[0].Holder != "ann@a pid 1" || asked[0].Epoch != 1 || asked[0].Run != "run-ann@a pid 1" {
			t.Errorf("asked about %+v", asked)
		}
		start = time.Now()
		asked = nil
		_, err = c.AcquireLease(t.Context(), Holder{Identity: "bob@b pid 3", Gone: func(h *HeldError) bool {
			asked = append(asked, *h)
			return false
		}}, lasts)
		if err != nil || time.Since(start) < lasts || len(asked) != 1 {
			t.Errorf("watched for %s, asked %d times: %v", time.Since(start), len(asked), err)
		}
	})
}

// After a pause the lock is proven before anything is changed; while it was renewed
// a moment ago no call is spent on it.
func TestLeaseCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, set := fakeClient()
		l := acquire(t, c, "ann@a pid 1")
		calls := len(set.Actions())
		if err := l.Check(t.Context()); err != nil || len(set.Actions()) != calls {
			t.Errorf("%d calls, %v", len(set.Actions())-calls, err)
		}
		time.Sleep(lasts/2 + time.Second)
		if err := l.Check(t.Context()); err != nil || len(set.Actions()) == calls {
			t.Errorf("an old proof was taken for a new one: %v", err)
		}
		time.Sleep(2 * lasts) // stopped; meanwhile another run takes over
		acquire(t, c, "bob@b pid 2")
		var lost *LostLeaseError
		if err := l.Check(t.Context()); !errors.As(err, &lost) || lost.Holder != "bob@b pid 2" {
			t.Errorf("%v", err)
		}
		calls = len(set.Actions())
		if err := l.Check(t.Context()); !errors.As(err, &lost) || len(set.Actions()) != calls {
			t.Errorf("what is lost stays lost: %v", err)
		}
	})
}

func TestLockState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := fakeClient()
		if s, err := c.Lock(t.Context()); err != nil || s != (LockState{}) || s.Lives() {
			t.Errorf("no lock: %+v %v", s, err)
		}
		l := acquire(t, c, "ann@a pid 1")
		time.Sleep(5 * time.Second)
		s, err := c.Lock(t.Context())
		if err != nil || s.Held == nil || s.Held.Lasts != lasts || s.Silent.Round(time.Second) != 5*time.Second || !s.Lives() || s.Epoch != 1 || s.Run != "run-ann@a pid 1" {
			t.Errorf("%+v %v", s, err)
		}
		time.Sleep(lasts)
		if s, err := c.Lock(t.Context()); err != nil || s.Held == nil || s.Lives() {
			t.Errorf("a silent holder: %+v %v", s, err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Lock(t.Context()); err != nil || s.Held != nil || s.Epoch != 1 || s.Run == "" {
			t.Errorf("given back: %+v %v", s, err)
		}
	})
}

func TestRenewedAtPrefersTheServersClock(t *testing.T) {
	holder, server := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: new(metav1.NewMicroTime(holder))}}
	if got := renewedAt(lease); !got.Equal(holder) {
		t.Errorf("%s", got)
	}
	lease.ManagedFields = []metav1.ManagedFieldsEntry{{Time: new(metav1.NewTime(server.Add(-time.Hour)))}, {}, {Time: new(metav1.NewTime(server))}}
	if got := renewedAt(lease); !got.Equal(server) {
		t.Errorf("%s", got)
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{"ann@a.example pid 1": "a.example", "ann@a": "a", "ann": ""} {
		if got := hostOf(in); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}
