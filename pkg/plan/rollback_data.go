package plan

import (
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
)

// restoring checks the order of a rollback that restores data. Nothing may write to the
// store while it is replaced, no member may come back to data that another one lacks,
// and no API server may tell of pods that run where the snapshot knows none:
//
//   - the stage standstill ends with a wave that proves every host,
//   - the stage restore restores every member, from one file, for one new cluster, and
//     then ends the surplus pods of every host; it starts nothing,
//   - no unit is started before it ended.
func (v *validator) restoring(h *Hop) {
	var still, restore *Stage
	for i := range h.Stages {
		switch h.Stages[i].Name {
		case Standstill:
			still = &h.Stages[i]
		case Restore:
			restore = &h.Stages[i]
		default: // the others are held to their order
		}
	}
	if still == nil || restore == nil || len(still.Waves) == 0 || len(restore.Waves) == 0 {
		v.add("a rollback that restores data has the stages %s and %s", Standstill, Restore)
		return
	}
	proven := nodesOf(&still.Waves[len(still.Waves)-1], func(s *Step) bool { return s.Kind == KindStandstill && s.Args["proof"] == "true" })
	cleared := nodesOf(&restore.Waves[len(restore.Waves)-1], func(s *Step) bool { return s.Kind == KindSandboxes })
	for _, n := range v.plan.Facts.Nodes {
		if !n.InAPI || n.Role == cluster.EtcdHost {
			continue
		}
		if !proven[n.Name] {
			v.add("node %s is not proven to stand still at the end of stage %s", n.Name, Standstill)
		}
		if !cleared[n.Name] {
			v.add("stage %s does not end with the surplus pods of node %s", Restore, n.Name)
		}
	}
	v.members(restore)
	v.quiet(h)
}

// members checks that the stage restores every member from the same file.
func (v *validator) members(restore *Stage) {
	restored := map[string]bool{}
	var first *Step
	for i := range restore.Waves {
		for _, lane := range restore.Waves[i].Lanes {
			for j := range lane {
				s := &lane[j]
				if s.Kind != KindRestoreMember {
					continue
				}
				restored[s.Node] = true
				if i == len(restore.Waves)-1 {
					v.add("step %s restores a member beside the surplus pods, not before them", s.ID)
				}
				if first == nil {
					first = s
				}
				for _, key := range []string{"sha256", "token", "bump", "initialCluster"} {
					if s.Args[key] != first.Args[key] {
						v.add("steps %s and %s differ in %s: all members are restored alike", first.ID, s.ID, key)
					}
				}
			}
		}
	}
	for _, m := range v.plan.Facts.Etcd.Members {
		if !restored[m.Node] {
			v.add("etcd member %s is not restored in stage %s", m.Name, Restore)
		}
	}
	if first == nil {
		v.add("stage %s restores no member", Restore)
	}
}

// quiet checks that nothing is restored or ended elsewhere, and nothing started before
// all of it is over.
func (v *validator) quiet(h *Hop) {
	over := false
	for i := range h.Stages {
		st := &h.Stages[i]
		for _, w := range st.Waves {
			for _, lane := range w.Lanes {
				for j := range lane {
					v.quietStep(st, &lane[j], over)
				}
			}
		}
		over = over || st.Name == Restore
	}
}

func (v *validator) quietStep(st *Stage, s *Step, over bool) {
	switch {
	case s.Kind == KindRestoreMember || s.Kind == KindSandboxes:
		if st.Name != Restore {
			v.add("step %s belongs into stage %s", s.ID, Restore)
		}
	case s.Kind == KindStandstill:
		if st.Name != Standstill {
			v.add("step %s belongs into stage %s", s.ID, Standstill)
		}
	case over || !s.Mutates:
	case s.Kind == KindUnit && s.Args["want"] == UnitRunning, s.Kind == KindFiles, s.Kind == KindPackages, s.Kind == KindCommand:
		v.add("step %s comes before all of stage %s is over", s.ID, Restore)
	}
}

func nodesOf(w *Wave, is func(*Step) bool) map[string]bool {
	out := map[string]bool{}
	for _, lane := range w.Lanes {
		if i := slices.IndexFunc(lane, func(s Step) bool { return is(&s) }); i >= 0 {
			out[lane[i].Node] = true
		}
	}
	return out
}
