package shell

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// env runs a command with other variables, or prints those there are.
func env(ctx context.Context, p *Process) int {
	o, err := p.options("+iu:", map[string]rune{"ignore-environment": 'i', "unset": 'u'})
	if err != nil {
		return p.usage(exitWrapper, err)
	}
	below := p.Env
	if o.has('i') {
		below = nil
	}
	set, words := map[string]string{}, o.operands
	for len(words) > 0 && strings.Contains(words[0], "=") {
		name, value, _ := strings.Cut(words[0], "=")
		set[name], words = value, words[1:]
	}
	variables := Environment(set, without(below, o.values['u']))
	if len(words) > 0 {
		child := p.Child(words...)
		child.Env = variables
		return p.Shell.Exec(ctx, child)
	}
	for name := range strings.FieldsSeq(variables("")) {
		if name == umaskVariable {
			continue
		}
		if _, err := io.WriteString(p.Stdout, name+"="+variables(name)+"\n"); err != nil {
			return p.written(0, err)
		}
	}
	return 0
}

// without hides variables.
func without(below func(string) string, hidden []string) func(string) string {
	if below == nil || len(hidden) == 0 {
		return below
	}
	return func(name string) string {
		for _, h := range hidden {
			if name == h {
				return ""
			}
		}
		value := below(name)
		if name != "" {
			return value
		}
		known := map[string]string{}
		for other := range strings.FieldsSeq(value) {
			known[other] = ""
		}
		for _, h := range hidden {
			delete(known, h)
		}
		return Environment(known, nil)("")
	}
}

// timeout ends a command that takes too long: gently, and with -k later for good.
func timeout(ctx context.Context, p *Process) int {
	o, err := p.options("+k:s:", map[string]rune{"kill-after": 'k', "signal": 's', "foreground": 'f', "preserve-status": 'p'})
	if err != nil {
		return p.usage(exitWrapper, err)
	}
	if len(o.operands) < 2 {
		p.missing()
		return exitWrapper
	}
	limit, err := duration(o.operands[0])
	if err != nil {
		return p.usage(exitWrapper, err)
	}
	var patience time.Duration
	if o.has('k') {
		if patience, err = duration(o.value('k')); err != nil {
			return p.usage(exitWrapper, err)
		}
	}
	alive, kill := context.WithCancel(ctx)
	defer kill()
	limited, terminate := Terminable(alive)
	defer terminate()
	if limit > 0 {
		defer time.AfterFunc(p.Shell.scaled(limit), terminate).Stop()
		if patience > 0 {
			defer time.AfterFunc(p.Shell.scaled(limit+patience), kill).Stop()
		}
	}
	code := p.Shell.Exec(limited, p.Child(o.operands[1:]...))
	switch {
	case alive.Err() != nil:
		return exitKilled
	case errors.Is(context.Cause(limited), ErrTerminated):
		return exitTimeout
	}
	return code
}

// setsid runs a command and waits for it: sessions are not modelled.
func setsid(ctx context.Context, p *Process) int {
	o, err := p.options("+wfc", map[string]rune{"wait": 'w', "fork": 'f', "ctty": 'c'})
	if err != nil {
		return p.usage(exitWrapper, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	return p.Shell.Exec(ctx, p.Child(o.operands...))
}

func nice(ctx context.Context, p *Process) int {
	o, err := p.options("+n:", map[string]rune{"adjustment": 'n'})
	if err != nil {
		return p.usage(exitWrapper, err)
	}
	if len(o.operands) == 0 {
		return p.missing()
	}
	return p.Shell.Exec(ctx, p.Child(o.operands...))
}

// xargs runs a command with the words of its input.
func xargs(ctx context.Context, p *Process) int {
	o, err := p.options("+0rn:", map[string]rune{"null": '0', "no-run-if-empty": 'r', "max-args": 'n'})
	if err != nil {
		return p.usage(1, err)
	}
	text, err := io.ReadAll(p.Stdin)
	if err != nil {
		return p.fail(1, err)
	}
	words := strings.Fields(string(text))
	if o.has('0') {
		words = strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	}
	if len(words) == 0 && o.has('r') {
		return 0
	}
	most := len(words)
	if o.has('n') {
		if most, err = strconv.Atoi(o.value('n')); err != nil || most < 1 {
			return p.Errorf("invalid number for -n: %s", o.value('n'))
		}
	}
	command := o.operands
	if len(command) == 0 {
		command = []string{"echo"}
	}
	code := 0
	for first := true; first || len(words) > 0; first = false {
		n := min(most, len(words))
		child := p.Child(append(command[:len(command):len(command)], words[:n]...)...)
		child.Stdin = strings.NewReader("")
		words = words[n:]
		switch c := p.Shell.Exec(ctx, child); {
		case c == exitNotFound || c == exitNotExecutable:
			return c
		case c != 0:
			code = 123
		}
	}
	return code
}

// flock runs a command while it holds the lock of a file. Its form for file
// descriptors is refused.
func flock(ctx context.Context, p *Process) int {
	o, err := p.options("+nsxew:c:", map[string]rune{
		"nonblock": 'n', "nb": 'n', "shared": 's', "exclusive": 'x', "timeout": 'w', "wait": 'w', "command": 'c',
	})
	if err != nil {
		return p.usage(64, err)
	}
	if len(o.operands) < 2 && !o.has('c') || len(o.operands) == 0 {
		p.Errorf("file descriptors are not modelled: give a file and a command")
		return 64
	}
	release, code := p.lock(ctx, o)
	if release == nil {
		return code
	}
	defer release()
	command := o.operands[1:]
	if o.has('c') {
		command = []string{"sh", "-c", o.value('c')}
	}
	return p.Shell.Exec(ctx, p.Child(command...))
}

// lock takes the lock, or gives the exit code that says why not.
func (p *Process) lock(ctx context.Context, o *options) (release func(), code int) {
	name := p.Path(o.operands[0])
	var err error
	if o.has('n') {
		release, err = p.FS.TryLock(name, o.has('s'))
	} else {
		if o.has('w') {
			wait, err := duration(o.value('w'))
			if err != nil {
				return nil, p.usage(64, err)
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, p.Shell.scaled(wait))
			defer cancel()
		}
		release, err = p.FS.Lock(ctx, name, o.has('s'))
	}
	if err == nil {
		return release, 0
	}
	if isHeld(err) {
		return nil, 1
	}
	return nil, p.fail(66, err)
}

// readLines reads lines without their ends; last says that the end was missing.
func readLines(r io.Reader, each func(line string, last bool) bool) error {
	in := bufio.NewReaderSize(r, 1<<15)
	for {
		line, err := in.ReadString('\n')
		if line != "" || err == nil {
			text, ended := strings.CutSuffix(line, "\n")
			if !each(text, !ended) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
