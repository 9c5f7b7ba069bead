package member_test

import (
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kup-project/kup/internal/lab/hollow/member"
	"github.com/kup-project/kup/pkg/plan"
)

// TestSave saves a cluster in the middle of an upgrade and goes on with it: where
// it was, and at other addresses.
func TestSave(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3, "3.5.24")
	l.start(t)
	check(t, l.Member("cp-1").Restart(bounded(t), "3.6.5"))
	l.Put("/registry/kup/saved", []byte("here"))
	saved := filepath.Join(t.TempDir(), "saved")
	if err := l.Save(saved); err == nil {
		t.Error("saved while it runs")
	}
	l.Stop(bounded(t))
	check(t, l.Save(saved))
	if err := l.Save(saved); err == nil {
		t.Error("saved over another")
	}

	// A host changes the saved cluster's directory no more.
	l.config.Dir = filepath.Join(t.TempDir(), "same")
	t.Run("at its place", func(t *testing.T) { l.testLoaded(t, saved) })
	l.Close(bounded(t))
	l.config.Dir = filepath.Join(t.TempDir(), "moved")
	l.place(t, 3)
	t.Run("moved", func(t *testing.T) { l.testLoaded(t, saved) })
	l.Close(bounded(t))

	if _, err := member.Load(saved, l.config); err == nil {
		t.Error("loaded over another")
	}
	l.config.Dir = t.TempDir()
	l.config.Nodes[1].Name = "cp-9"
	if _, err := member.Load(saved, l.config); err == nil {
		t.Error("loaded for other nodes")
	}
}

func (l *lab) testLoaded(t *testing.T, saved string) {
	c, err := member.Load(saved, l.config)
	check(t, err)
	l.Cluster = c
	check(t, c.Start(bounded(t)))
	adapter := l.connect(t)
	h := l.healthy(t, adapter, 3)
	for i, want := range []string{"3.6.5", "3.5.24", "3.5.24"} {
		m := h.Members[i]
		if m.Version.Bare() != want || m.PeerURL != "https://"+l.config.Nodes[i].IP+":2380" {
			t.Errorf("member: %+v", m.Member)
		}
	}
	if l.Reached().String() != "3.5" {
		t.Errorf("cluster version %s", l.Reached())
	}
	if v := adapter.DataEqual(t.Context()); v.State != plan.Holds {
		t.Errorf("verdict: %+v", v)
	}
	r, err := l.client(t, "cp-3").Get(t.Context(), "/registry/", clientv3.WithPrefix())
	check(t, err)
	if len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "here" {
		t.Errorf("stored: %v", r.Kvs)
	}
}
