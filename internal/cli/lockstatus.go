package cli

import (
	"fmt"
	"time"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/report"
)

// lockStatus is the lock for programs.
type lockStatus struct {
	Holder string    `json:"holder"`
	Host   string    `json:"host,omitempty"`
	Run    string    `json:"run,omitempty"`
	Step   string    `json:"step,omitempty"`
	Since  time.Time `json:"since"`
	Epoch  int64     `json:"epoch"`
	// SilentSeconds is how long ago the holder last gave a sign of life, by the
	// cluster's clock; absent when the lock does not say.
	SilentSeconds *float64 `json:"silentSeconds,omitempty"`
	// Alive is false when that is longer than the lock lasts: kup apply --resume
	// takes it over.
	Alive bool `json:"alive"`
}

func newLockStatus(l kube.LockState) *lockStatus {
	out := &lockStatus{
		Holder: l.Held.Holder, Host: l.Held.Host, Run: l.Held.Run, Step: l.Held.Step,
		Since: l.Held.Since, Epoch: l.Held.Epoch, Alive: l.Lives(),
	}
	if !l.Held.Renewed.IsZero() {
		out.SilentSeconds = new(l.Silent.Seconds())
	}
	return out
}

func describeHolder(l kube.LockState) string {
	h := l.Held
	return fmt.Sprintf("%s, run %s, since %s, %s, step %s", h.Holder, h.Run, h.Since.Local().Format(time.DateTime), life(l), h.Step)
}

// life says whether the holder lives.
func life(l kube.LockState) string {
	switch {
	case l.Held.Renewed.IsZero():
		return "no sign of life ever"
	case l.Lives():
		return "alive (renewed " + report.Duration(l.Silent) + " ago)"
	}
	return fmt.Sprintf("no sign of life for %s by the cluster's clock (it lasts %s; kup apply --resume takes over)",
		report.Duration(l.Silent), report.Duration(l.Held.Lasts))
}
