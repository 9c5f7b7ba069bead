package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// call rewrites the builtins that the interpreter does not have, or takes from the
// real machine. eval stands in for some: it runs in the same shell.
func (r *script) call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	switch args[0] {
	case "echo", "printf", "pwd", "type", "test", "[", "kill":
		args[0] = "/bin/" + args[0] // a program of this package instead
	case "export", "readonly", "local":
		return []string{"eval", args[0] + " " + declarations(args[1:])}, nil
	case "return":
		if len(args) == 1 { // the interpreter would return 0
			args = append(args, strconv.Itoa(hc.LastExitStatus))
		}
	case "trap":
		return trap(args[1:]), nil
	case "umask":
		return umaskCall(hc, args[1:]), nil
	case "exec":
		if len(args) > 1 && hc.Env.Get(exitTrap).String() != "" { // the shell that would run it is gone
			return []string{"eval", exitTrap + "=; exec " + quoteAll(args[1:])}, nil
		}
		r.replaced.Store(r.replaced.Load() || len(args) > 1)
	case "command":
		if len(args) > 1 && (args[1] == "-v" || args[1] == "-V") {
			return append([]string{"/bin/" + commandV}, args[2:]...), nil
		}
	case "cd":
		return changeDir(hc, args), nil
	case ".", "source":
		return r.sourced(hc, args), nil
	}
	return args, nil
}

// refusal is a command that prints a message and fails.
func refusal(format string, args ...any) []string {
	message := "sh: 1: " + fmt.Sprintf(format, args...)
	return []string{"eval", "/bin/printf '%s\\n' " + quote(message) + " >&2; /bin/sh -c 'exit 2'"}
}

// declarations quotes name=value words for eval.
func declarations(words []string) string {
	var b strings.Builder
	for _, word := range words {
		name, value, assigned := strings.Cut(word, "=")
		b.WriteString(name)
		if assigned {
			b.WriteString("=" + quote(value))
		}
		b.WriteString(" ")
	}
	return b.String()
}

// trap keeps the commands for EXIT and TERM; commands for other signals are
// forgotten, since no such signal ever comes.
func trap(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && args[0] != "-" {
		return refusal("trap: only trap COMMAND SIGNAL... is modelled")
	}
	action, signals := args[0], args[1:]
	if len(signals) == 0 { // the default for one signal
		action, signals = "", args
	}
	if action == "-" {
		action = ""
	}
	assignments := []string{":"}
	for _, signal := range signals {
		switch strings.TrimPrefix(signal, "SIG") {
		case "EXIT", "0":
			assignments = append(assignments, exitTrap+"="+quote(action))
		case "TERM", "15":
			assignments = append(assignments, termTrap+"="+quote(action))
		}
	}
	return []string{"eval", strings.Join(assignments, "; ")}
}

func umaskCall(hc interp.HandlerContext, args []string) []string {
	if len(args) == 0 {
		return []string{"/bin/printf", "%s\\n", fmt.Sprintf("%04o", umask(exported(hc.Env)))}
	}
	if strings.Trim(args[0], "01234567") != "" {
		return refusal("umask: only octal modes are modelled: %s", args[0])
	}
	return []string{"eval", "export " + umaskVariable + "=" + args[0]}
}

func changeDir(hc interp.HandlerContext, args []string) []string {
	words := args[1:]
	if len(words) > 0 && (words[0] == "--" || words[0] == "-P" || words[0] == "-L") {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{hc.Env.Get("HOME").String()}
	}
	return append([]string{"cd"}, words...)
}

// sourced reads the file itself: the interpreter would look for it on the real
// machine first.
func (r *script) sourced(hc interp.HandlerContext, args []string) []string {
	if len(args) < 2 {
		return refusal(".: a file is missing")
	}
	p := &Process{Dir: hc.Dir, FS: r.p.FS}
	text, err := r.p.FS.ReadFile(p.Path(args[1]))
	if err != nil {
		return refusal(".: cannot open %s: %s", args[1], errnoText(err))
	}
	if _, err := r.shell.parsed.parse(string(text)); err != nil {
		return refusal(".: %s: %v", args[1], err)
	}
	return []string{"eval", string(text)}
}

// quote makes a word of a string, for any shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}
