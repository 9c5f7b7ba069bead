package catalog

import (
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestNodeChanges(t *testing.T) {
	c := load(t)
	for _, n := range c.nodeChanges {
		does := 0
		for _, s := range []string{n.AddLabel, n.RemoveLabel, n.AddTaint, n.RemoveTaint} {
			if s != "" {
				does++
			}
		}
		if does != 1 || n.HasLabel+n.HasTaint == "" || strings.TrimSpace(n.Source) == "" {
			t.Errorf("%s: a row does one thing to some nodes and has a source: %+v", n.In, n)
		}
		if _, known := c.Minor(n.In); !known {
			t.Errorf("%s is no minor of the catalog", n.In)
		}
	}
	if got := c.NodeChanges(cluster.Minor{Major: 1, Minor: 24}); len(got) != 2 || got[0].RemoveLabel != "node-role.kubernetes.io/master" {
		t.Errorf("1.24 changes %+v", got)
	}
	if got := c.NodeChanges(cluster.Minor{Major: 1, Minor: 34}); len(got) != 0 {
		t.Errorf("1.34 changes %+v", got)
	}
}

func TestUnreadyGo(t *testing.T) {
	c := load(t)
	if c.unreadyGo.Source == "" || c.UnreadyGo(cluster.Minor{Major: 1, Minor: 19}) || !c.UnreadyGo(cluster.Minor{Major: 1, Minor: 20}) {
		t.Errorf("%+v", c.unreadyGo)
	}
}
