package step

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/plan"
)

// Revisions tells how far the data of etcd's members are.
type Revisions interface {
	// Revisions gives the revision of every member, by its node; an error when one does
	// not answer.
	Revisions(ctx context.Context) (map[string]int64, error)
}

// revision: the truth is the members.
type revision struct {
	revisions Revisions
	observer  Observer
}

func (r *revision) read(s plan.Step) (int64, error) {
	a := args{step: s}
	least, err := strconv.ParseInt(a.text("least"), 10, 64)
	if err != nil || least < 1 {
		a.bad("least", "is no revision")
	}
	return least, a.err
}

// Done is false: what the members say now counts, not what they said.
func (r *revision) Done(context.Context, plan.Step) (bool, error) { return false, nil }

func (r *revision) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	least, err := r.read(s)
	if err != nil {
		return err
	}
	const doing = "ask the members for their revision"
	found, err := r.revisions.Revisions(ctx)
	if err != nil {
		return failed(s, doing, err, "")
	}
	if len(found) == 0 {
		return failed(s, doing, fmt.Errorf("no member answered"), "")
	}
	var low []string
	for node, at := range found {
		if at < least {
			low = append(low, fmt.Sprintf("%s is at %d", node, at))
		}
	}
	if len(low) > 0 {
		return failed(s, doing, fmt.Errorf("%s, below %d", strings.Join(low, ", "), least),
			"clients that watch would see revisions go back; the API servers are not started")
	}
	r.observer.Note(s.ID, fmt.Sprintf("every member is at revision %d or above", least))
	return nil
}
