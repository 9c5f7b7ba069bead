package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/remotetest"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/remote/ssh/sshtest"
)

func password(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s + "\n"), nil }
}

func TestHostSuite(t *testing.T) {
	for name, sudo := range map[string]struct {
		mode, wanted string
	}{
		"none":             {ssh.SudoNone, ""},
		"nopasswd":         {ssh.SudoNoPasswd, ""},
		"password":         {ssh.SudoPassword, "s3cret $x"},
		"password unasked": {ssh.SudoPassword, ""}, // sudo does not ask: it must not reach the command
		"auto password":    {ssh.SudoAuto, "s3cret $x"},
		"auto nopasswd":    {ssh.SudoAuto, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake, _ := sshtest.Sudo(t, sudo.wanted)
			server := sshtest.Start(t, fake)
			c := server.Config(t)
			c.Sudo = ssh.Sudo{Mode: sudo.mode, Password: password("s3cret $x")}
			h := sshtest.Host(t, c)
			remotetest.Run(t, func(*testing.T) remote.Host { return h })
			if server.Dials() != 1 {
				t.Errorf("%d connections were made, want 1", server.Dials())
			}
		})
	}
}

func TestSudoRefused(t *testing.T) {
	for name, c := range map[string]struct {
		sudo   ssh.Sudo
		reason string
	}{
		"no password":    {ssh.Sudo{Mode: ssh.SudoNoPasswd, Password: password("right")}, "NOPASSWD"},
		"none to give":   {ssh.Sudo{Mode: ssh.SudoAuto}, "ssh.sudo.passwordFile"},
		"wrong password": {ssh.Sudo{Mode: ssh.SudoPassword, Password: password("hunter2")}, "refuses the password"},
		"auto, wrong":    {ssh.Sudo{Mode: ssh.SudoAuto, Password: password("hunter2")}, "refuses the password"},
		"empty":          {ssh.Sudo{Mode: ssh.SudoPassword, Password: password("")}, "empty"},
		"unknown mode":   {ssh.Sudo{Mode: "doas"}, "no sudo mode"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, dir := sshtest.Sudo(t, "right")
			server := sshtest.Start(t, fake)
			cfg := server.Config(t)
			cfg.Sudo = c.sudo
			h := sshtest.Host(t, cfg)
			_, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}, Sudo: true})
			var refused *ssh.SudoError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("%v: want a SudoError with %q", err, c.reason)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error: %v", err)
			}
			wrong, _ := os.ReadFile(filepath.Join(dir, "wrong"))
			if n := bytes.Count(wrong, []byte("\n")); n > 1 {
				t.Errorf("%d wrong attempts were made: %q", n, wrong)
			}
			if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
				t.Errorf("without sudo: %v", err)
			}
		})
	}
}

// One account on many hosts: a mistyped password must not lock it.
func TestSudoPasswordTriedOnOneHostFirst(t *testing.T) {
	fake, dir := sshtest.Sudo(t, "right")
	trials := new(ssh.Trials)
	hosts := func(given string) []error {
		errs := make([]error, 5)
		var group sync.WaitGroup
		for i := range errs {
			cfg := sshtest.Start(t, fake).Config(t)
			cfg.Sudo = ssh.Sudo{Mode: ssh.SudoPassword, Password: password(given), Trials: trials}
			h := sshtest.Host(t, cfg)
			group.Go(func() {
				_, errs[i] = h.Run(t.Context(), remote.Command{Argv: []string{"true"}, Sudo: true})
			})
		}
		group.Wait()
		return errs
	}
	untried := 0
	for _, err := range hosts("hunter2") {
		var refused *ssh.SudoError
		if !errors.As(err, &refused) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if err != nil && strings.Contains(err.Error(), "not tried here") {
			untried++
		}
	}
	wrong, err := os.ReadFile(filepath.Join(dir, "wrong"))
	if n := bytes.Count(wrong, []byte("\n")); n != 1 || untried != 4 {
		t.Errorf("tried %d times, not tried on %d hosts, %v; want 1 and 4", n, untried, err)
	}
	for _, err := range hosts("right") {
		if err != nil {
			t.Errorf("the right one: %v", err)
		}
	}
}

func TestSudoAskedOnce(t *testing.T) {
	fake, _ := sshtest.Sudo(t, "right")
	cfg := sshtest.Start(t, fake).Config(t)
	asked := 0
	cfg.Sudo = ssh.Sudo{Password: func(context.Context) ([]byte, error) {
		asked++
		if asked == 1 {
			return []byte("wrong"), nil
		}
		return []byte("right"), nil
	}}
	h := sshtest.Host(t, cfg)
	root := remote.Command{Argv: []string{"sh", "-c", "echo $KUP_TEST_ROOT"}, Sudo: true}
	if _, err := h.Run(t.Context(), root); err == nil {
		t.Error("the wrong password was good")
	}
	for range 3 {
		if r, err := h.Run(t.Context(), root); err != nil || string(r.Stdout) != "1\n" {
			t.Errorf("%q, %v", r.Stdout, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

func TestLostReply(t *testing.T) {
	server := sshtest.Start(t)
	h := sshtest.Host(t, server.Config(t))
	file := filepath.Join(server.Home, "ran")
	server.CutNext()
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `echo x >>"$0"`, file}})
	var lost *remote.ConnectionError
	if !errors.As(err, &lost) || lost.Host != "node" {
		t.Fatalf("%v is no ConnectionError of the node", err)
	}
	if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("the next command: %v", err)
	}
	if ran, _ := os.ReadFile(file); string(ran) != "x\n" {
		t.Errorf("the command ran %d times, want once", bytes.Count(ran, []byte("x")))
	}
	if server.Dials() != 2 {
		t.Errorf("%d connections, want 2", server.Dials())
	}
}

func TestReconnect(t *testing.T) {
	server := sshtest.Start(t)
	h := sshtest.Host(t, server.Config(t))
	for i := range 4 {
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatalf("after %d breaks: %v", i, err)
		}
		server.Drop() // noticed by nobody yet
	}
}

// A connection that kup itself closed is no reason to fail what has not started.
func TestReconnectAfterKeepalive(t *testing.T) {
	h := sshtest.Host(t, sshtest.Start(t).Config(t))
	for range 50 {
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
		h.Break()
	}
}

func TestDroppedMidCommand(t *testing.T) {
	server := sshtest.Start(t)
	h := sshtest.Host(t, server.Config(t))
	started := filepath.Join(server.Home, "started")
	ended := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `: >"$0"; sleep 60`, started}})
		ended <- err
	}()
	await(t, func() bool { _, err := os.Stat(started); return err == nil })
	server.Drop()
	var lost *remote.ConnectionError
	if err := <-ended; !errors.As(err, &lost) {
		t.Errorf("%v is no ConnectionError", err)
	}
}

// await polls until a condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("waited in vain")
		}
	}
}

func TestKeepalive(t *testing.T) {
	t.Parallel()
	server := sshtest.Start(t)
	cfg := server.Config(t)
	cfg.Keepalive = 2 * time.Second // a busy machine answers in less
	h := sshtest.Host(t, cfg)
	if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"sleep", "4.5"}}); err != nil {
		t.Fatalf("with answered keepalives: %v", err)
	}
	server.Silence(true)
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sleep", "60"}})
	var lost *remote.ConnectionError
	if !errors.As(err, &lost) {
		t.Errorf("with a silent host: %v is no ConnectionError", err)
	}
	server.Silence(false)
	if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("once it answers again: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts, and never says a word
	server := sshtest.Start(t)
	cfg := server.Config(t)
	cfg.Port, cfg.ConnectTimeout = l.Addr().(*net.TCPAddr).Port, 50*time.Millisecond
	_, err = sshtest.Host(t, cfg).Run(t.Context(), remote.Command{Argv: []string{"true"}})
	var lost *remote.ConnectionError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("a silent host: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg.Port = 1
	if _, err = sshtest.Host(t, cfg).Run(ctx, remote.Command{Argv: []string{"true"}}); !errors.As(err, &lost) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestClosed(t *testing.T) {
	h := ssh.New(sshtest.Start(t).Config(t))
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed host: %v", err)
		}
	}
}

func TestBadInput(t *testing.T) {
	h := sshtest.Host(t, sshtest.Start(t).Config(t))
	for name, c := range map[string]remote.Command{
		"empty":     {},
		"zero byte": {Argv: []string{"echo", "a\x00b"}},
		"broken":    {Argv: []string{"cat"}, Stdin: io.MultiReader(strings.NewReader("x"), broken{})},
	} {
		_, err := h.Run(t.Context(), c)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestForwarding(t *testing.T) {
	target := sshtest.Start(t) // something that speaks first
	d := sshtest.Host(t, sshtest.Start(t).Config(t))
	conn, err := d.DialContext(t.Context(), "tcp", target.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 8)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "SSH-2.0-" {
		t.Errorf("%q, %v", greeting, err)
	}
	var forbidden *ssh.ForwardingError
	if _, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil || errors.As(err, &forbidden) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := d.DialContext(t.Context(), "udp", target.Address()); err == nil {
		t.Error("UDP was forwarded")
	}
	strict := sshtest.Host(t, sshtest.Start(t, sshtest.NoForwarding()).Config(t))
	_, err = strict.DialContext(t.Context(), "tcp", target.Address())
	if !errors.As(err, &forbidden) || !strings.Contains(err.Error(), "AllowTcpForwarding") || forbidden.Target != target.Address() {
		t.Errorf("forbidden: %v", err)
	}
}

func TestReach(t *testing.T) {
	t.Run("once it is one command", func(t *testing.T) {
		fake, _ := sshtest.Sudo(t, "right")
		server := sshtest.Start(t, fake)
		cfg := server.Config(t)
		password := "right"
		cfg.Sudo = ssh.Sudo{Mode: ssh.SudoPassword, Password: func(context.Context) ([]byte, error) { return []byte(password), nil }}
		h := sshtest.Host(t, cfg)
		for range 2 {
			if err := h.Reach(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		password = "wrong"
		var refused *ssh.SudoError
		if err := sshtest.Host(t, cfg).Reach(t.Context()); !errors.As(err, &refused) {
			t.Errorf("with the wrong password: %v", err)
		}
		if server.Dials() != 2 {
			t.Errorf("%d connections, want one a host", server.Dials())
		}
	})
	t.Run("without sudo", func(t *testing.T) {
		server := sshtest.Start(t)
		cfg := server.Config(t)
		cfg.Sudo.Mode = ssh.SudoNone
		h := sshtest.Host(t, cfg)
		if err := h.Reach(t.Context()); err != nil || server.Dials() != 1 {
			t.Errorf("%v, %d connections", err, server.Dials())
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		cfg := sshtest.Start(t).Config(t)
		cfg.Port = 1
		var lost *remote.ConnectionError
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := sshtest.Host(t, cfg).Reach(ctx); !errors.As(err, &lost) || !lost.Unsent {
			t.Errorf("error %v", err)
		}
	})
}

func TestDisconnect(t *testing.T) {
	server := sshtest.Start(t)
	h := sshtest.Host(t, server.Config(t))
	h.Disconnect() // from nothing
	for range 3 {
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
		h.Disconnect()
		h.Disconnect()
	}
	if server.Dials() != 3 {
		t.Errorf("%d connections, want 3", server.Dials())
	}
}
