package planner

import "testing"

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
