package step

import (
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// args reads a step's arguments and keeps the first problem.
type args struct {
	step plan.Step
	err  error
}

func (a *args) bad(key, problem string) {
	if a.err == nil {
		a.err = &ArgsError{Step: a.step.ID, Key: key, Problem: problem}
	}
}

// text is a required value.
func (a *args) text(key string) string {
	v := a.step.Args[key]
	if v == "" {
		a.bad(key, "is missing")
	}
	return v
}

// lines are the lines of a value, empty ones left out.
func (a *args) lines(key string) []string {
	var out []string
	for line := range strings.SplitSeq(a.step.Args[key], "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func (a *args) flag(key string) bool {
	switch a.step.Args[key] {
	case "true":
		return true
	case "", "false":
	default:
		a.bad(key, "is neither true nor false")
	}
	return false
}

// duration is a value such as 5m; fallback when there is none.
func (a *args) duration(key string, fallback time.Duration) time.Duration {
	v := a.step.Args[key]
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		a.bad(key, "is not a duration such as 5m")
	}
	return d
}

func (a *args) version(key string) cluster.Version {
	v, err := cluster.ParseVersion(a.text(key))
	if err != nil {
		a.bad(key, "is not a version such as v1.34.4")
	}
	return v
}

// socket is the runtime's, as crictl takes it.
func (a *args) socket() string {
	socket := a.step.Args["socket"]
	switch {
	case socket == "":
		return defaultSocket
	case strings.HasPrefix(socket, "/"):
		return "unix://" + socket
	}
	return socket
}

// node is the step's node, which the kind needs.
func (a *args) node() string {
	if a.step.Node == "" && a.err == nil {
		a.err = &ArgsError{Step: a.step.ID, Key: "node", Problem: "is missing"}
	}
	return a.step.Node
}

// hopOf is the minor that the step's hop leads to: what it says itself, or the
// beginning of its id.
func hopOf(s plan.Step) string {
	if hop := s.Args["hop"]; hop != "" {
		return hop
	}
	hop, _, _ := strings.Cut(s.ID, "/")
	return hop
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
