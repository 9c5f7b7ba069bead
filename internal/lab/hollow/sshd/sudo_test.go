package sshd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/remotetest"
	"github.com/kup-project/kup/internal/remote/ssh"
)

// modelled is a machine with a modelled shell.
type modelled struct{ shell *shell.Shell }

func (m *modelled) Exec(ctx context.Context, user, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	return m.shell.Exec(ctx, &shell.Process{
		Args: []string{"sh", "-c", line}, Dir: "/", Root: user == "root",
		Env:   shell.Environment(map[string]string{"USER": user, "HOME": "/home/" + user, "PATH": "/usr/bin:/bin"}, nil),
		Stdin: stdin, Stdout: stdout, Stderr: stderr,
	})
}

func (m *modelled) Dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

func newModelled(t *testing.T, who sshd.Sudoers) *modelled {
	t.Helper()
	fs := vfs.New()
	for _, dir := range []string{"/tmp", "/home/ops"} {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &modelled{shell: shell.New(fs, map[string]shell.Program{
		"sudo": sshd.Sudo(who),
		"root": func(_ context.Context, p *shell.Process) int {
			if !p.Root {
				return 1
			}
			return 0
		},
	})}
}

func password(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s + "\n"), nil }
}

// TestHostSuite has an ssh.Host pass the suite of all hosts, root gained in every way.
func TestHostSuite(t *testing.T) {
	for name, c := range map[string]struct {
		who  sshd.Sudoers
		mode string
	}{
		"nopasswd":         {sshd.Sudoers{"ops": ""}, ssh.SudoNoPasswd},
		"password":         {sshd.Sudoers{"ops": "s3cret $x"}, ssh.SudoPassword},
		"password unasked": {sshd.Sudoers{"ops": ""}, ssh.SudoPassword},
		"auto":             {sshd.Sudoers{"ops": "s3cret $x"}, ssh.SudoAuto},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, to := start(t, newModelled(t, c.who), sshd.Config{})
			to.Sudo = ssh.Sudo{Mode: c.mode, Password: password("s3cret $x")}
			h := connect(t, to)
			remotetest.RunText(t, func(*testing.T) remote.Host { return h })
			if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"root"}, Sudo: true}); err != nil {
				t.Errorf("sudo gives no root: %v", err)
			}
			if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"root"}}); err == nil {
				t.Error("root without sudo")
			}
		})
	}
}

// TestSudoRefused looks at what kup makes of sudo's words.
func TestSudoRefused(t *testing.T) {
	for name, c := range map[string]struct {
		who    sshd.Sudoers
		sudo   ssh.Sudo
		reason string
	}{
		"no password":    {sshd.Sudoers{"ops": "right"}, ssh.Sudo{Mode: ssh.SudoNoPasswd}, "NOPASSWD"},
		"none to give":   {sshd.Sudoers{"ops": "right"}, ssh.Sudo{Mode: ssh.SudoAuto}, "ssh.sudo.passwordFile"},
		"wrong password": {sshd.Sudoers{"ops": "right"}, ssh.Sudo{Mode: ssh.SudoPassword, Password: password("wrong")}, "refuses the password"},
		"not a sudoer":   {sshd.Sudoers{"root": ""}, ssh.Sudo{Mode: ssh.SudoAuto}, "add ops to sudoers"},
	} {
		t.Run(name, func(t *testing.T) {
			_, to := start(t, newModelled(t, c.who), sshd.Config{})
			to.Sudo = c.sudo
			_, err := connect(t, to).Run(t.Context(), remote.Command{Argv: []string{"true"}, Sudo: true})
			var refused *ssh.SudoError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v: want a SudoError with %q", err, c.reason)
			}
		})
	}
}

// TestSudo looks at what sudo itself says, and at what it leaves of the input.
func TestSudo(t *testing.T) {
	m := newModelled(t, sshd.Sudoers{"ops": "right"})
	for _, c := range []struct {
		line, stdin    string
		code           int
		stdout, stderr string
	}{
		{"sudo -S -p '' -- cat", "right\nrest", 0, "rest", ""},
		{"sudo -S -p 'for %p:' -- cat", "wrong\nright\nrest", 0, "rest", "for ops:Sorry, try again.\nfor ops:"},
		{"sudo -S -p '' true", "a\nb\nc\nright\n", 1, "", "Sorry, try again.\nSorry, try again.\nsudo: 3 incorrect password attempts\n"},
		{"sudo -S -p '' true", "a\n", 1, "", "Sorry, try again.\nsudo: 1 incorrect password attempt\n"},
		{"sudo -S -p '' true", "", 1, "", "sudo: no password was provided\nsudo: a password is required\n"},
		{"sudo -n true", "right\n", 1, "", "sudo: a password is required\n"},
		{"sudo -k", "", 0, "", ""},
		{"sudo -k -S -p '' -v", "right\n", 0, "", ""},
		{"sudo -S -p '' -- nosuchprogram", "right\n", 1, "", "sudo: nosuchprogram: command not found\n"},
		{"sudo -S -p '' -- sh -c 'echo $USER $HOME $SUDO_USER $KUP; exit 9'", "right\n", 9, "root /root ops\n", ""},
		{"sudo --frobnicate true", "", 1, "", "sudo: invalid option --frobnicate; usage: sudo [-kKnSv] [-p prompt] [--] command\n"},
		{"sudo", "", 1, "", "sudo: usage: sudo [-kKnSv] [-p prompt] [--] command\n"},
	} {
		var stdout, stderr strings.Builder
		code := m.Exec(t.Context(), "ops", "KUP=x; export KUP; "+c.line, strings.NewReader(c.stdin), &stdout, &stderr)
		if code != c.code || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("%s: %d %q %q, want %d %q %q", c.line, code, &stdout, &stderr, c.code, c.stdout, c.stderr)
		}
	}
}
