package matrix

import "github.com/kup-project/kup/internal/lab/hollow"

// Course is what kup does to a new cluster, one command after the other.
type Course struct {
	Name    string
	Cluster hollow.Config // Dir is chosen
	Moves   []Move
}

// Move is one command of kup.
type Move struct {
	Args []string
	// Again goes on with the command after kup was killed. A move without it is not
	// disturbed: it leads to where the next one begins.
	Again []string
	// Until is a step of a move that is not disturbed: kup is killed when it had its
	// effect, for good. Empty: the move comes to its end.
	Until string
	// Exit is the code that kup ends with.
	Exit int
}

// exitRolledBack is kup's exit code of a rollback that came to its end.
const exitRolledBack = 5

// Courses are all of them: an upgrade of the cluster that is given, and rollbacks of
// every scope, on clusters that are as small as leaves something to every scope.
func Courses(upgraded hollow.Config, to string) []Course {
	from := func(minor string) hollow.Config {
		return hollow.Config{Name: upgraded.Name, Pace: upgraded.Pace, ControlPlanes: 3, Workers: 1, Kubernetes: minor}
	}
	return []Course{
		{Name: "upgrade", Cluster: upgraded, Moves: []Move{killed(up(to), goOn())}},
		{Name: "rollback-node", Cluster: from("1.33"), Moves: []Move{
			{Args: up("v1.34"), Until: "1.34/control-plane/cp-2/node"}, killed(back("node"), back("node")),
			{Args: goOn(), Until: "1.34/workers/w-1/kubelet"}, killed(back("node"), back("node")),
		}},
		// etcd is the same on both sides, and its data stay.
		{Name: "rollback-hop", Cluster: from("1.34"), Moves: []Move{{Args: up("v1.35")}, killed(back("hop"), back("hop"))}},
		{Name: "rollback-data", Cluster: from("1.33"), Moves: []Move{{Args: up("v1.34")}, killed(back("data"), back("data"))}},
	}
}

func up(to string) []string { return []string{"apply", "--to", to, "--yes", "--accept-notices"} }

func goOn() []string { return []string{"apply", "--resume", "--yes"} }

func back(scope string) []string {
	return []string{"rollback", "--scope", scope, "--accept-data-loss", "--yes", "--accept-notices"}
}

// killed is a move that is disturbed.
func killed(first, again []string) Move {
	m := Move{Args: first, Again: again}
	if first[0] == "rollback" {
		m.Exit = exitRolledBack
	}
	return m
}
