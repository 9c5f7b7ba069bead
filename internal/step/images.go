package step

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

const (
	defaultSocket = "unix:///run/containerd/containerd.sock"
	// maxPulls bounds the pulls of one node: more compete for its disk.
	maxPulls = 3
)

// images: the truth is the runtime. The kubelet's image garbage collection may
// remove what was pulled, so plans ask again right before the steps that need
// the images.
type images struct{ executions }

func (r *images) read(s plan.Step) (socket string, wanted []string, err error) {
	a := args{step: s}
	a.node()
	if wanted = a.lines("images"); len(wanted) == 0 {
		a.bad("images", "is missing")
	}
	return a.socket(), wanted, a.err
}

func (r *images) Done(ctx context.Context, s plan.Step) (bool, error) {
	socket, wanted, err := r.read(s)
	if err != nil {
		return false, err
	}
	missing, err := r.missing(ctx, s, socket, wanted)
	return err == nil && len(missing) == 0, err
}

func (r *images) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	socket, wanted, err := r.read(s)
	if err != nil {
		return err
	}
	missing, err := r.missing(ctx, s, socket, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	// All pulls are tried and joined: one that fails does not leave the others
	// running unseen.
	errs := make([]error, len(wanted))
	var group errgroup.Group
	group.SetLimit(maxPulls)
	for i, image := range wanted {
		if !slices.Contains(missing, image) {
			continue
		}
		group.Go(func() error {
			r.observer.Note(s.ID, "pull "+image)
			_, errs[i] = r.run(ctx, s, part(x, i), "pull image "+image, remote.Command{Argv: script([]string{"images_pull"}, socket, image)})
			return nil
		})
	}
	_ = group.Wait() // pulls report through errs
	if err := firstError(errs); err != nil {
		return err
	}
	return r.proven(ctx, s, socket, wanted)
}

// proven asks the runtime once more: a disk that is too full loses images as
// fast as they are pulled.
func (r *images) proven(ctx context.Context, s plan.Step, socket string, wanted []string) error {
	missing, err := r.missing(ctx, s, socket, wanted)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return failed(s, "pull images", errGone(missing), "the kubelet's image garbage collection removes images above imageGCHighThresholdPercent; free disk space on the node: crictl rmi --prune")
	}
	return nil
}

func (r *images) missing(ctx context.Context, s plan.Step, socket string, wanted []string) ([]string, error) {
	out, err := r.ask(ctx, s, "list images", script([]string{"images_missing"}, append([]string{socket}, wanted...)...))
	if err != nil {
		return nil, err
	}
	return strings.Fields(out), nil
}

// errGone are images that were pulled and are not there.
type errGone []string

func (e errGone) Error() string { return strings.Join(e, ", ") + " went missing after the pull" }

// firstError is the first error that is certain; one of a lost connection only
// when there is no other.
func firstError(errs []error) error {
	var open error
	for _, err := range errs {
		if err == nil {
			continue
		}
		var settled *Error
		if errors.As(err, &settled) && !settled.Unsettled() {
			return err
		}
		if open == nil {
			open = err
		}
	}
	return open
}
