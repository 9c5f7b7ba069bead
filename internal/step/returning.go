package step

import (
	"path"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// stopPatience is how many seconds the kubelet gets to stop a member.
const stopPatience = "300"

// volatileDir is where a host keeps what it forgets when it boots.
const volatileDir = "/run"

// returning is the member that a rejoin step is about: a static pod of the kubelet's, or a
// unit of systemd.
type returning struct {
	name, data     string
	manifest, unit string // one of them
	version        cluster.Version
}

// left is a member that has begun to leave.
type left struct{ id, peerURL string }

func readReturning(s plan.Step) (returning, error) {
	a := args{step: s}
	a.node()
	m := returning{name: a.text("member"), data: a.text("dataDir"), unit: s.Args["unit"], version: a.version("version")}
	if a.unitName(m.unit); m.unit == "" {
		m.manifest = a.text("manifest")
	}
	for key, file := range map[string]string{"dataDir": m.data, "manifest": m.manifest} {
		if file != "" && (!path.IsAbs(file) || path.Clean(file) != file || strings.Count(file, "/") < 2) {
			a.bad(key, "is not a clean, absolute path")
		}
	}
	return m, a.err
}

// keep is where the host keeps what it knows of the member's return.
func (m returning) keep(run string) string { return path.Join(stateDir, run, "rejoin", m.name) }

// stop is what stops the member for good, and notes on its host that it leaves.
func (m returning) stop(run string, away left) []string {
	if m.unit != "" {
		return etcdScript("rejoin_unit_stop", m.keep(run), m.unit, m.data, away.id, away.peerURL)
	}
	return script([]string{"common", "rejoin_stop"}, m.keep(run), run, m.manifest, m.data, away.id, away.peerURL, stopPatience)
}

// start is what starts it again, empty.
func (m returning) start(run, cluster string) []string {
	if m.unit != "" {
		return etcdScript("rejoin_unit_start", volatileDir, run, m.unit, m.data, cluster)
	}
	return script([]string{"common", "rejoin_start"}, m.keep(run), m.manifest, cluster)
}

// log says where the member tells what it lacks.
func (m returning) log(node string) string {
	if m.unit != "" {
		return "see journalctl -u " + m.unit + " on " + node
	}
	return "see the log of etcd's container on " + node
}
