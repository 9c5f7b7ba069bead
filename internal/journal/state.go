package journal

// State is what a journal says happened.
type State struct {
	Plan, Cluster, Run string
	Epoch              int64
	Holder             string
	Steps              map[string]StepState
	Artefacts          []Artefact
	// Accepted are the preflight rules that were let through, with the reasons.
	Accepted map[string]string
	// Undoes is the run that this one takes back; empty: it is an upgrade.
	Undoes string
	// Reopened are the rollbacks that took steps of this run back, in their order.
	Reopened []string
	// Ended is the last run-ended record, if the run ended and was not resumed since.
	Ended *Record
}

// StepState is what a journal says of one step.
type StepState struct {
	// Attempt is the last attempt begun; 0: none.
	Attempt int
	// Outcome of the last attempt; empty: it was begun and its end is not known.
	Outcome Outcome
	Error   string
	Began   Record
	Over    Record
	// TakenBack tells that a rollback took an earlier attempt back.
	TakenBack bool
}

// Begun tells whether the last attempt has no known end.
func (s StepState) Begun() bool { return s.Attempt > 0 && s.Outcome == "" }

// Replay folds records into a State.
func Replay(records []Record) State {
	s := State{Steps: map[string]StepState{}}
	for _, r := range records {
		s.Apply(r)
	}
	return s
}

// Apply folds one more record into the state.
func (s *State) Apply(r Record) {
	switch r.Kind {
	case RunStarted:
		s.Plan, s.Cluster, s.Run = r.Plan, r.Cluster, r.Run
		s.Holder, s.Epoch, s.Accepted = r.Holder, r.Epoch, r.Accepted
		s.Undoes = r.Undoes
	case RunResumed:
		s.Holder, s.Epoch, s.Ended = r.Holder, r.Epoch, nil
	case StepBefore:
		s.Steps[r.Step] = StepState{Attempt: r.Attempt, Began: r, TakenBack: s.Steps[r.Step].TakenBack}
	case StepAfter:
		st := s.Steps[r.Step]
		st.Attempt, st.Outcome, st.Error, st.Over = r.Attempt, r.Outcome, r.Error, r
		s.Steps[r.Step] = st
	case StepReopened:
		for _, id := range r.Steps {
			if st, begun := s.Steps[id]; begun {
				st.Outcome, st.Error, st.Over, st.TakenBack = Reopened, "", r, true
				s.Steps[id] = st
			}
		}
		s.Reopened = append(s.Reopened, r.Run)
	case ArtefactPut:
		s.Artefacts = append(s.Artefacts, *r.Artefact)
	case RunEnded:
		s.Ended = &r
	}
}

// RolledBack tells whether the run was taken back as a whole, and by which one.
func (s State) RolledBack() (by string, ok bool) {
	if s.Ended == nil || s.Ended.Outcome != RolledBack {
		return "", false
	}
	return s.Ended.Run, true
}

// Done tells whether the step ended well.
func (s State) Done(step string) bool { return s.Steps[step].Outcome == Done }

// Artefact finds an artefact of the run.
func (s State) Artefact(hop, name, node string) (Artefact, bool) {
	for _, a := range s.Artefacts {
		if a.Hop == hop && a.Name == name && a.Node == node {
			return a, true
		}
	}
	return Artefact{}, false
}
