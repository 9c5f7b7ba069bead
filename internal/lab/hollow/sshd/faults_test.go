package sshd_test

import (
	"context"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/internal/remote"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestCutOn(t *testing.T) {
	for name, c := range map[string]struct {
		when sshd.When
		runs int
	}{
		"before": {sshd.Before, 0},
		"during": {sshd.During, 1},
		"after":  {sshd.After, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := make(chan string, 3)
			m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{
				"echo": echo,
				"change": func(_ context.Context, stdin io.Reader, stdout io.Writer) int {
					b, _ := io.ReadAll(stdin)
					runs <- string(b)
					return echo(context.Background(), nil, stdout)
				},
			}}
			s, to := start(t, m, sshd.Config{})
			h := connect(t, to)
			cut := s.CutOn(func(line string) bool { return line == "change" }, c.when)
			if out, err := run(t.Context(), h, "echo"); err != nil || out != "yes" {
				t.Errorf("another command: %q, %v", out, err)
			}
			change := remote.Command{Argv: []string{"change"}, Stdin: constant("input")}
			if _, err := h.Run(t.Context(), change); !isLost(err) {
				t.Errorf("the cut: %v", err)
			}
			<-cut
			change.Stdin = constant("again")
			if _, err := connect(t, to).Run(t.Context(), change); err != nil {
				t.Errorf("the next time: %v", err)
			}
			if err := s.Close(); err != nil { // waits for what goes on
				t.Error(err)
			}
			close(runs)
			var got []string
			for r := range runs {
				if r != "again" {
					got = append(got, r)
				}
			}
			if len(got) != c.runs || c.runs == 1 && got[0] != "input" {
				t.Errorf("it ran with %q", got)
			}
		})
	}
}

// constant is a reader of a text.
func constant(text string) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, text)
		_ = w.Close()
	}()
	return r
}

func TestHang(t *testing.T) {
	waiting := make(chan bool, 1)
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{
		"echo": echo,
		"wait": func(ctx context.Context, _ io.Reader, _ io.Writer) int {
			waiting <- true
			<-ctx.Done()
			return 1
		},
	}}
	s, to := start(t, m, sshd.Config{})
	h := connect(t, to)
	s.Hang()
	late := make(chan error, 1)
	go func() {
		_, err := run(t.Context(), h, "echo")
		late <- err
	}()
	select {
	case err := <-late:
		t.Fatalf("a host that hangs answered: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Restore()
	if err := <-late; err != nil {
		t.Errorf("once it answers again: %v", err)
	}
	// A connection that stands is given up when keepalives are not answered.
	to.Keepalive = time.Second // a busy machine answers in less
	go func() {
		_, err := run(t.Context(), connect(t, to), "wait")
		late <- err
	}()
	<-waiting
	s.Hang()
	if err := <-late; !isLost(err) {
		t.Errorf("no keepalive is answered: %v", err)
	}
	s.Restore()
}

func TestRefuse(t *testing.T) {
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{"echo": echo}}
	s, to := start(t, m, sshd.Config{})
	h := connect(t, to)
	if _, err := run(t.Context(), h, "echo"); err != nil {
		t.Fatal(err)
	}
	s.Refuse()
	if _, err := run(t.Context(), h, "echo"); err != nil {
		t.Errorf("a connection that stands: %v", err)
	}
	s.CutNow()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	h = connect(t, to)
	if _, err := run(ctx, h, "echo"); !isLost(err) && ctx.Err() == nil {
		t.Errorf("a new connection: %v", err)
	}
	s.Restore()
	if _, err := run(t.Context(), h, "echo"); err != nil {
		t.Errorf("once restored: %v", err)
	}
}

func TestDelay(t *testing.T) {
	m := &machine{programs: map[string]func(context.Context, io.Reader, io.Writer) int{"echo": echo}}
	s, to := start(t, m, sshd.Config{})
	h := connect(t, to)
	if _, err := run(t.Context(), h, "echo"); err != nil {
		t.Fatal(err)
	}
	const d = 20 * time.Millisecond
	s.Delay(d)
	began := time.Now()
	if _, err := run(t.Context(), h, "echo"); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < d {
		t.Errorf("it took %s", took)
	}
	s.Delay(time.Hour)
	late := make(chan error, 1)
	go func() {
		_, err := run(t.Context(), h, "echo")
		late <- err
	}()
	if err := s.Close(); err != nil { // does not wait for what is under way
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-late; err == nil {
		t.Error("a closed server answered")
	}
}
