package vfs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

func TestLock(t *testing.T) {
	f := vfs.New()
	release, err := f.Lock(t.Context(), "/lock", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, shared := range []bool{false, true} {
		if _, err := f.TryLock("/lock", shared); !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("shared %v: taken twice: %v", shared, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Lock(ctx, "/lock", true); !errors.Is(err, context.Canceled) {
		t.Errorf("waited with a context that is over: %v", err)
	}
	release()
	first, err := f.TryLock("/lock", true)
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.TryLock("/lock", true)
	if err != nil {
		t.Errorf("not shared: %v", err)
	}
	if _, err := f.TryLock("/lock", false); err == nil {
		t.Error("taken from those that share it")
	}
	first()
	second()
	if _, err := f.Lock(t.Context(), "/none/lock", false); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("without a directory: %v", err)
	}
	if release, err := f.TryLock("/tmp", false); err != nil {
		t.Errorf("a directory: %v", err)
	} else {
		release()
	}
}

// TestLockExcludes lets many want one lock.
func TestLockExcludes(t *testing.T) {
	f := vfs.New()
	var inside atomic.Int32
	done := make(chan error)
	for range 8 {
		go func() {
			var failed error
			for range 50 {
				release, err := f.Lock(t.Context(), "/lock", false)
				if err != nil {
					done <- err
					return
				}
				if inside.Add(1) != 1 {
					failed = errors.New("two hold the lock")
				}
				inside.Add(-1)
				release()
			}
			done <- failed
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
