package shell

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

func sha256sum(_ context.Context, p *Process) int {
	o, err := p.options("bct", map[string]rune{"check": 'c', "status": 's', "quiet": 's'})
	if err != nil {
		return p.usage(1, err)
	}
	if o.has('c') {
		return p.checkSums(o)
	}
	code, err := p.each(o.files(), 1, func(name string, r io.Reader) error {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "%s  %s\n", hex.EncodeToString(h.Sum(nil)), name)
		return err
	})
	return p.written(code, err)
}

// checkSums reads sums and compares them with the files they are of.
func (p *Process) checkSums(o *options) int {
	failures := 0
	code, err := p.each(o.files(), 1, func(_ string, r io.Reader) error {
		return readLines(r, func(line string, _ bool) bool {
			sum, name, _ := strings.Cut(line, "  ")
			content, err := p.slurp(name)
			got := sha256.Sum256(content)
			result := "OK"
			if err != nil || hex.EncodeToString(got[:]) != sum {
				failures++
				result = "FAILED"
			}
			if !o.has('s') {
				_, err = fmt.Fprintf(p.Stdout, "%s: %s\n", name, result)
				return err == nil
			}
			return true
		})
	})
	if failures > 0 {
		code = p.Errorf("WARNING: %d computed checksum did NOT match", failures)
	}
	return p.written(code, err)
}

func base64Program(_ context.Context, p *Process) int {
	o, err := p.options("dw:i", map[string]rune{"decode": 'd', "wrap": 'w', "ignore-garbage": 'i'})
	if err != nil {
		return p.usage(1, err)
	}
	width := 76
	if o.has('w') {
		if width, err = strconv.Atoi(o.value('w')); err != nil || width < 0 {
			return p.Errorf("invalid wrap size: '%s'", o.value('w'))
		}
	}
	text, err := p.slurp(o.files()[0])
	if err != nil {
		return p.fail(1, err)
	}
	if o.has('d') {
		plain, err := base64.StdEncoding.DecodeString(string(text)) // newlines are ignored
		if _, failed := p.Stdout.Write(plain); failed != nil {
			return p.written(1, failed)
		}
		if err != nil {
			return p.Errorf("invalid input")
		}
		return 0
	}
	out := bufio.NewWriter(p.Stdout)
	encoded := base64.StdEncoding.EncodeToString(text)
	for len(encoded) > 0 {
		n := len(encoded)
		if width > 0 {
			n = min(n, width)
		}
		if err := writeLine(out, encoded[:n], width == 0); err != nil {
			return p.written(0, err)
		}
		encoded = encoded[n:]
	}
	return p.written(0, out.Flush())
}

// cmp compares two files: 0 the same, 1 different, 2 trouble.
func cmp(_ context.Context, p *Process) int {
	o, err := p.options("s", map[string]rune{"quiet": 's', "silent": 's'})
	if err != nil {
		return p.usage(2, err)
	}
	if len(o.operands) != 2 {
		p.missing()
		return 2
	}
	var contents [2][]byte
	for i, name := range o.operands {
		var err error
		if contents[i], err = p.slurp(name); err != nil {
			if !o.has('s') {
				p.fail(2, err)
			}
			return 2
		}
	}
	a, b := contents[0], contents[1]
	if bytes.Equal(a, b) {
		return 0
	}
	if o.has('s') {
		return 1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			_, _ = fmt.Fprintf(p.Stdout, "%s %s differ: byte %d, line %d\n", o.operands[0], o.operands[1], i+1, bytes.Count(a[:i], []byte("\n"))+1)
			return 1
		}
	}
	shorter := o.operands[0]
	if len(b) < len(a) {
		shorter = o.operands[1]
	}
	p.Errorf("EOF on %s", shorter)
	return 1
}
