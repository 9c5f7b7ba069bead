package detached

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// What the host says of an execution, beside the states.
const (
	unstarted State = "unstarted"
	fenced    State = "fenced"
	other     State = "other"
	owned     State = "owned"
)

// reply is an answer of wrapper.sh.
type reply struct {
	state  State
	a, b   string // code and how it ended; for fenced the owner and its epoch
	stdout []byte
	stderr []byte
}

// marker begins an answer. What a login shell prints before it is skipped.
const marker = "kup-exec "

func parseReply(b []byte) (reply, error) {
	at := bytes.Index(b, []byte("\n"+marker)) + 1
	if bytes.HasPrefix(b, []byte(marker)) {
		at = 0
	}
	line, rest, whole := bytes.Cut(b[at:], []byte("\n"))
	words := strings.Fields(string(line))
	if !whole || len(words) != 6 || words[0]+" " != marker {
		return reply{}, fmt.Errorf("the host's answer is not understood: %.200q", b)
	}
	n, err := strconv.ParseUint(words[4], 10, 31)
	m, err2 := strconv.ParseUint(words[5], 10, 31)
	if err != nil || err2 != nil || uint64(len(rest)) < n+m {
		return reply{}, fmt.Errorf("the host's answer is cut: %d bytes after %q", len(rest), line)
	}
	return reply{state: State(words[1]), a: words[2], b: words[3], stdout: rest[:n], stderr: rest[n : n+m]}, nil
}

// code is the exit code of a reply that has one.
func (r *reply) code() (int, error) {
	n, err := strconv.Atoi(r.a)
	if err != nil {
		return 0, fmt.Errorf("the host's exit status %q is not understood", r.a)
	}
	return n, nil
}

// output gathers what a command prints and passes it on by lines.
type output struct {
	stdout, stderr []byte
	note           func(line string)
	said, saidErr  int // bytes that were passed on
}

func (o *output) add(r *reply) {
	o.stdout = append(o.stdout, r.stdout...)
	o.stderr = append(o.stderr, r.stderr...)
	o.said = o.pass(o.stdout, o.said, false)
	o.saidErr = o.pass(o.stderr, o.saidErr, false)
}

// end passes on what has no line end.
func (o *output) end() {
	o.said = o.pass(o.stdout, o.said, true)
	o.saidErr = o.pass(o.stderr, o.saidErr, true)
}

func (o *output) pass(b []byte, from int, all bool) int {
	if o.note == nil {
		return len(b)
	}
	for from < len(b) {
		line, _, whole := bytes.Cut(b[from:], []byte("\n"))
		if !whole && !all {
			break
		}
		from = min(len(b), from+len(line)+1)
		line = bytes.TrimRight(line, "\r")
		if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:] // a progress bar that drew over itself
		}
		if text := strings.ToValidUTF8(string(line), "?"); strings.TrimSpace(text) != "" {
			o.note(text)
		}
	}
	return from
}
