package snapshot

import (
	"fmt"
	"regexp"
	"strings"
)

// sealedSuffix ends the name of an encrypted file.
const sealedSuffix = ".age"

// DescriptionSuffix ends the name of the description of the file named before it.
const DescriptionSuffix = ".json"

// ours matches the names that kup gives to snapshots: when, a few random digits, and
// what is in it.
var ours = regexp.MustCompile(`^\d{8}-\d{6}-[0-9a-f]{6}-etcd-[0-9][0-9.]*\.db(\.age)?(\.json)?$`)

func isOurs(name string) bool { return ours.MatchString(name) }

// NameByHand is the name of a plain snapshot that no run took; id is made as the
// names of runs are, and sorts by time.
func NameByHand(id string, revision int64) string { return fmt.Sprintf("%s-etcd-%d.db", id, revision) }

// NameOfRun is the name of a plain snapshot of a run's hop: its file in the run's own
// directory is etcd-1.34.db.
func NameOfRun(run, hop string) string { return run + "-etcd-" + hop + ".db" }

// runOf is the run, or the moment, that a name begins with.
func runOf(name string) string {
	run, _, _ := strings.Cut(name, "-etcd-")
	return run
}
