package step

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// filesTimeout bounds putting a few files back.
const filesTimeout = 10 * time.Minute

// files: the truth is the execution's record. Running it again makes no difference,
// so a record that was lost is no harm.
type files struct{ executions }

// putBack is what a files step asks for.
type putBack struct {
	archive, digest string
	paths, keep     []string
}

func readPutBack(s plan.Step) (putBack, error) {
	a := args{step: s}
	a.node()
	p := putBack{archive: a.text("archive"), paths: a.lines("paths"), keep: a.lines("keep")}
	digest, known := strings.CutPrefix(a.text("digest"), "sha256:")
	if !known && a.err == nil {
		a.bad("digest", "is no SHA-256")
	}
	p.digest = digest
	if p.archive != "" && !path.IsAbs(p.archive) {
		a.bad("archive", "is not an absolute path")
	}
	if len(p.paths) == 0 {
		a.bad("paths", "is missing")
	}
	for _, file := range p.paths {
		// Whole file systems and what every program lives in are never one's own.
		if !path.IsAbs(file) || path.Clean(file) != file || strings.Count(file, "/") < 2 {
			a.bad("paths", "has "+strconv.Quote(file)+"; want clean, absolute paths below a directory of the root")
		}
	}
	for _, file := range p.keep {
		if !path.IsAbs(file) || path.Clean(file) != file {
			a.bad("keep", "has "+strconv.Quote(file)+"; want clean, absolute paths")
		}
	}
	return p, a.err
}

func (r *files) Done(ctx context.Context, s plan.Step) (bool, error) {
	if _, err := readPutBack(s); err != nil {
		return false, err
	}
	return r.endedWell(ctx, s)
}

func (r *files) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	p, err := readPutBack(s)
	if err != nil {
		return err
	}
	params := append([]string{p.archive, p.digest, strconv.Itoa(len(p.keep))}, p.keep...)
	_, err = r.run(ctx, s, x, "put files of "+p.archive+" back", remote.Command{Argv: script([]string{"common", "files"}, append(params, p.paths...)...), Timeout: filesTimeout})
	return err
}
