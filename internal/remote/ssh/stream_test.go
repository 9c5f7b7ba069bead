package ssh_test

import (
	"bufio"
	"context"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
)

// A stream must outlive the context it was started with, since gRPC cancels that
// of a dial once the dial is over.
func TestStreamConverses(t *testing.T) {
	h := sshtest.Host(t, sshtest.Start(t, sshtest.NoForwarding()).Config(t))
	ctx, cancel := context.WithCancel(t.Context())
	s, err := h.Stream(ctx, remote.Command{Argv: []string{"cat"}})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(s)
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := s.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); err != nil || got != line {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := answers.ReadString('\n'); err == nil {
		t.Error("a closed stream can still be read")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestStreamRefusesWhatItCannotDo(t *testing.T) {
	h := sshtest.Host(t, sshtest.Start(t).Config(t))
	if _, err := h.Stream(t.Context(), remote.Command{Argv: []string{"true"}, Sudo: true}); err == nil {
		t.Error("a stream as root was started")
	}
}
