package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

// What a restore will ask for is said before the start.
func TestEncryptedSnapshotsNeedAnIdentity(t *testing.T) {
	c := load(t)
	for _, encrypted := range []bool{false, true} {
		p, _ := upgradePlan(t, c, topology{3, 1, "v1.33.13", "v3.5.26"}, func(p *Policy) { p.Snapshots.Encrypted = encrypted }, "v1.34.4")
		told := slices.ContainsFunc(p.Notices, func(n plan.Notice) bool { return strings.Contains(n.Text, "snapshots are encrypted") })
		if told != encrypted {
			t.Errorf("encrypted: %t, told: %t", encrypted, told)
		}
	}
}

// What happens to a snapshot is in the plan that is reviewed.
func TestSnapshotTitle(t *testing.T) {
	const bare = "save an etcd snapshot and prove it by restoring it aside"
	for want, s := range map[string]Snapshots{
		bare: {},
		bare + ", at 50MiB a second at most; encrypt it; keep it in /mnt/b, too": {Limit: "50MiB", Encrypted: true, Second: "/mnt/b"},
	} {
		if got := s.title(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
