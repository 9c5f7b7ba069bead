package step

import (
	"context"
	"path"
	"strconv"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// stateDir is where kup keeps its files on nodes, root only.
const stateDir = "/var/lib/kup"

// backup: the truth is the file on the node and its recorded digest. It is
// never taken again once it is recorded: later content is not what a way back
// needs.
type backup struct {
	executions
	keeper keeper
}

func (r *backup) Done(ctx context.Context, s plan.Step) (bool, error) {
	return r.keeper.has(ctx, hopOf(s), ArtefactBackup, s.Node)
}

func (r *backup) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	a := args{step: s}
	hop, paths, exclude := a.text("hop"), a.lines("paths"), a.lines("exclude")
	if a.node(); len(paths) == 0 {
		a.bad("paths", "is missing")
	}
	if a.err != nil {
		return a.err
	}
	if done, err := r.keeper.has(ctx, hop, ArtefactBackup, s.Node); done || err != nil {
		return err
	}
	target := path.Join(stateDir, x.Run, "backup", hop+".tar")
	params := append([]string{target, strconv.Itoa(len(exclude))}, exclude...)
	const doing = "back up the node's files"
	res, err := r.run(ctx, s, x, doing, remote.Command{Argv: script([]string{"common", "backup"}, append(params, paths...)...)})
	if err != nil {
		return err
	}
	digest, err := sumOutput(string(res.Stdout))
	if err != nil {
		return failed(s, doing, err, "")
	}
	return r.keeper.artefacts.Put(ctx, Artefact{Name: ArtefactBackup, Hop: hop, Node: s.Node, Path: target, Digest: digest})
}
