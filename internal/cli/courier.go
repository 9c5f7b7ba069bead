package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/step"
)

// courier carries a file to a host, through this machine.
type courier struct {
	hosts step.Hosts
	plain *plainCopy // of the one that is encrypted
}

// arriveScript writes standard input, of $2 bytes, to the file $1, which is whole or as it
// was: where a reading breaks off, the input ends as if that were all.
const arriveScript = `umask 077
mkdir -p "${1%/*}"
cat >"$1.part"
got=$(($(wc -c <"$1.part")))
[ "$got" -eq "$2" ] || {
	rm -f "$1.part"
	echo "$got bytes of $2 arrived" >&2
	exit 74
}
sync "$1.part"
mv "$1.part" "$1"
sync "${1%/*}"`

// Deliver implements step.Deliveries.
func (c courier) Deliver(ctx context.Context, from step.Copy, node, file string) (err error) {
	to, err := c.hosts.Host(node)
	if err != nil {
		return err
	}
	in, size, err := c.open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if _, err := to.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", arriveScript, "kup", file, strconv.FormatInt(size, 10)}, Sudo: true, Stdin: in}); err != nil {
		return fmt.Errorf("write %s: %w", path.Base(file), err)
	}
	return nil
}

// open gives what is to be copied and how many bytes that is.
func (c courier) open(ctx context.Context, from step.Copy) (in io.ReadCloser, size int64, err error) {
	if from.Sealed == "" && from.Node != "" {
		return c.there(ctx, from)
	}
	var f *os.File
	if from.Sealed != "" {
		f, err = c.plain.open(from)
	} else {
		f, err = os.Open(from.Path)
	}
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

// there opens a file of another host.
func (c courier) there(ctx context.Context, from step.Copy) (io.ReadCloser, int64, error) {
	h, err := c.hosts.Host(from.Node)
	if err != nil {
		return nil, 0, err
	}
	r, err := h.Run(ctx, remote.Command{Argv: []string{"stat", "-c", "%s", from.Path}, Sudo: true})
	if err != nil {
		return nil, 0, err
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(r.Stdout)), 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("size of %s: %w", from, err)
	}
	return io.NopCloser(&remoteFile{ctx: ctx, host: h, path: from.Path}), size, nil
}

// remoteFile reads a file of a host as root, in pieces: a command's output is kept in
// memory, and a store is gigabytes.
type remoteFile struct {
	ctx  context.Context //nolint:containedctx // of one reading
	host remote.Host
	path string
	next int64 // piece
	have []byte
	over bool
}

const pieceBytes = 4 << 20

// pieceScript prints the piece $2 of the file $1, of $3 bytes each.
const pieceScript = `tail -c "+$(($2 * $3 + 1))" "$1" | head -c "$3"`

func (f *remoteFile) Read(p []byte) (int, error) {
	if len(f.have) == 0 && !f.over {
		r, err := f.host.Run(f.ctx, remote.Command{
			Argv: []string{"sh", "-euc", pieceScript, "kup", f.path, strconv.FormatInt(f.next, 10), strconv.Itoa(pieceBytes)}, Sudo: true,
		})
		if err != nil {
			return 0, err
		}
		f.have, f.over = r.Stdout, len(r.Stdout) < pieceBytes
		f.next++
	}
	if len(f.have) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.have)
	f.have = f.have[n:]
	return n, nil
}
