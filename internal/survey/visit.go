package survey

import (
	"context"
	_ "embed" // the script
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

//go:embed scripts/visit.sh
var visitScript string

const (
	scriptMark = "#kup:script "
	exitMark   = "#kup:exit "
)

// visit is what a host said in one command, in which all scripts ran that are known
// beforehand to be wanted: a round trip and a login of sudo instead of one for each.
// What is missing of it is asked for by itself, so that a script which hangs, or a
// connection that breaks, costs no more than it would have cost alone.
type visit struct {
	host         remote.Host
	said, warned map[string]said // by script: what it printed, and complained of
	began, ended time.Time       // kup's, around the command
}

// said is what one script wrote to one stream.
type said struct {
	text string
	code int
	done bool // it ran to its end, with this exit code
}

// call lands a visit.
type call struct {
	socket, patches string
	controlPlane    bool
	// edits is the minor of the kubeadm whose files can be compared with what it would
	// write; zero: none, or not in this way.
	edits cluster.Minor
}

// pay visits a host. The error is one of reaching it.
func (c call) pay(ctx context.Context, h remote.Host) (*visit, error) {
	scripts := []string{hostScript, "", startupScript, hostStateScript, ""}
	release := ""
	if c.controlPlane {
		scripts[1] = certificatesScript
	}
	if c.edits != (cluster.Minor{}) {
		release, scripts[4] = "v"+c.edits.String()+".", editsScript
	}
	args := append([]string{"sh", "-c", visitScript, "kup", c.patches, c.socket, openFlags(), release}, scripts...)
	v := &visit{host: h, began: time.Now()}
	result, err := h.Run(ctx, remote.Command{Argv: args, Sudo: true, Timeout: scriptTimeout})
	v.ended = time.Now()
	failed := new(remote.ExitError)
	lost := new(remote.ConnectionError)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &failed):
		result.Stdout, result.Stderr = failed.Stdout, failed.Stderr
	case errors.As(err, &lost) && !lost.Unsent, errors.Is(err, context.DeadlineExceeded):
	default:
		return nil, briefly(err)
	}
	v.said, v.warned = spoken(string(result.Stdout)), spoken(string(result.Stderr))
	return v, nil
}

// script gives what a script printed: in the visit, or, when it did not get to its end
// there, by running it now.
func (v *visit) script(ctx context.Context, name, text string, args ...string) (string, error) {
	s := v.said[name]
	switch {
	case !s.done:
		return script(ctx, v.host, text, nil, args...)
	case s.code != 0:
		return "", briefly(&remote.ExitError{
			Host: v.host.String(), Argv: []string{"sh"}, Code: s.code, Stdout: []byte(s.text), Stderr: []byte(v.warned[name].text),
		})
	}
	return s.text, nil
}

// spoken takes a stream apart.
func spoken(stream string) map[string]said {
	out := map[string]said{}
	name, start, at := "", 0, 0
	end := func(code int, done bool) {
		if name != "" {
			out[name] = said{stream[start:at], code, done}
		}
		name = ""
	}
	for line := range strings.Lines(stream) {
		word := strings.TrimRight(line, "\r\n")
		if next, found := strings.CutPrefix(word, scriptMark); found {
			end(0, false)
			name, start = next, at+len(line)
		} else if code, found := strings.CutPrefix(word, exitMark); found {
			n, err := strconv.Atoi(code)
			end(n, err == nil)
		}
		at += len(line)
	}
	end(0, false)
	return out
}
