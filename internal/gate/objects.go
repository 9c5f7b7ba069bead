package gate

import (
	"context"
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/plan"
)

// Objects is what is stored, held against what older API servers know.
type Objects interface {
	// NotKept gives what API servers of before the hop (1.34) would not keep of the
	// objects as they are now.
	NotKept(ctx context.Context, hop string) ([]plan.Loss, error)
	// Accepted is what was agreed to of it.
	Accepted(ctx context.Context) ([]plan.Loss, error)
}

// mostNamed is how many objects a sentence names.
const mostNamed = 10

func (d *Deps) objectsKept(hop string) check {
	return func(ctx context.Context) plan.Verdict {
		accepted, err := d.Objects.Accepted(ctx)
		if err != nil {
			return cannotTell("which losses were accepted: %v", err)
		}
		now, err := d.Objects.NotKept(ctx, hop)
		if err != nil {
			return cannotTell("what API servers of before hop %s keep: %v", hop, err)
		}
		more := plan.NewLosses(accepted, now)
		if len(more) == 0 {
			return holds()
		}
		var names []string
		for _, l := range more[:min(len(more), mostNamed)] {
			names = append(names, fmt.Sprintf("%s (%s)", l.Called(), l.Detail))
		}
		if rest := len(more) - len(names); rest > 0 {
			names = append(names, fmt.Sprintf("and %d more", rest))
		}
		return notYet("written since the losses were listed, and not kept by API servers of before hop %s: %s; take it out of the objects, or accept it too: kup rollback --accept-data-loss", hop, strings.Join(names, "; "))
	}
}
