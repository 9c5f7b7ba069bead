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
)

// terminal gives the file behind a stream when it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
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
