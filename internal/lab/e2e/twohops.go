package e2e

import (
	"context"
	"errors"
	"fmt"
)

// twoHops is the scenario's state: what was found between the hops.
type twoHops struct {
	*hop
	first, between map[string]hostFacts
	states         map[string]string
}

func runTwoHops(ctx context.Context, e *env) error {
	if len(e.path) != 3 {
		return fmt.Errorf("two hops go over three minors, not %v", e.path)
	}
	t := &twoHops{hop: newHop(e)}
	t.drive = t.applyBoth
	t.more = func(ctx context.Context) error {
		if t.between != nil {
			t.printf("after the first hop, asked when the second began:")
			if err := t.judgeFacts(t.path[1], t.first, t.between, t.states); err != nil {
				return err
			}
		}
		t.judgeTime()
		return t.judgeOnce(ctx, &away{})
	}
	return t.run(ctx)
}

// applyBoth is one apply over both hops. When the second begins with what it only
// prepares, the nodes are asked what the first made of them.
func (t *twoHops) applyBoth(ctx context.Context, _ *traffic) error {
	p, err := t.kup.start(ctx, prefixed(t.out, "kup apply | "), t.applyArgs()...)
	if err != nil {
		return err
	}
	s, err := t.await(ctx, t.kup, func() bool { return !p.ended() }, moment{step: t.to + "/prepare/*"})
	switch {
	case err == nil:
		err = t.look(ctx)
		t.printf("the second hop began with step %s", s.step)
	case errors.Is(err, errMissed):
		t.check(false, "the nodes could not be asked between the hops: %v", err)
		err = nil
	}
	var applyErr error
	t.applied, applyErr = p.wait()
	return errors.Join(err, applyErr)
}

// look makes what is found now the state of before for the second hop.
func (t *twoHops) look(ctx context.Context) error {
	var err error
	if t.between, err = t.askHosts(ctx); err != nil {
		return err
	}
	if t.states, err = t.nodesNow(ctx); err != nil {
		return err
	}
	t.first, t.before = t.before, t.between
	return nil
}
