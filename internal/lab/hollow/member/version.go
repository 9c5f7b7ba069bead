package member

import (
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// modernLine is the first whose members tell their quota and the version of
// their data's schema.
var modernLine = cluster.Minor{Major: 3, Minor: 6}

// RefusedError is a version that etcd would not start as.
type RefusedError struct {
	Node    string
	Version cluster.Version
	Reason  string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("etcd %s on %s: %s", e.Version.Bare(), e.Node, e.Reason)
}

// parseVersion takes a tag of kubeadm's image, such as 3.5.24-0, for a version.
func parseVersion(s string) (cluster.Version, error) {
	bare, _, _ := strings.Cut(s, "-")
	return cluster.ParseVersion(bare)
}

// allow tells whether a member may start as this version in a cluster that
// reached a line: with the same or the next. Below, etcd sees that it "cannot be
// downgraded"; further above, it finds data whose schema it does not know.
func allow(node string, v cluster.Version, reached cluster.Minor) error {
	switch {
	case v.Line().Less(reached):
		return &RefusedError{node, v, fmt.Sprintf("invalid downgrade; server version is lower than determined cluster version %s", reached)}
	case reached.Next().Less(v.Line()):
		return &RefusedError{node, v, fmt.Sprintf("cannot detect storage schema version: the data are of %s", reached)}
	}
	return nil
}

// raise gives the line of the oldest member, which the cluster is at once all
// members run; it never goes down.
func raise(reached cluster.Minor, running []cluster.Version) cluster.Minor {
	oldest := running[0].Line()
	for _, v := range running[1:] {
		if v.Line().Less(oldest) {
			oldest = v.Line()
		}
	}
	if reached.Less(oldest) {
		return oldest
	}
	return reached
}
