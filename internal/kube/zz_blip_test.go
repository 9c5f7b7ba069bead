package kube

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestBlip(t *testing.T) {
	c, err := Connect(t.Context(), "/root/.local/state/kup-lab/kube34/admin.conf", "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.AcquireLease(t.Context(), Holder{Identity: "t@h pid 1", Run: "r"}, 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Second)
	defer cancel()
	n, bad := 0, 0
	for ctx.Err() == nil {
		start := time.Now()
		_, err := c.Observe(ctx)
		took := time.Since(start)
		err2 := l.Assert(ctx)
		n++
		if err != nil || err2 != nil || took > 2*time.Second {
			fmt.Println(time.Now().Format(time.TimeOnly), "observe", took, err, "assert", time.Since(start)-took, err2)
		}
		if err != nil || err2 != nil {
			bad++
		}
		node, err := c.Node(ctx, "cp-1")
		if err == nil && node.Kubelet.Minor == 34 && node.Ready {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	fmt.Println(n, bad, l.Release(context.Background()))
}
