package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
)

// replies are what workers have answered. Real hosts have processors of their own;
// a thousand modelled ones would take those that kup is measured on. Workers differ
// in their identity only, so the first that is asked something answers from its
// model, and the others say the same with their own identity in it.
type replies struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*reply
}

// reply is one answer, with marks where the identity belongs.
type reply struct {
	once           sync.Once
	stdout, stderr string
	code           int
}

func newReplies() *replies { return &replies{known: map[[sha256.Size]byte]*reply{}} }

func (r *replies) to(question string) *reply {
	key := sha256.Sum256([]byte(question))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[key] == nil {
		r.known[key] = &reply{}
	}
	return r.known[key]
}

// identity is what one worker says that no other does.
type identity struct{ own, marked *strings.Replacer }

func (h *host) identify() error {
	var own, marked []string
	for i, file := range []string{"", "", execution.BootFile, "/etc/machine-id"} {
		text := [...]string{h.name, h.ip, "", ""}[i]
		if file != "" {
			content, err := h.machine.FS().ReadFile(file)
			if err != nil {
				return err
			}
			text = strings.TrimSpace(string(content))
		}
		mark := "\x00" + strconv.Itoa(i) + "\x00"
		own, marked = append(own, mark, text), append(marked, text, mark)
	}
	h.identity = identity{own: strings.NewReplacer(own...), marked: strings.NewReplacer(marked...)}
	return nil
}

// clock is the time as a host's script tells it, in a line of its own.
var clock = regexp.MustCompile(`(?m)^\d{10}\.\d{9}$`)

// replay answers as the worker's model would.
func (h *host) replay(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	input, err := io.ReadAll(stdin)
	if err != nil {
		return 255
	}
	r := h.fleet.replies.to(h.identity.marked.Replace(user + "\x00" + line + "\x00" + string(input)))
	r.once.Do(func() {
		var out, errs bytes.Buffer
		// The others want the answer, whatever becomes of this connection.
		r.code = h.machine.Exec(context.WithoutCancel(ctx), user, line, bytes.NewReader(input), &out, &errs)
		r.stdout, r.stderr = h.identity.marked.Replace(out.String()), h.identity.marked.Replace(errs.String())
	})
	now := time.Now()
	said := clock.ReplaceAllString(h.identity.own.Replace(r.stdout), strconv.FormatInt(now.Unix(), 10)+"."+leftPad(now.Nanosecond()))
	_, outErr := io.WriteString(stdout, said)
	_, errErr := io.WriteString(stderr, h.identity.own.Replace(r.stderr))
	if outErr != nil || errErr != nil {
		return 255
	}
	return r.code
}

// leftPad writes nanoseconds with all their nine digits.
func leftPad(nanoseconds int) string {
	s := strconv.Itoa(nanoseconds)
	return strings.Repeat("0", 9-len(s)) + s
}
