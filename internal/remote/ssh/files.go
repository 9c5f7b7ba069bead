package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/kup-project/kup/internal/remote"
)

// missingFile is the exit code that says: there is no such file.
const missingFile = 44

// readScript prints the file $1.
const readScript = `[ -e "$1" ] || [ -L "$1" ] || exit 44
exec cat -- "$1"`

// writeScript replaces the file $1 by $3 bytes of input, with mode $2. Input that
// broke off must not become a file.
const writeScript = `set -eu
umask 077
path=$1 mode=$2 size=$3
[ ! -d "$path" ] || { echo "$path is a directory" >&2; exit 1; }
dir=$(dirname -- "$path")
mkdir -p -- "$dir"
new=$(mktemp "$dir/.kup.XXXXXXXX")
trap 'rm -f -- "$new"' EXIT
cat >"$new"
got=$(($(wc -c <"$new")))
[ "$got" -eq "$size" ] || { echo "only $got of $size bytes arrived" >&2; exit 1; }
chmod "$mode" "$new"
sync "$new" 2>/dev/null || sync
mv -f -- "$new" "$path"
trap - EXIT
sync "$dir" 2>/dev/null || sync`

// ReadFile reads a file as root. A missing one gives an error that
// errors.Is(err, fs.ErrNotExist).
func (h *Host) ReadFile(ctx context.Context, path string) ([]byte, error) {
	r, err := h.run(ctx, remote.Command{Argv: []string{"sh", "-c", readScript, "sh", path}, Sudo: true}, []string{"cat", path})
	var failed *remote.ExitError
	if errors.As(err, &failed) && failed.Code == missingFile && len(failed.Stdout) == 0 {
		return nil, fmt.Errorf("%s: %w", h, &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist})
	}
	return r.Stdout, err
}

// WriteFile replaces a file as root, atomically and durably, making missing
// parent directories with mode 0700.
func (h *Host) WriteFile(ctx context.Context, path string, content []byte, perm fs.FileMode) error {
	mode := strconv.FormatUint(uint64(perm.Perm()), 8)
	_, err := h.run(ctx, remote.Command{
		Argv:  []string{"sh", "-c", writeScript, "sh", path, "0" + mode, strconv.Itoa(len(content))},
		Stdin: bytes.NewReader(content),
		Sudo:  true,
	}, []string{"write", path})
	return err
}
