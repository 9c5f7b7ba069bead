package survey

import (
	"context"
	_ "embed" // the scripts
	"io"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

//go:embed scripts/host.sh
var hostScript string

//go:embed scripts/certificates.sh
var certificatesScript string

//go:embed scripts/edits.sh
var editsScript string

//go:embed scripts/apt.sh
var aptScript string

//go:embed scripts/dnf.sh
var dnfScript string

const (
	scriptTimeout = 3 * time.Minute
	partMark      = "#kup:part "
)

// script runs one of the scripts as root and gives what it printed.
func script(ctx context.Context, h remote.Host, text string, stdin io.Reader, args ...string) (string, error) {
	result, err := h.Run(ctx, remote.Command{
		Argv: append([]string{"sh", "-c", text, "kup"}, args...), Stdin: stdin, Sudo: true, Timeout: scriptTimeout,
	})
	if err != nil {
		return "", briefly(err)
	}
	return string(result.Stdout), nil
}

// parts splits what a script printed: each part begins with a line of its own
// that names it.
func parts(output string) map[string]string {
	out := map[string]string{}
	name, text := "", []string(nil)
	end := func() {
		if name != "" {
			// A copy: facts are kept, and would keep all that was printed.
			out[name] = strings.Clone(strings.TrimSpace(strings.Join(text, "\n")))
		}
	}
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if next, found := strings.CutPrefix(line, partMark); found {
			end()
			name, text = next, nil
			continue
		}
		text = append(text, line)
	}
	end()
	return out
}
