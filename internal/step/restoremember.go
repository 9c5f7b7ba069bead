package step

import (
	"context"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// restoreTimeout bounds the restore of the largest store there is.
const restoreTimeout = time.Hour

// restoreMember: the truth is a mark in the restored data themselves, which name the
// snapshot and the token.
type restoreMember struct{ executions }

// restoration is what the scripts take.
type restoration struct {
	still                       stillness
	programs                    etcdPrograms
	bump                        string
	snapshot, sha256            string
	data, aside                 string
	member, peers, all, cluster string
}

func (r *restoreMember) read(s plan.Step) (restoration, error) {
	a := args{step: s}
	a.node()
	x := restoration{
		still:    a.stillness(),
		programs: a.etcdPrograms(), bump: a.bump(),
		snapshot: a.path("snapshot"), sha256: a.digest("sha256"),
		data: a.path("dataDir"), aside: a.path("aside"),
		member: a.text("member"), peers: a.text("peerURLs"), all: a.text("initialCluster"), cluster: a.text("token"),
	}
	for _, key := range []string{"member", "peerURLs", "initialCluster", "token"} {
		if v := s.Args[key]; strings.HasPrefix(v, "-") || strings.ContainsAny(v, " \t\n") {
			a.bad(key, "begins with a dash or holds a space")
		}
	}
	if x.aside == x.data || strings.HasPrefix(x.aside, x.data+"/") {
		a.bad("aside", "lies in the data directory")
	}
	return x, a.err
}

func (r *restoreMember) Done(ctx context.Context, s plan.Step) (bool, error) {
	x, err := r.read(s)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, "look whether the member was restored", script([]string{"etcd_restored", "etcd_restored_ask"}, x.data, x.sha256, x.cluster))
}

func (r *restoreMember) Run(ctx context.Context, s plan.Step, e plan.Execution) error {
	x, err := r.read(s)
	if err != nil {
		return err
	}
	params := append(x.still.params(), x.programs.in(e.Run)...)
	params = append(params, x.bump, x.snapshot, x.sha256, x.data, x.aside, x.member, x.peers, x.all, x.cluster)
	_, err = r.run(ctx, s, e, "restore etcd's data from "+x.snapshot, remote.Command{
		Argv:    script([]string{"common", "standstill", "standstill_holds", "etcd_programs", "etcd_restored", "etcd_restore"}, params...),
		Timeout: restoreTimeout,
	})
	return err
}
