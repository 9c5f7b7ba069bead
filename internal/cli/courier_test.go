package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
)

// road leads to a host whose commands run on this machine; of what it prints as a piece
// of a file no more arrives than the next number of bytes says.
type road struct {
	remote.Host
	pieces []int // none: all of it
}

// roads all are one.
type roads struct{ *road }

func (r roads) Host(string) (remote.Host, error) { return r.road, nil }

func (r *road) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	var out, said bytes.Buffer
	command := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	command.Stdin, command.Stdout, command.Stderr = c.Stdin, &out, &said
	if err := command.Run(); err != nil {
		return remote.Result{}, errors.Join(err, errors.New(said.String()))
	}
	text := out.Bytes()
	if len(c.Argv) > 2 && c.Argv[2] == pieceScript && len(r.pieces) > 0 {
		text, r.pieces = text[:min(len(text), r.pieces[0])], r.pieces[1:]
	}
	return remote.Result{Stdout: text}, nil
}

// What does not arrive whole leaves the file as it was.
func TestCourier(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), pieceBytes/16+3) // one piece, and a bit
	for name, tt := range map[string]struct {
		from   step.Copy
		pieces []int
		want   string // what is said; empty: it arrived
	}{
		"from this machine":  {step.Copy{Path: "from"}, nil, ""},
		"from another host":  {step.Copy{Node: "cp-1", Path: "from"}, nil, ""},
		"a piece breaks off": {step.Copy{Node: "cp-1", Path: "from"}, []int{1000}, "1000 bytes of 4194352 arrived"},
		"the last one does":  {step.Copy{Node: "cp-1", Path: "from"}, []int{pieceBytes, 7}, "4194311 bytes of 4194352 arrived"},
		"it is not there":    {step.Copy{Node: "cp-1", Path: "other"}, nil, "No such file"},
		"sealed, no key":     {step.Copy{Path: "from", Sealed: "sha256:x"}, nil, "no identity was given"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "from"), string(content))
			to := filepath.Join(dir, "to", "etcd.db")
			if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, to, "before")
			tt.from.Path = filepath.Join(dir, tt.from.Path)
			err := courier{hosts: roads{&road{pieces: tt.pieces}}}.Deliver(t.Context(), tt.from, "cp-2", to)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			want := content
			if tt.want != "" {
				want = []byte("before")
			}
			if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes are there, want %d: %v", len(got), len(want), err)
			}
			if left, _ := os.ReadDir(filepath.Dir(to)); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
