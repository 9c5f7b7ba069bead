package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/kup-project/kup/pkg/plan"
)

// terminal gives the file behind a stream when it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// width is how many characters a line of output may have; 0, which is no bound, where
// no terminal says: what is searched for in a file should be on one line.
func (sys *system) width() int {
	if f, ok := terminal(sys.out); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return max(60, min(width, 120))
		}
	}
	return 0
}

// confirm asks a question that only "yes" answers. Without a terminal it
// refuses, because nobody could have read what is agreed to.
func confirm(ctx context.Context, sys *system, question string) error {
	if _, ok := terminal(sys.in); !ok {
		return &usageError{err: errors.New("there is no terminal to ask for confirmation on"), hint: "read the plan, then pass --yes"}
	}
	fmt.Fprintf(sys.err, "\n%s Only \"yes\" is accepted: ", question)
	line, err := readLine(ctx, sys)
	if err != nil {
		return err
	}
	return answer(line)
}

// agree asks once for the plan and once more for each notice that needs consent of
// its own: --yes answers the first question only.
func agree(ctx context.Context, sys *system, p *plan.Plan, o *applyOptions) error {
	ask := func(question string) error { return confirm(ctx, sys, question) }
	_, interactive := terminal(sys.in)
	return agreeWith(p, o, interactive, ask)
}

func agreeWith(p *plan.Plan, o *applyOptions, interactive bool, ask func(question string) error) error {
	var open []string
	for _, n := range p.Notices {
		if n.Consent && !o.notices {
			open = append(open, n.Text)
		}
	}
	if len(open) > 0 && !interactive {
		return &usageError{
			err:  fmt.Errorf("this plan asks for consent that --yes does not give: %s", strings.Join(open, "; ")),
			hint: "read the notices marked with !, then pass --accept-notices too",
		}
	}
	for _, text := range open {
		if err := ask("This plan: " + text + ". Do you accept that?"); err != nil {
			return err
		}
	}
	if o.yes {
		return nil
	}
	return ask("Apply this plan?")
}

// answer accepts the one word that cannot be typed by accident.
func answer(line string) error {
	if strings.TrimSpace(line) != "yes" {
		return &usageError{err: errors.New("not confirmed; nothing was touched")}
	}
	return nil
}

// readLine reads a line, or ends with the first interrupt.
func readLine(ctx context.Context, sys *system) (string, error) {
	type read struct {
		line string
		err  error
	}
	// The goroutine outlives an interrupt: a blocked read of a terminal cannot be
	// cancelled, and the process ends right after.
	result := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(sys.in).ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil
		}
		result <- read{line, err}
	}()
	select {
	case r := <-result:
		return r.line, r.err
	case <-sys.stop:
		return "", errInterrupted
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// secret asks for a secret without echo.
func secret(sys *system, prompt string) ([]byte, error) {
	f, ok := terminal(sys.in)
	if !ok {
		return nil, fmt.Errorf("%s is needed and there is no terminal to ask on", strings.TrimSuffix(prompt, ": "))
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: the terminal cannot be read: %w", strings.TrimSuffix(prompt, ": "), err)
	}
	fmt.Fprint(sys.err, prompt)
	defer fmt.Fprintln(sys.err)
	type read struct {
		secret []byte
		err    error
	}
	// The goroutine outlives an interrupt, as in readLine.
	result := make(chan read, 1)
	go func() {
		s, err := term.ReadPassword(fd)
		result <- read{s, err}
	}()
	select {
	case r := <-result:
		return r.secret, r.err
	case <-sys.stop:
		return nil, errors.Join(errInterrupted, term.Restore(fd, before)) // echo is off
	}
}
