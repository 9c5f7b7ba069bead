package node

import (
	"context"
	"embed"
	"fmt"
)

//go:embed scripts/*.sh
var scriptFiles embed.FS

// script is the text of one of the programs that run on machines of the lab.
func script(name string) string {
	text, err := scriptFiles.ReadFile("scripts/" + name + ".sh")
	if err != nil {
		panic(err) // the names are constants of this package
	}
	return string(text)
}

// runScript runs one of them as root.
func (l *Lab) runScript(ctx context.Context, machine, name string, args ...string) error {
	_, err := l.Exec(ctx, machine, append([]string{"sh", "-c", script(name), "kup-lab-" + name}, args...)...)
	if err != nil {
		return fmt.Errorf("%s: %w", machine, err)
	}
	return nil
}

// entrypoint is the image's own first program.
const entrypoint = "/usr/local/sbin/kup-lab-entrypoint"

// firstProgram is what a node's container starts.
func firstProgram() []string { return []string{"/bin/sh", "-c", script("boot"), entrypoint} }
