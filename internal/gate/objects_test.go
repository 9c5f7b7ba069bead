package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

// compared is what is stored, held against what is kept.
type compared struct {
	now, accepted       []plan.Loss
	nowErr, acceptedErr error
	hop                 string
}

func (c *compared) NotKept(_ context.Context, hop string) ([]plan.Loss, error) {
	c.hop = hop
	return c.now, c.nowErr
}
func (c *compared) Accepted(context.Context) ([]plan.Loss, error) { return c.accepted, c.acceptedErr }

func cut(name, fields string) plan.Loss {
	return plan.Loss{Kind: plan.LossField, Resource: "CSIDriver.storage.k8s.io", Name: name, Detail: fields}
}

// What was written since the losses were listed keeps the API servers from going back,
// by name and field; what was accepted does not.
func TestObjectsKept(t *testing.T) {
	var many []plan.Loss
	for i := range mostNamed + 3 {
		many = append(many, cut(fmt.Sprintf("d-%02d", i), "spec.a"))
	}
	for name, tc := range map[string]struct {
		c      compared
		state  plan.State
		reason []string
	}{
		"nothing is lost":     {compared{}, plan.Holds, nil},
		"it was accepted":     {compared{now: []plan.Loss{cut("vault", "spec.a")}, accepted: []plan.Loss{cut("vault", "spec.a, spec.b")}}, plan.Holds, nil},
		"it is gone":          {compared{accepted: []plan.Loss{cut("vault", "spec.a")}}, plan.Holds, nil},
		"another object":      {compared{now: []plan.Loss{cut("vault", "spec.a"), cut("late", "spec.a")}, accepted: []plan.Loss{cut("vault", "spec.a")}}, plan.NotYet, []string{"CSIDriver.storage.k8s.io late (spec.a)", "kup rollback --accept-data-loss"}},
		"another field":       {compared{now: []plan.Loss{cut("vault", "spec.a, spec.c")}, accepted: []plan.Loss{cut("vault", "spec.a, spec.b")}}, plan.NotYet, []string{"vault (spec.a, spec.c)"}},
		"many":                {compared{now: many}, plan.NotYet, []string{"d-09 (spec.a)", "and 3 more"}},
		"objects not read":    {compared{nowErr: errIO}, plan.CannotTell, []string{"before hop 1.35", "connection refused"}},
		"acceptance not read": {compared{acceptedErr: errIO}, plan.CannotTell, []string{"accepted: connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := New(Deps{Objects: &tc.c}).Gate("objects-kept:@1.35")
			if err != nil {
				t.Fatal(err)
			}
			v := g.Check(t.Context())
			if v.State != tc.state {
				t.Errorf("%s: %s", v.State, v.Reason)
			}
			for _, want := range tc.reason {
				if !strings.Contains(v.Reason, want) {
					t.Errorf("%q lacks %q", v.Reason, want)
				}
			}
			if strings.Contains(v.Reason, "d-10") {
				t.Errorf("more than %d are named: %s", mostNamed, v.Reason)
			}
			if tc.c.acceptedErr == nil && tc.c.hop != "1.35" {
				t.Errorf("held against what was before hop %q", tc.c.hop)
			}
			if g.Policy().Sustain != 0 {
				t.Error("every object is listed again and again")
			}
		})
	}
}
