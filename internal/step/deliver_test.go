package step

import (
	"strings"
	"testing"
)

// The standstill is not for finding out that a member's data are elsewhere.
func TestRoomIsForTheMembersOwnData(t *testing.T) {
	s := newShell(t, map[string]string{"df": `printf 'Filesystem 1024-blocks Used Available Capacity Mounted\n/dev/x 100000000 1 90000000 1%% /\n'`})
	s.write("lib/etcd-1.34.db", "snapshot")
	s.write("etcd/member/db", "data")
	argv := script([]string{"common", "etcd_programs", "deliver_room"}, s.path("etcd"), s.path("lib/etcd-1.34.db"), s.path("etcd.yaml"))
	for name, tt := range map[string]struct {
		manifest string
		code     int
		why      string
	}{
		"here":       {"    - --data-dir=" + s.path("etcd") + "\n    - --name=cp-1\n", 0, ""},
		"quoted":     {"    - \"--data-dir=" + s.path("etcd") + "/\"\n", 0, ""},
		"elsewhere":  {"    - --data-dir=/data/etcd\n", 72, "does not have the member's data in " + s.path("etcd")},
		"further in": {"    - --data-dir=" + s.path("etcd") + "/cp-1\n", 72, "does not have the member's data in " + s.path("etcd")},
		"its log":    {"    - --data-dir=" + s.path("etcd") + "\n    - \"--wal-dir=/wal\"\n", 72, "has the member's log apart"},
	} {
		t.Run(name, func(t *testing.T) {
			s.write("etcd.yaml", tt.manifest)
			if _, stderr, code := s.run(argv); code != tt.code || !strings.Contains(stderr, tt.why) {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
		})
	}
	without := append(argv[:len(argv)-1:len(argv)-1], s.path("none.yaml")) // taken away by a standstill
	if _, stderr, code := s.run(without); code != 0 {
		t.Errorf("without a manifest: exit code %d\n%s", code, stderr)
	}
}
