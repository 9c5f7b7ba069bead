package engine

// Failed gives the steps that ended a run, in the order of their lanes: lanes that go side
// by side may fail side by side. Lanes that only stopped at a step boundary are not of
// them.
func Failed(err error) []*StepError {
	switch e := err.(type) { //nolint:errorlint // it is the walk through what is joined and wrapped
	case *StepError:
		return []*StepError{e}
	case interface{ Unwrap() []error }:
		var out []*StepError
		for _, one := range e.Unwrap() {
			out = append(out, Failed(one)...)
		}
		return out
	case interface{ Unwrap() error }:
		return Failed(e.Unwrap())
	}
	return nil
}
