package member_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/internal/lab/hollow/pki"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// TestThreeMembers goes over a cluster's life as kup sees it.
func TestThreeMembers(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3, "3.5.24-0")
	l.start(t)
	c := l.connect(t)
	for i := range 300 {
		l.Put(fmt.Sprintf("/registry/pods/default/p-%03d", i), []byte(strings.Repeat("x", 500)))
	}
	for i := range 100 {
		l.Delete(fmt.Sprintf("/registry/pods/default/p-%03d", i))
	}
	t.Run("members", func(t *testing.T) { testMembers(t, l, c) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, l, c) })
	t.Run("move leader", func(t *testing.T) { testMoveLeader(t, l, c) })
	t.Run("rejoin", func(t *testing.T) { testRejoin(t, l, c) })
	t.Run("upgrade", func(t *testing.T) { testUpgrade(t, l, c) })
	t.Run("pause", func(t *testing.T) { testPause(t, l, c) })
	t.Run("kill", func(t *testing.T) { testKill(t, l, c) })
	t.Run("without quorum", func(t *testing.T) { testQuorum(t, l, c) })
}

func testMembers(t *testing.T, l *lab, c *etcd.Cluster) {
	h := l.healthy(t, c, 3)
	for i, m := range h.Members {
		n := l.config.Nodes[i]
		if m.Name != n.Name || m.Node != n.Name || m.PeerURL != "https://"+n.IP+":2380" || m.ClientURL != "https://"+n.IP+":2379" {
			t.Errorf("member: %+v", m.Member)
		}
		// 3.5 tells neither quota nor schema.
		if m.Version != cluster.MustParseVersion("3.5.24") || !m.StorageVersion.IsZero() || m.Quota != 0 {
			t.Errorf("member: %+v", m)
		}
	}
	if h.Spare() != 1 || !l.Serving() {
		t.Errorf("spare %d", h.Spare())
	}
	// The hash is that of all that was put before it was asked for.
	check(t, l.Flush(bounded(t)))
	if v := c.DataEqual(t.Context()); v.State != plan.Holds {
		t.Errorf("verdict: %+v", v)
	}
	r, err := l.client(t, "cp-2").Get(t.Context(), "/registry/pods/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	check(t, err)
	if r.Count != 200 {
		t.Errorf("%d pods in the store", r.Count)
	}
}

func testSnapshot(t *testing.T, l *lab, c *etcd.Cluster) {
	l.Put("/registry/leases/kube-system/kup", []byte("held"))
	check(t, l.Flush(bounded(t)))
	s, err := c.Snapshot(t.Context(), t.TempDir(), "", nil)
	check(t, err)
	if len(s.Members) != 3 || s.Version != "3.5.24" || s.Keys != 201 {
		t.Errorf("snapshot: %+v", s)
	}
	if _, err := etcd.Verify(t.Context(), s.Path, s); err != nil {
		t.Error(err)
	}
}

func testMoveLeader(t *testing.T, l *lab, c *etcd.Cluster) {
	leader, _ := leaders(l.healthy(t, c, 3))
	check(t, c.MoveLeader(t.Context(), leader))
	if now, _ := leaders(l.healthy(t, c, 3)); now == leader {
		t.Errorf("%s still leads", now)
	}
}

// testUpgrade moves the members one by one, renewing the certificates of each as
// kubeadm does: until the last has moved each may go back.
func testUpgrade(t *testing.T, l *lab, c *etcd.Cluster) {
	const to = "3.6.5-0"
	var refused *member.RefusedError
	for i, m := range l.Members() {
		_, err := l.ca.Renew(l.files[m.Name()], pki.EtcdNames()...)
		check(t, err)
		if i == 0 { // there and back
			check(t, m.Restart(bounded(t), to))
			check(t, m.Restart(bounded(t), "3.5.24"))
		}
		check(t, m.Restart(bounded(t), to))
		h := l.healthy(t, c, 3)
		want := "3.5"
		if i == 2 {
			want = "3.6"
		}
		if got := l.Reached().String(); got != want {
			t.Errorf("%s moved: cluster version %s, want %s", m.Name(), got, want)
		}
		if h.Members[i].Version.Bare() != "3.6.5" || m.Version() != "3.6.5" || h.Members[i].Quota == 0 {
			t.Errorf("%s moved: %+v", m.Name(), h.Members[i])
		}
		if v := c.DataEqual(t.Context()); v.State != plan.Holds {
			t.Errorf("verdict: %+v", v)
		}
	}
	if h := l.healthy(t, c, 3); h.Members[0].StorageVersion != cluster.MustParseVersion("3.6.0") {
		t.Errorf("storage version %s", h.Members[0].StorageVersion)
	}
	m := l.Member("cp-3")
	check(t, m.Stop(bounded(t)))
	for _, version := range []string{"3.5.24", "3.8.0"} {
		if err := m.Start(bounded(t), version); !errors.As(err, &refused) {
			t.Errorf("etcd %s on data of 3.6: %v", version, err)
		}
	}
	if err := m.Start(bounded(t), "latest"); err == nil || m.Running() {
		t.Error("a version that is none was taken")
	}
	check(t, m.Start(bounded(t), ""))
	check(t, m.Ready(bounded(t)))
	l.healthy(t, c, 3)
}

// testPause has the leader hang: its clients wait, the others choose another.
func testPause(t *testing.T, l *lab, c *etcd.Cluster) {
	leader, follower := leaders(l.healthy(t, c, 3))
	hangs, direct := l.Member(leader), l.client(t, leader)
	id := memberID(t, direct, leader)
	hangs.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := direct.Get(ctx, "kup", clientv3.WithSerializable()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a member that hangs answered: %v", err)
	}
	if !hangs.Running() {
		t.Error("a member that hangs ended")
	}
	other := l.client(t, follower)
	await(t, func() (bool, string) {
		s, err := other.Status(t.Context(), other.Endpoints()[0])
		if err != nil {
			return false, err.Error()
		}
		return s.Leader != 0 && s.Leader != id && l.Serving(), fmt.Sprintf("%x leads", s.Leader)
	})
	await(t, func() (bool, string) {
		_, err := other.Put(t.Context(), "kup", "written while one hangs")
		return err == nil, fmt.Sprint(err)
	})
	hangs.Resume()
	l.healthy(t, c, 3)
	await(t, func() (bool, string) {
		r, err := direct.Get(t.Context(), "kup")
		return err == nil && len(r.Kvs) == 1, fmt.Sprintf("the member that hung has not caught up: %v", err)
	})
	hangs.Pause()
	check(t, hangs.Restart(bounded(t), ""))
	l.healthy(t, c, 3)
}

func memberID(t *testing.T, c *clientv3.Client, name string) uint64 {
	t.Helper()
	r, err := c.MemberList(t.Context())
	check(t, err)
	for _, m := range r.Members {
		if m.Name == name {
			return m.ID
		}
	}
	t.Fatalf("no member %s", name)
	return 0
}

// testKill kills the leader; what is put meanwhile is there in the end.
func testKill(t *testing.T, l *lab, c *etcd.Cluster) {
	leader, follower := leaders(l.healthy(t, c, 3))
	l.Member(leader).Kill()
	if l.Member(leader).Running() {
		t.Error("it runs")
	}
	if err := l.Member(leader).Ready(t.Context()); !errors.Is(err, member.ErrStopped) {
		t.Errorf("ready: %v", err)
	}
	l.Put("/registry/kup/killed", []byte(leader))
	direct := l.client(t, follower)
	await(t, func() (bool, string) {
		r, err := direct.Get(t.Context(), "/registry/kup/killed")
		return err == nil && len(r.Kvs) == 1, fmt.Sprint(err)
	})
	check(t, l.Member(leader).Start(bounded(t), ""))
	l.healthy(t, c, 3)
}

// testQuorum leaves one of three: it runs and does not serve.
func testQuorum(t *testing.T, l *lab, c *etcd.Cluster) {
	check(t, l.Member("cp-1").Stop(bounded(t)))
	l.Member("cp-2").Kill()
	await(t, func() (bool, string) { return !l.Serving(), "it still serves" })
	l.Put("/registry/kup/quorum", []byte("late"))
	if err := l.Flush(bounded(t)); err == nil {
		t.Error("it was written without quorum")
	}
	alone := l.Member("cp-3")
	check(t, alone.Stop(bounded(t)))
	check(t, alone.Start(bounded(t), ""))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := alone.Ready(ctx); err == nil {
		t.Error("one of three serves")
	}
	check(t, alone.Stop(bounded(t)))
	check(t, alone.Stop(bounded(t))) // it has stopped
	check(t, l.Start(bounded(t)))
	l.healthy(t, c, 3)
	check(t, l.Flush(bounded(t)))
	if v := c.DataEqual(t.Context()); v.State != plan.Holds {
		t.Errorf("verdict: %+v", v)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	first, err := member.ClaimCluster(t.Context(), 0)
	check(t, err)
	if _, err := member.ClaimCluster(t.Context(), first.Cluster); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("claimed twice: %v", err)
	}
	second, err := member.ClaimCluster(t.Context(), 0)
	check(t, err)
	if first.Address(0) == second.Address(0) || first.Address(0) != member.Address(first.Cluster, 0) {
		t.Errorf("addresses %s and %s", first.Address(0), second.Address(0))
	}
	check(t, second.Close())
	check(t, first.Close())
	if _, err := member.ClaimCluster(t.Context(), 999); err == nil {
		t.Error("cluster 999 was claimed")
	}
}

// TestStartRefused starts members that cannot run.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, "3.6.5")
	c, err := member.New(l.config)
	check(t, err)
	defer c.Close(bounded(t))
	m := c.Member("cp-1")

	taken, err := net.Listen("tcp", m.Address())
	check(t, err)
	if err := m.Start(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("the port is taken: %v", err)
	}
	check(t, taken.Close())

	const key = "/etc/kubernetes/pki/etcd/peer.key"
	content, err := l.files["cp-1"].ReadFile(key)
	check(t, err)
	check(t, l.files["cp-1"].Remove(key))
	if err := m.Start(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "peer.key") {
		t.Errorf("a certificate is missing: %v", err)
	}
	check(t, l.files["cp-1"].WriteFile(key, content, 0o600))
	check(t, m.Start(bounded(t), ""))
	check(t, m.Ready(bounded(t)))
	check(t, m.Start(bounded(t), "")) // it runs
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Stop(hurried); !errors.Is(err, context.Canceled) || m.Running() {
		t.Errorf("stop in a hurry: %v, running %t", err, m.Running())
	}

	for _, config := range []member.Config{
		{Dir: t.TempDir(), Version: "3.6.5"},
		{Dir: t.TempDir(), Nodes: l.config.Nodes, Version: "3.6"},
		{Dir: l.config.Dir, Nodes: append(l.config.Nodes, l.config.Nodes...)},
		{Dir: l.config.Dir, Nodes: []member.Node{{Name: "cp-2", IP: l.config.Nodes[0].IP}}},
	} {
		if _, err := member.New(config); err == nil {
			t.Errorf("%+v was taken", config)
		}
	}
}
