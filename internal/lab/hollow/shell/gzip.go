package shell

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
)

// gzipProgram compresses or, with -d, decompresses: files in place, the standard
// input to the standard output, and with -c everything to there.
func gzipProgram(_ context.Context, p *Process) int {
	o, err := p.options("dcfkn", map[string]rune{"decompress": 'd', "stdout": 'c', "force": 'f', "keep": 'k', "no-name": 'n'})
	if err != nil {
		return p.usage(1, err)
	}
	for _, name := range o.files() {
		if err := p.gzipOne(name, o); err != nil {
			return p.fail(1, err)
		}
	}
	return 0
}

func (p *Process) gzipOne(name string, o *options) error {
	plain, packed := strings.CutSuffix(name, ".gz")
	inPlace := name != "-" && !o.has('c')
	if inPlace && packed != o.has('d') {
		return fmt.Errorf("%s: unknown suffix -- ignored", name)
	}
	content, err := p.slurp(name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if o.has('d') {
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return fmt.Errorf("%s: not in gzip format", name)
		}
		if _, err := io.Copy(&out, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	} else {
		w := gzip.NewWriter(&out)
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		plain = name + ".gz"
	}
	if !inPlace {
		_, err := p.Stdout.Write(out.Bytes())
		return err
	}
	info, err := p.FS.Stat(p.Path(name))
	if err != nil {
		return err
	}
	if err := p.FS.WriteFile(p.Path(plain), out.Bytes(), info.Mode().Perm()); err != nil {
		return err
	}
	if o.has('k') {
		return nil
	}
	return p.FS.Remove(p.Path(name))
}
