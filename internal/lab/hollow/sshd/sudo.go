package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// Sudoers says who may become root, and with which password; an empty one is not
// asked for (NOPASSWD). Who is not in it may not.
type Sudoers map[string]string

// attempts is how many passwords sudo takes.
const attempts = 3

// Sudo gives the program sudo for a host whose sudoers these are. It judges the
// user that $USER names. A password is wanted every time, as with a sudo that has
// no terminal to remember one for.
func Sudo(who Sudoers) shell.Program {
	return func(ctx context.Context, p *shell.Process) int {
		o, err := sudoOptions(p.Args[1:])
		if err != nil {
			_, _ = fmt.Fprintln(p.Stderr, "sudo:", err)
			return 1
		}
		if !o.validate && len(o.argv) == 0 {
			return 0 // -k alone: nothing is remembered anyway
		}
		if reason := o.refused(p, who); reason != "" {
			_, _ = fmt.Fprintln(p.Stderr, reason)
			return 1
		}
		if len(o.argv) == 0 {
			return 0
		}
		return o.run(ctx, p)
	}
}

// options is a command line of sudo.
type options struct {
	mute, stdin, forget, validate bool
	prompt                        string
	argv                          []string
}

var errUsage = errors.New("usage: sudo [-kKnSv] [-p prompt] [--] command")

func sudoOptions(args []string) (options, error) {
	o := options{prompt: "[sudo] password for %p: "}
	for len(args) > 0 {
		arg := args[0]
		if !strings.HasPrefix(arg, "-") || arg == "--" {
			break
		}
		args = args[1:]
		switch arg {
		case "-n":
			o.mute = true
		case "-S":
			o.stdin = true
		case "-k", "-K":
			o.forget = true
		case "-v":
			o.validate = true
		case "-p":
			if len(args) == 0 {
				return o, errUsage
			}
			o.prompt, args = args[0], args[1:]
		default:
			return o, fmt.Errorf("invalid option %s; %w", arg, errUsage)
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	o.argv = args
	if len(args) == 0 && !o.validate && !o.forget {
		return o, errUsage
	}
	return o, nil
}

// refused gives sudo's words when the user does not become root.
func (o *options) refused(p *shell.Process, who Sudoers) string {
	user := p.Env("USER")
	password, allowed := who[user]
	switch {
	case p.Root:
		return ""
	case !allowed:
		return user + " is not in the sudoers file.  This incident will be reported."
	case password == "":
		return ""
	case o.mute:
		return "sudo: a password is required"
	case !o.stdin:
		return "sudo: a terminal is required to read the password; either use the -S option to read from standard input " +
			"or configure an askpass helper\nsudo: a password is required"
	}
	prompt := strings.ReplaceAll(o.prompt, "%p", user)
	for wrong := range attempts {
		_, _ = io.WriteString(p.Stderr, prompt)
		given, err := passwordLine(p.Stdin)
		switch {
		case given == password && (err == nil || given != ""):
			return ""
		case err != nil && wrong == 0 && given == "":
			return "sudo: no password was provided\nsudo: a password is required"
		case err != nil:
			return fmt.Sprintf("sudo: %d incorrect password attempt%s", max(1, wrong), plural(wrong))
		}
		if wrong+1 < attempts {
			_, _ = fmt.Fprintln(p.Stderr, "Sorry, try again.")
		}
	}
	return fmt.Sprintf("sudo: %d incorrect password attempts", attempts)
}

func plural(n int) string {
	if n > 1 {
		return "s"
	}
	return ""
}

// passwordLine reads a line and not a byte more: the rest is the command's.
func passwordLine(r io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			return string(line), err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

// securePath is sudo's idea of a PATH.
const securePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run runs the command as root, in the environment that sudo leaves.
func (o *options) run(ctx context.Context, p *shell.Process) int {
	root := map[string]string{
		"PATH": securePath, "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh",
		"SUDO_USER": p.Env("USER"), "SUDO_COMMAND": strings.Join(o.argv, " "),
	}
	for _, kept := range []string{"LANG", "LC_ALL", "TERM"} {
		if value := p.Env(kept); value != "" {
			root[kept] = value
		}
	}
	child := p.Child(o.argv...)
	child.Root, child.Env = true, shell.Environment(root, nil)
	if !found(ctx, child) {
		_, _ = fmt.Fprintf(p.Stderr, "sudo: %s: command not found\n", o.argv[0])
		return 1
	}
	return p.Shell.Exec(ctx, child)
}

// found tells whether there is a program to run.
func found(ctx context.Context, p *shell.Process) bool {
	look := p.Child("which", p.Args[0])
	look.Stdin, look.Stdout, look.Stderr = strings.NewReader(""), io.Discard, io.Discard
	return p.Shell.Exec(ctx, look) == 0
}
