package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"

	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/pkg/plan"
)

// copiedStore is a store that answers with a file, or with an error.
type copiedStore struct {
	file         string
	copied, told error
	highest      int64
}

func (c copiedStore) Copy(_ context.Context, to string) error {
	if c.copied != nil {
		return c.copied
	}
	b, err := os.ReadFile(c.file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func (c copiedStore) Highest(context.Context) (int64, error) { return c.highest, c.told }

// storedAt writes a store's file with a key for each of its revisions from 2 on.
func storedAt(t *testing.T, revision int64) string {
	t.Helper()
	c := backend.DefaultBackendConfig(zap.NewNop())
	c.Path, c.UnsafeNoFsync = filepath.Join(t.TempDir(), "db"), true
	b := backend.New(c)
	kv := mvcc.NewStore(zap.NewNop(), b, &lease.FakeLessor{}, mvcc.StoreConfig{})
	value := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`)
	for at := int64(1); at < revision; {
		at = kv.Put([]byte("/registry/configmaps/shop/key-"+strings.Repeat("x", int(at))), value, lease.NoLease)
	}
	kv.Commit()
	kv.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return c.Path
}

// Another store's members are no loss that can be accepted: nothing may be restored onto
// them. What only could not be read keeps what was read, and says what it does not know.
func TestLossesAreThoseOfTheSameStore(t *testing.T) {
	away := errors.New("no member told its revision")
	saved, later, before := storedAt(t, 5), storedAt(t, 7), storedAt(t, 3)
	for name, tt := range map[string]struct {
		store   copiedStore
		refused string
		losses  []string
		live    int64
	}{
		"the same store":                   {copiedStore{file: later, highest: 9}, "", []string{"created", "created"}, 9},
		"its revision is not told":         {copiedStore{file: later, told: away}, "", []string{"created", "created", "unread above revision 7 is not known"}, 7},
		"another store":                    {copiedStore{file: before, highest: 3}, "at revision 3, below the snapshot's 5", nil, 0},
		"another store that tells nothing": {copiedStore{file: before, told: away}, "at revision 3, below the snapshot's 5", nil, 0},
		"another store, not copied":        {copiedStore{copied: away, highest: 4}, "at revision 4, below the snapshot's 5", nil, 0},
		"a member that lags":               {copiedStore{file: before, highest: 8}, "", []string{"unread not the store"}, 8},
		"nothing is told":                  {copiedStore{copied: away, told: away}, "", []string{"unread no member told"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			known := &planner.Saved{Revision: 5}
			got, err := lossesIn(t.Context(), tt.store, known, saved, filepath.Join(t.TempDir(), "now.db"))
			if tt.refused != "" {
				code, hint := classify(err)
				if err == nil || !strings.Contains(err.Error(), tt.refused) || code != exitUsage || hint == "" {
					t.Errorf("%v, exit %d, hint %q", err, code, hint)
				}
				return
			}
			if err != nil || known.Live != tt.live || len(got) != len(tt.losses) {
				t.Fatalf("%v, live %d, %+v", err, known.Live, got)
			}
			for i, want := range tt.losses {
				kind, detail, _ := strings.Cut(want, " ")
				if got[i].Kind != plan.LossKind(kind) || !strings.Contains(got[i].Detail, detail) {
					t.Errorf("%d: %+v, want %s", i, got[i], want)
				}
			}
		})
	}
}
