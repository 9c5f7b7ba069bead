package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	leaseNamespace = metav1.NamespaceSystem
	leaseName      = "kup"

	annotationRun  = "kup-project.io/run"
	annotationStep = "kup-project.io/step"
	annotationHost = "kup-project.io/host"

	// maxForeign bounds how long another run's lease is watched, whatever
	// duration it claims.
	maxForeign = 2 * time.Minute
	// updateTries is how often an update that lost a race is made again.
	updateTries = 5
)

// Holder is who takes the lock.
type Holder struct {
	Identity string // "user@host pid 4711"; one per process
	Run      string
	// Above is an epoch that the new one must be above: the run's last known
	// one, which outlives a cluster that was restored from a snapshot.
	Above int64
	// Waiting hears once that another holder was found and is being watched for
	// signs of life; nil: nobody.
	Waiting func(*HeldError)
	// Gone tells whether the holder that was found provably lives no more, so that
	// it need not be watched; nil: nothing proves that.
	Gone func(*HeldError) bool
}

// Lease is the lock, held. It is safe for concurrent use.
type Lease struct {
	client   *Client
	holder   Holder
	epoch    int64
	duration time.Duration
	mutex    sync.Mutex // one update at a time; guards what follows
	renewed  time.Time
	lost     *LostLeaseError // once it was found to be
}

// AcquireLease takes the lock when nobody has it, or when its holder has shown
// no sign of life for the time its lease lasts, measured here and by this
// machine's clock; so it may take that long. *[HeldError] when the holder lives.
func (c *Client) AcquireLease(ctx context.Context, h Holder, duration time.Duration) (*Lease, error) {
	l := &Lease{client: c, holder: h, duration: duration}
	watch := foreign{}
	for {
		current, err := c.leases().Get(ctx, leaseName, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			err = l.create(ctx)
		case err != nil:
			return nil, fmt.Errorf("read the lock (Lease %s/%s): %w", leaseNamespace, leaseName, err)
		default:
			if free, held := watch.look(current, h); free {
				err = l.take(ctx, current)
			} else if held != nil {
				return nil, held
			} else {
				err = watch.pause(ctx, duration)
				if err == nil {
					continue
				}
			}
		}
		if err == nil {
			return l, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("take the lock (Lease %s/%s): %w", leaseNamespace, leaseName, err)
		}
	}
}

// foreign watches somebody else's lease for signs of life.
type foreign struct {
	last  string // what changes when the lease is renewed
	since time.Time
	told  bool
}

// look tells whether the lease may be taken, or by whom it is held for sure.
func (f *foreign) look(current *coordinationv1.Lease, h Holder) (free bool, held *HeldError) {
	if current.Spec.HolderIdentity == nil || *current.Spec.HolderIdentity == "" || *current.Spec.HolderIdentity == h.Identity {
		return true, nil
	}
	sign := fmt.Sprintf("%s %d %v", *current.Spec.HolderIdentity, deref(current.Spec.LeaseTransitions), current.Spec.RenewTime)
	switch {
	case h.Gone != nil && f.last != sign && h.Gone(heldBy(current)):
		return true, nil
	case f.last == "":
		f.last, f.since = sign, time.Now()
	case f.last != sign:
		return false, heldBy(current)
	}
	if !f.told && h.Waiting != nil {
		f.told = true
		h.Waiting(heldBy(current))
	}
	lasts := time.Duration(deref(current.Spec.LeaseDurationSeconds)) * time.Second
	return time.Since(f.since) >= min(lasts, maxForeign), nil
}

// pause waits a tenth of the duration.
func (f *foreign) pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(max(duration/10, time.Second/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func heldBy(current *coordinationv1.Lease) *HeldError {
	e := &HeldError{
		Holder: deref(current.Spec.HolderIdentity), Host: current.Annotations[annotationHost],
		Run: current.Annotations[annotationRun], Step: current.Annotations[annotationStep],
		Epoch: int64(deref(current.Spec.LeaseTransitions)), Renewed: renewedAt(current),
		Lasts: time.Duration(deref(current.Spec.LeaseDurationSeconds)) * time.Second,
	}
	if current.Spec.AcquireTime != nil {
		e.Since = current.Spec.AcquireTime.Time
	}
	return e
}

func (l *Lease) create(ctx context.Context) error {
	fresh := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Namespace: leaseNamespace}}
	l.fill(fresh)
	_, err := l.client.leases().Create(ctx, fresh, metav1.CreateOptions{})
	return err
}

func (l *Lease) take(ctx context.Context, current *coordinationv1.Lease) error {
	l.fill(current)
	_, err := l.client.leases().Update(ctx, current, metav1.UpdateOptions{})
	return err
}

// fill writes a new epoch of this holder.
func (l *Lease) fill(lease *coordinationv1.Lease) {
	l.epoch = max(int64(deref(lease.Spec.LeaseTransitions)), l.holder.Above) + 1
	now := metav1.NowMicro()
	lease.Spec.HolderIdentity = &l.holder.Identity
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &now, &now
	lease.Spec.LeaseDurationSeconds = new(int32(max(l.duration/time.Second, 1)))
	lease.Spec.LeaseTransitions = new(int32(l.epoch))
	annotations := maps.Clone(lease.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	l.renewed = now.Time
	annotations[annotationRun], annotations[annotationHost] = l.holder.Run, hostOf(l.holder.Identity)
	delete(annotations, annotationStep)
	lease.Annotations = annotations
}

// hostOf gives the host of "user@host pid 4711".
func hostOf(identity string) string {
	_, rest, found := strings.Cut(identity, "@")
	if !found {
		return ""
	}
	host, _, _ := strings.Cut(rest, " ")
	return host
}

// Epoch rises with every acquisition; hosts refuse commands of a lower one.
func (l *Lease) Epoch() int64 { return l.epoch }

// Assert proves that the lock is still this run's and renews it. *[LostLeaseError]
// when it is not; any other error means that the API could not be asked.
func (l *Lease) Assert(ctx context.Context) error {
	return l.update(ctx, func(*coordinationv1.Lease) {})
}

// Check proves that the lock is still this run's, at the cost of a call only when
// the last proof is older than half of what the lock lasts: this machine may have
// slept, or this process been stopped.
func (l *Lease) Check(ctx context.Context) error {
	l.mutex.Lock()
	since, lost := age(l.renewed), l.lost
	l.mutex.Unlock()
	if lost != nil {
		return lost
	}
	if since < l.duration/2 {
		return nil
	}
	return l.Assert(ctx)
}

// age is the time since, by whichever clock saw more of it: one stands still while
// the machine sleeps, the other may be set back.
func age(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// SetStep records what the run is doing, for whoever finds the lock held.
func (l *Lease) SetStep(ctx context.Context, step string) error {
	return l.update(ctx, func(lease *coordinationv1.Lease) {
		if lease.Annotations == nil {
			lease.Annotations = map[string]string{}
		}
		lease.Annotations[annotationStep] = step
	})
}

// Run renews the lock three times per duration until ctx ends (nil) or the lock
// is lost (*[LostLeaseError]). An API that cannot be asked is asked again.
func (l *Lease) Run(ctx context.Context) error {
	ticker := time.NewTicker(max(l.duration/3, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var lost *LostLeaseError
		if err := l.Assert(ctx); errors.As(err, &lost) {
			return err
		}
	}
}

// Release gives the lock back. A lock that is no longer this run's is left alone.
func (l *Lease) Release(ctx context.Context) error {
	err := l.update(ctx, func(lease *coordinationv1.Lease) {
		lease.Spec.HolderIdentity = nil
		delete(lease.Annotations, annotationStep)
	})
	var lost *LostLeaseError
	if errors.As(err, &lost) {
		return nil
	}
	return err
}

// update changes the lease while it is held, and renews it.
func (l *Lease) update(ctx context.Context, change func(*coordinationv1.Lease)) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var last error
	began := time.Now()
	for range updateTries {
		current, err := l.client.leases().Get(ctx, leaseName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			l.lost = &LostLeaseError{Epoch: l.epoch}
			return l.lost
		}
		if err != nil {
			return fmt.Errorf("read the lock (Lease %s/%s): %w", leaseNamespace, leaseName, err)
		}
		if deref(current.Spec.HolderIdentity) != l.holder.Identity || int64(deref(current.Spec.LeaseTransitions)) != l.epoch {
			l.lost = &LostLeaseError{Holder: deref(current.Spec.HolderIdentity), Epoch: l.epoch}
			return l.lost
		}
		current.Spec.RenewTime = new(metav1.NowMicro())
		change(current)
		if _, last = l.client.leases().Update(ctx, current, metav1.UpdateOptions{}); last == nil || !apierrors.IsConflict(last) {
			break
		}
	}
	if last != nil {
		return fmt.Errorf("renew the lock (Lease %s/%s, epoch %d): %w", leaseNamespace, leaseName, l.epoch, last)
	}
	l.renewed = began
	return nil
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
