package step

import (
	"context"
	"fmt"
	"regexp"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// unitPatience is how many seconds a unit gets to be as wanted: systemd itself kills
// what does not end within 90.
const unitPatience = "120"

// unitForm keeps a unit's name apart from systemctl's options.
var unitForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]*$`)

// unitName checks what names a unit of systemd, if anything does.
func (a *args) unitName(name string) {
	if name != "" && !unitForm.MatchString(name) {
		a.bad("unit", "is no unit's name")
	}
}

// unit: the truth is the host.
type unit struct{ executions }

func readUnit(s plan.Step) (want, name string, err error) {
	a := args{step: s}
	a.node()
	want, name = a.text("want"), a.text("unit")
	if want != "" && want != plan.UnitRunning && want != plan.UnitStopped {
		a.bad("want", fmt.Sprintf("is %q; want %s or %s", want, plan.UnitRunning, plan.UnitStopped))
	}
	if name != "" && !unitForm.MatchString(name) {
		a.bad("unit", fmt.Sprintf("is %q, which is no unit's name", name))
	}
	return want, name, a.err
}

func (r *unit) Done(ctx context.Context, s plan.Step) (bool, error) {
	want, name, err := readUnit(s)
	if err != nil {
		return false, err
	}
	return r.proven(ctx, s, "look at unit "+name, script([]string{"unit", "unit_is"}, want, name))
}

func (r *unit) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	want, name, err := readUnit(s)
	if err != nil {
		return err
	}
	doing := "start unit " + name
	if want == plan.UnitStopped {
		doing = "stop unit " + name
	}
	_, err = r.run(ctx, s, x, doing, remote.Command{Argv: script([]string{"common", "unit", "unit_set"}, want, name, unitPatience)})
	return err
}
