package shell

import (
	"context"
	"fmt"
	"io"
	"strings"
)

func id(_ context.Context, p *Process) int {
	o, err := p.options("ungG", nil)
	if err != nil {
		return p.usage(1, err)
	}
	uid, user := p.uid(), p.user()
	text := fmt.Sprintf("uid=%s(%s) gid=%s(%s) groups=%s(%s)", uid, user, uid, user, uid, user)
	switch {
	case o.has('n'):
		text = user
	case o.has('u') || o.has('g') || o.has('G'):
		text = uid
	}
	_, err = fmt.Fprintln(p.Stdout, text)
	return p.written(0, err)
}

// uname says what the host's files say: /etc/hostname and /proc/sys/kernel/osrelease.
func uname(_ context.Context, p *Process) int {
	o, err := p.options("asnrmpio", nil)
	if err != nil {
		return p.usage(1, err)
	}
	facts := []struct {
		flag rune
		text string
	}{
		{'s', "Linux"},
		{'n', p.hostname()},
		{'r', p.firstLine("/proc/sys/kernel/osrelease", "6.8.0")},
		{'m', "x86_64"}, {'p', "x86_64"}, {'i', "x86_64"},
		{'o', "GNU/Linux"},
	}
	var words []string
	for _, fact := range facts {
		if o.has(fact.flag) || o.has('a') && fact.flag != 'p' && fact.flag != 'i' || len(o.values) == 0 && fact.flag == 's' {
			words = append(words, fact.text)
		}
	}
	_, err = fmt.Fprintln(p.Stdout, strings.Join(words, " "))
	return p.written(0, err)
}

func hostname(_ context.Context, p *Process) int {
	o, err := p.options("sf", map[string]rune{"short": 's', "fqdn": 'f'})
	if err != nil {
		return p.usage(1, err)
	}
	if len(o.operands) > 0 {
		return p.Errorf("setting the name is not modelled")
	}
	name := p.hostname()
	if o.has('s') {
		name, _, _ = strings.Cut(name, ".")
	}
	_, err = fmt.Fprintln(p.Stdout, name)
	return p.written(0, err)
}

func (p *Process) hostname() string { return p.firstLine("/etc/hostname", "localhost") }

func (p *Process) firstLine(file, otherwise string) string {
	text, err := p.FS.ReadFile(file)
	line, _, _ := strings.Cut(string(text), "\n")
	if err != nil || line == "" {
		return otherwise
	}
	return line
}

func nproc(_ context.Context, p *Process) int {
	_, err := io.WriteString(p.Stdout, "4\n")
	return p.written(0, err)
}

// syncFiles has nothing to do but to find what it is asked for.
func syncFiles(_ context.Context, p *Process) int {
	o, err := p.options("df", map[string]rune{"data": 'd', "file-system": 'f'})
	if err != nil {
		return p.usage(1, err)
	}
	code := 0
	for _, name := range o.operands {
		if _, err := p.FS.Stat(p.Path(name)); err != nil {
			code = p.Errorf("error opening '%s': %s", name, errnoText(err))
		}
	}
	return code
}

// df prints size and free space: there is one file system.
func df(_ context.Context, p *Process) int {
	o, err := p.options("Pkhma", map[string]rune{"portability": 'P'})
	if err != nil {
		return p.usage(1, err)
	}
	if o.has('h') || o.has('m') {
		return p.Errorf("only sizes in KiB are modelled")
	}
	const unlimited = 100 << 30 // what is free where there is no limit
	used, free := p.FS.Size()
	if free < 0 {
		free = unlimited
	}
	kib := func(bytes int64) int64 { return (bytes + 1023) / 1024 }
	percent := int64(0)
	if used+free > 0 {
		percent = (100*used + used + free - 1) / (used + free) // rounded up
	}
	var out strings.Builder
	out.WriteString("Filesystem     1024-blocks     Used Available Capacity Mounted on\n")
	code := 0
	operands := o.operands
	if len(operands) == 0 {
		operands = []string{"/"}
	}
	for _, name := range operands {
		if _, err := p.FS.Stat(p.Path(name)); err != nil {
			code = p.fail(1, named(name, err))
			continue
		}
		fmt.Fprintf(&out, "hollow %d %d %d %d%% /\n", kib(used+free), kib(used), free/1024, percent)
	}
	_, err = io.WriteString(p.Stdout, out.String())
	return p.written(code, err)
}
