package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

func testSystem(in io.Reader) (*system, *bytes.Buffer, chan struct{}) {
	var out bytes.Buffer
	stop := make(chan struct{})
	return &system{in: in, out: io.Discard, err: &out, stop: stop}, &out, stop
}

func TestConfirmNeedsATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, in := range map[string]io.Reader{"pipe": r, "reader": strings.NewReader("yes\n")} {
		t.Run(name, func(t *testing.T) {
			sys, out, _ := testSystem(in)
			err := agree(t.Context(), sys, &plan.Plan{}, &applyOptions{})
			if code, hint := classify(err); code != exitUsage || !strings.Contains(hint, "--yes") {
				t.Errorf("%v: %d, %q", err, code, hint)
			}
			if out.Len() > 0 {
				t.Errorf("asked nobody: %q", out)
			}
		})
	}
}

// --yes agrees to the plan; what needs consent of its own has a flag of its own.
func TestYesIsNotConsent(t *testing.T) {
	warned := &plan.Plan{Notices: []plan.Notice{{Text: "by the way"}, {Consent: true, Text: "the API is down"}}}
	calm := &plan.Plan{Notices: []plan.Notice{{Text: "by the way"}}}
	for name, tc := range map[string]struct {
		plan *plan.Plan
		o    applyOptions
		code int
	}{
		"nothing to accept":    {calm, applyOptions{yes: true}, exitDone},
		"not accepted":         {warned, applyOptions{yes: true}, exitUsage},
		"accepted":             {warned, applyOptions{yes: true, notices: true}, exitDone},
		"accepted but not yes": {warned, applyOptions{notices: true}, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			sys, out, _ := testSystem(strings.NewReader(""))
			err := agree(t.Context(), sys, tc.plan, &tc.o)
			code := exitDone
			hint := ""
			if err != nil {
				code, hint = classify(err)
			}
			if code != tc.code || out.Len() > 0 {
				t.Errorf("%v: exit code %d, want %d; asked %q", err, code, tc.code, out)
			}
			if name == "not accepted" && (!strings.Contains(hint, "--accept-notices") || !strings.Contains(err.Error(), "the API is down")) {
				t.Errorf("%v; hint %q", err, hint)
			}
		})
	}
}

// Every notice that needs consent is a question of its own, and comes first.
func TestAgreeAsksForConsent(t *testing.T) {
	p := &plan.Plan{Notices: []plan.Notice{{Text: "by the way"}, {Consent: true, Text: "the API is down"}, {Consent: true, Text: "no way back"}}}
	for name, tc := range map[string]struct {
		answers []string
		asked   int
		agreed  bool
	}{
		"yes to all":   {[]string{"yes", "yes", "yes"}, 3, true},
		"no consent":   {[]string{"yes", "no"}, 2, false},
		"not the plan": {[]string{"yes", "yes", "y"}, 3, false},
		"at once no":   {[]string{""}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			err := agreeWith(p, &applyOptions{}, true, func(question string) error {
				asked = append(asked, question)
				return answer(tc.answers[len(asked)-1])
			})
			if (err == nil) != tc.agreed || len(asked) != tc.asked {
				t.Errorf("%v after %q", err, asked)
			}
			if !strings.Contains(asked[0], "the API is down") {
				t.Errorf("first question: %q", asked[0])
			}
			if err != nil {
				if code, _ := classify(err); code != exitUsage {
					t.Errorf("code %d", code)
				}
			}
		})
	}
}

func TestReadLine(t *testing.T) {
	blocked, w := io.Pipe()
	defer w.Close()
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errAborted)

	sys, _, _ := testSystem(strings.NewReader("yes"))
	if got, err := readLine(t.Context(), sys); got != "yes" || err != nil {
		t.Errorf("a last line without end: %q %v", got, err)
	}
	sys, _, _ = testSystem(strings.NewReader(""))
	if _, err := readLine(t.Context(), sys); !errors.Is(err, io.EOF) {
		t.Errorf("closed: %v", err)
	}
	sys, _, stop := testSystem(blocked)
	close(stop)
	if _, err := readLine(t.Context(), sys); !errors.Is(err, errInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
	sys, _, _ = testSystem(blocked)
	if _, err := readLine(cancelled, sys); !errors.Is(err, errAborted) {
		t.Errorf("aborted: %v", err)
	}
}

func TestSecretNeedsATerminal(t *testing.T) {
	sys, _, _ := testSystem(strings.NewReader("hunter2\n"))
	ask := &asker{sys: sys, answers: map[string][]byte{}}
	if s, err := ask.secret("sudo password of ops"); err == nil || !strings.Contains(err.Error(), "sudo password of ops is needed") {
		t.Errorf("%q %v", s, err)
	}
	ask.answers["known"] = []byte("once")
	if s, err := ask.secret("known"); string(s) != "once" || err != nil {
		t.Errorf("%q %v", s, err)
	}
}
