package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/cluster"
)

// Minors are those of the catalog within a range, the oldest first; zero minors
// leave an end open.
func Minors(c *catalog.Catalog, from, to cluster.Minor) []catalog.Minor {
	var out []catalog.Minor
	for line := c.Oldest(); !c.Newest().Less(line); line = line.Next() {
		if (from != cluster.Minor{} && line.Less(from)) || (to != cluster.Minor{} && to.Less(line)) {
			continue
		}
		if m, known := c.Minor(line); known {
			out = append(out, m)
		}
	}
	return out
}

// Stored compiles the schemes of every minor and gives the text of
// internal/catalog/data/stored.yaml.
func (b *Builder) Stored(ctx context.Context, minors []catalog.Minor) (string, error) {
	var schemes []Scheme
	for _, m := range minors {
		release, err := Release(m)
		if err != nil {
			return "", err
		}
		s, err := b.Scheme(ctx, release)
		if err != nil {
			return "", err
		}
		schemes = append(schemes, s)
	}
	return Write(Rows(schemes)), nil
}

// Commands builds kubeadm of every minor, checks the catalog's command lines
// against it and prints a table. It gives the number of command lines that some
// kubeadm does not take. A minor that cannot be built is named in the table and
// in the error; the others go on.
func (b *Builder) Commands(ctx context.Context, c *catalog.Catalog, minors []catalog.Minor, out io.Writer) (unknown int, err error) {
	for _, m := range minors {
		n, minorErr := b.commands(ctx, c, m, out)
		if ctx.Err() != nil {
			return unknown, ctx.Err()
		}
		if minorErr != nil {
			fmt.Fprintf(out, "%-5s not checked\n", m.Line())
			err = errors.Join(err, minorErr)
		}
		unknown += n
	}
	fmt.Fprintf(out, "%d unknown\n", unknown)
	return unknown, err
}

func (b *Builder) commands(ctx context.Context, c *catalog.Catalog, m catalog.Minor, out io.Writer) (unknown int, err error) {
	release, err := Release(m)
	if err != nil {
		return 0, err
	}
	kubeadm, err := b.Kubeadm(ctx, release)
	if err != nil {
		return 0, err
	}
	lines, err := Lines(ctx, kubeadm, c, m, release)
	if err != nil {
		return 0, err
	}
	return report(out, m, release, lines), nil
}

// report prints a minor's row, and the lines that want a word.
func report(out io.Writer, m catalog.Minor, release cluster.Version, lines []Line) (unknown int) {
	flags := 0
	for _, l := range lines {
		for _, word := range l.Argv {
			if strings.HasPrefix(word, "-") {
				flags++
			}
		}
		if len(l.Unknown) > 0 {
			unknown++
		}
	}
	fmt.Fprintf(out, "%-5s kubeadm %-9s %2d command lines, %2d flags, %d unknown\n", m.Line(), release, len(lines), flags, unknown)
	for _, l := range lines {
		for _, what := range l.Unknown {
			fmt.Fprintf(out, "      %s: %s\n        %s\n", l.Name, strings.Join(l.Argv, " "), what)
		}
		for _, note := range l.Notes {
			fmt.Fprintf(out, "      %s: %s\n", l.Name, note)
		}
	}
	return unknown
}
