package shell_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// host is a shell to be tested.
type host struct {
	t     *testing.T
	shell *shell.Shell
	input string
	out   bytes.Buffer
	said  bytes.Buffer
}

func newHost(t *testing.T, programs map[string]shell.Program) *host {
	t.Helper()
	return &host{t: t, shell: shell.New(vfs.New(), programs)}
}

func (h *host) stdin(text string) { h.input = text }

func (h *host) stderr() string { return h.said.String() }

// run runs a command with the input given before, and keeps what it prints.
func (h *host) run(args ...string) int {
	h.out.Reset()
	h.said.Reset()
	p := &shell.Process{Args: args, Stdin: strings.NewReader(h.input), Stdout: &h.out, Stderr: &h.said, Root: true}
	h.input = ""
	return h.shell.Exec(h.t.Context(), p)
}

func (h *host) sh(args ...string) int { return h.run(append([]string{"sh"}, args...)...) }

// must gives the output of a command that succeeds.
func (h *host) must(args ...string) string {
	h.t.Helper()
	if code := h.run(args...); code != 0 {
		h.t.Fatalf("%.60q...: exit code %d: %s%s", args, code, h.out.String(), h.said.String())
	}
	return h.out.String()
}

func (h *host) write(name, content string) {
	h.t.Helper()
	if err := h.shell.FS.MkdirAll(name[:strings.LastIndex(name, "/")], 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := h.shell.FS.WriteFile(name, []byte(content), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) file(name string) string {
	h.t.Helper()
	content, err := h.shell.FS.ReadFile(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}
