// Package engine walks a plan: stages in order, waves as barriers, lanes side
// by side within the wave's bound, and in each lane one step after the other
// with its gates. It writes the journal before and after every step, stops at
// step boundaries, and resumes from what the journal and the world say.
//
// The engine knows neither SSH nor Kubernetes nor a terminal: runners, gates,
// the lease and the drift check are interfaces it declares, and all it has to
// say it says as events. It decides nothing that the plan does not show.
package engine
