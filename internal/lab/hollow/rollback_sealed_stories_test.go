//go:build stories

package hollow_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow"
	"github.com/kup-project/kup/internal/remote"
)

// TestRollbackOfEncryptedData: a snapshot that is kept encrypted is restored by whoever has
// the identity and by nobody else, stopped on the way too, and nothing plain is left.
func TestRollbackOfEncryptedData(t *testing.T) {
	c := start(t, hollow.Config{ControlPlanes: 1, Workers: 1, Kubernetes: "1.33", Minors: []string{"1.34"}})
	configure(t, c, "snapshots: {recipients: ["+newIdentity(t, c, "identity")+"]}")
	newIdentity(t, c, "other")
	kup(t, c, 0, "apply", "--to", "v1.34", "--yes", "--accept-notices")
	api := client(t, c)
	written(t, api)
	before := revision(t, api)

	args := []string{"rollback", "--scope", "data", "--accept-data-loss", "--yes", "--accept-notices"}
	wantSays(t, kup(t, c, 3, args...), "the snapshot of before hop 1.34 is encrypted", "hint: kup rollback --identity FILE")
	wantSays(t, kup(t, c, 2, append(args, "--identity", "other")...), "opens it not")
	wantSays(t, kup(t, c, 2, append(args, "--identity", "nowhere")...), "--identity")
	wantNothingPlain(t, c)
	if now := revision(t, api); now < before || now >= 1_000_000_000 {
		t.Fatalf("revision %d, was %d: something was touched", now, before)
	}

	// Stopped before any node has the data: who goes on needs the identity again.
	r := hollow.Dial(c.Dir())
	inject(t, r, hollow.Fault{Name: "repository-gone", Host: "cp-1"})
	kup(t, c, 4, append(args, "--identity", "identity")...)
	wantNothingPlain(t, c)
	inject(t, r, hollow.Fault{Name: "repository-back", Host: "cp-1"})
	wantSays(t, kup(t, c, 2, "rollback", "--yes"), "it takes the identity to go on", "hint: kup rollback --identity FILE")
	t.Log(kup(t, c, 5, "rollback", "--yes", "--identity", "identity"))
	back(t, c, before)

	wantNothingPlain(t, c)
	if here, err := filepath.Glob(filepath.Join(c.Dir(), "state/kup/*/*/etcd-*.db")); err != nil || len(here) > 0 {
		t.Errorf("plain here: %v, %v", here, err)
	}
	got, err := reach(t, c, "cp-1").Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "ls /var/lib/kup/*/"}, Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(got.Stdout)) {
		if filepath.Ext(name) == ".db" {
			t.Errorf("plain on cp-1: %s", name)
		}
	}
}
