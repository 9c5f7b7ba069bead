package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kup-project/kup/internal/remote"
)

// sudoState is what is known of sudo on a host, once it was tried.
type sudoState struct {
	asking   chan struct{} // held by the one that finds out
	settled  bool
	password []byte // nil: none is needed
}

// afterMark is the program that runs a command whose input follows a line that
// is the mark ($0). sudo reads the password line only when it wants one; what it
// leaves is read here, so that the password never gets into the command's input.
const afterMark = `while IFS= read -r line || exit 125; do [ "$line" != "$0" ] || exec "$@"; done`

// asRoot wraps a command so that it runs as root.
func (h *Host) asRoot(ctx context.Context, argv []string, stdin io.Reader) ([]string, io.Reader, error) {
	if h.cfg.Sudo.Mode == SudoNone {
		return argv, stdin, nil
	}
	password, err := h.gainRoot(ctx)
	if err != nil {
		return nil, nil, err
	}
	if password == nil {
		return append([]string{"sudo", "-n", "--"}, argv...), stdin, nil
	}
	mark := rand.Text()
	input := []io.Reader{bytes.NewReader(password), strings.NewReader("\n" + mark + "\n")}
	if stdin != nil {
		input = append(input, stdin)
	}
	return append([]string{"sudo", "-S", "-p", "", "--", "sh", "-c", afterMark, mark}, argv...), io.MultiReader(input...), nil
}

// hasRoot tells whether it is known how root is gained; not while that is being found
// out.
func (h *Host) hasRoot() bool {
	select {
	case h.sudo.asking <- struct{}{}:
		defer func() { <-h.sudo.asking }()
		return h.sudo.settled
	default:
		return false
	}
}

// gainRoot finds out once how root is gained, with a command that does nothing:
// a wrong password costs one failed attempt, whatever is run later.
func (h *Host) gainRoot(ctx context.Context) ([]byte, error) {
	st := &h.sudo
	select {
	case st.asking <- struct{}{}:
		defer func() { <-st.asking }()
	case <-ctx.Done():
		return nil, h.interrupted(ctx, "become root")
	}
	if st.settled {
		return st.password, nil
	}
	mode := h.cfg.Sudo.Mode
	switch mode {
	case SudoAuto, SudoNoPasswd, SudoPassword:
	default:
		return nil, h.noRoot(fmt.Sprintf("%q is no sudo mode", mode), nil)
	}
	if mode != SudoPassword {
		// -k: what sudo remembers of an earlier password must not hide that it wants one.
		err := h.trySudo(ctx, nil, "-n")
		if err == nil {
			st.settled = true
			return nil, nil
		}
		var refused *remote.ExitError
		if !errors.As(err, &refused) {
			return nil, err
		}
		if mode == SudoNoPasswd || h.cfg.Sudo.Password == nil || !wantsPassword(refused) {
			return nil, h.refusal(refused)
		}
	}
	password, err := h.askPassword(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.tryPassword(ctx, password); err != nil {
		return nil, err
	}
	st.settled, st.password = true, password
	return password, nil
}

// tryPassword tells whether sudo takes the password.
func (h *Host) tryPassword(ctx context.Context, password []byte) error {
	var refused *remote.ExitError
	elsewhere, err := h.cfg.Sudo.Trials.attempt(ctx, h.cfg.Name, h.cfg.User, password, func() error {
		err := h.trySudo(ctx, bytes.NewReader(append(bytes.Clone(password), '\n')), "-S", "-p", "")
		if errors.As(err, &refused) && wrongPassword(refused) {
			return errors.Join(errWrongPassword, err)
		}
		return err
	})
	switch {
	case elsewhere != "":
		return h.noRoot("sudo on "+elsewhere+" refused the same password, so it was not tried here", err)
	case refused != nil:
		return h.refusal(refused)
	case err != nil && ctx.Err() != nil:
		return h.interrupted(ctx, "become root")
	}
	return err
}

func (h *Host) askPassword(ctx context.Context) ([]byte, error) {
	if h.cfg.Sudo.Password == nil {
		return nil, h.noRoot("sudo needs a password and there is none: set ssh.sudo.passwordFile or ssh.sudo.passwordEnv", nil)
	}
	password, err := h.cfg.Sudo.Password(ctx)
	if err != nil {
		return nil, h.noRoot("no password for sudo: "+err.Error(), err)
	}
	password = bytes.TrimRight(password, "\r\n")
	if len(password) == 0 || bytes.ContainsAny(password, "\r\n\x00") {
		return nil, h.noRoot("the password for sudo is empty or has several lines", nil)
	}
	return password, nil
}

func (h *Host) trySudo(ctx context.Context, stdin io.Reader, flags ...string) error {
	argv := append(append([]string{"env", "LC_ALL=C", "sudo", "-k"}, flags...), "--", "true")
	_, err := h.exec(ctx, []string{"sudo", "true"}, argv, stdin)
	return err
}

// sudoFailure types the error of a command that sudo refused to run.
func (h *Host) sudoFailure(err error) error {
	var refused *remote.ExitError
	if err == nil || h.cfg.Sudo.Mode == SudoNone || !errors.As(err, &refused) ||
		refused.Code != 1 || len(refused.Stdout) > 0 || (!wantsPassword(refused) && !wrongPassword(refused)) {
		return err
	}
	h.sudo.asking <- struct{}{} // it has changed: find out again next time
	h.sudo.settled, h.sudo.password = false, nil
	<-h.sudo.asking
	return h.refusal(refused)
}

func wantsPassword(e *remote.ExitError) bool {
	return lineWith(e.Stderr, "sudo: a password is required") || lineWith(e.Stderr, "sudo: a terminal is required")
}

func wrongPassword(e *remote.ExitError) bool {
	return lineWith(e.Stderr, "incorrect password attempt")
}

func lineWith(b []byte, part string) bool {
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(line, []byte("sudo: ")) && bytes.Contains(line, []byte(part)) {
			return true
		}
	}
	return false
}

// whyNot puts sudo's refusal into a sentence that says what to do.
func (h *Host) whyNot(e *remote.ExitError) string {
	all := string(e.Stderr)
	switch {
	case e.Code == 127:
		return "sudo is not installed; log in as root (ssh.user: root) with ssh.sudo.mode: none"
	case wrongPassword(e):
		return "sudo refuses the password; correct what was typed, ssh.sudo.passwordFile or ssh.sudo.passwordEnv"
	case strings.Contains(all, "must have a tty"):
		return "sudo insists on a terminal; remove requiretty from sudoers for " + h.cfg.User
	case strings.Contains(all, "not in the sudoers") || strings.Contains(all, "not allowed"):
		return "sudo does not allow it; add " + h.cfg.User + " to sudoers"
	case wantsPassword(e) && h.cfg.Sudo.Mode == SudoNoPasswd:
		return "sudo wants a password; give " + h.cfg.User + " NOPASSWD in sudoers, or set ssh.sudo.mode: password"
	case wantsPassword(e) && h.cfg.Sudo.Password == nil:
		return "sudo wants a password; set ssh.sudo.passwordFile or ssh.sudo.passwordEnv, or give " + h.cfg.User + " NOPASSWD in sudoers"
	}
	lines := strings.Split(strings.TrimSpace(all), "\n")
	return fmt.Sprintf("sudo failed with exit code %d: %s", e.Code, lines[len(lines)-1])
}

// refusal types what sudo said. It does not wrap the exit code, which would pass
// for that of the command that did not run.
func (h *Host) refusal(e *remote.ExitError) error {
	return h.noRoot(h.whyNot(e), fmt.Errorf("sudo: exit code %d: %s", e.Code, bytes.TrimSpace(e.Stderr)))
}

func (h *Host) noRoot(reason string, err error) error {
	if err == nil {
		err = errors.New(reason)
	}
	return &SudoError{Host: h.cfg.Name, User: h.cfg.User, Reason: reason, Err: err}
}
