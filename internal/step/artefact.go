package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kup-project/kup/internal/remote"
)

// Artefact is something that a run made once and relies on later.
type Artefact struct {
	Name   string // see the Artefact constants
	Hop    string // 1.34
	Node   string // where Path is; empty: the operator's machine
	Path   string // empty: the record itself is all there is
	Digest string // "sha256:…" of the file at Path
}

// The artefacts that steps make.
const (
	ArtefactSnapshot  = "snapshot"
	ArtefactRehearsal = "rehearsal"
	ArtefactBackup    = "backup"
	ArtefactBaseline  = "baseline"
	ArtefactResult    = "result"
	// ArtefactObjects and ArtefactSchema are of the API before the hop: the objects that
	// kubeadm changes, and what the API server serves, compressed.
	ArtefactObjects = "objects"
	ArtefactSchema  = "schema"
	// ArtefactSchedulable and ArtefactCordoned record how kup found a node that
	// it then cordoned. They have no file.
	ArtefactSchedulable = "found-schedulable"
	ArtefactCordoned    = "found-cordoned"
)

// Artefacts records artefacts durably.
type Artefacts interface {
	Put(ctx context.Context, a Artefact) error
	Get(hop, name, node string) (Artefact, bool)
	// Dir is the run's own directory on the operator's machine, mode 0700.
	Dir() string
}

// keeper reads, writes and checks artefacts.
type keeper struct {
	artefacts Artefacts
	hosts     Hosts
}

// Verify tells whether an artefact's file is there and is what was recorded:
// *[DamagedError] when not. A run is resumed only when all its artefacts are whole.
func Verify(ctx context.Context, hosts Hosts, a Artefact) error {
	if a.Path == "" {
		return nil
	}
	var got string
	var err error
	if a.Node == "" {
		got, err = Digest(a.Path)
	} else {
		got, err = remoteDigest(ctx, hosts, a.Node, a.Path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &DamagedError{Artefact: a}
	}
	if err != nil {
		return fmt.Errorf("check %s of hop %s: %w", a.Name, a.Hop, err)
	}
	if got != a.Digest {
		return &DamagedError{Artefact: a, Got: got}
	}
	return nil
}

// has tells whether the artefact was recorded; an error when it was and is damaged.
func (k keeper) has(ctx context.Context, hop, name, node string) (bool, error) {
	a, ok := k.artefacts.Get(hop, name, node)
	if !ok {
		return false, nil
	}
	return true, Verify(ctx, k.hosts, a)
}

// path is where a local artefact of the hop is kept.
func (k keeper) path(name, hop string) string {
	return filepath.Join(k.artefacts.Dir(), name+"-"+hop+".json")
}

// save writes v as a local JSON file, durably, and records it.
func (k keeper) save(ctx context.Context, name, hop string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s of hop %s: %w", name, hop, err)
	}
	return k.keep(ctx, name, hop, k.path(name, hop), append(b, '\n'))
}

// keep writes a local file, durably, and records it.
func (k keeper) keep(ctx context.Context, name, hop, path string, b []byte) error {
	if err := writeDurably(path, b); err != nil {
		return fmt.Errorf("%s of hop %s: %w", name, hop, err)
	}
	sum := sha256.Sum256(b)
	return k.artefacts.Put(ctx, Artefact{Name: name, Hop: hop, Path: path, Digest: digestString(sum[:])})
}

// load reads what save wrote; fs.ErrNotExist when the run has none.
func load(artefacts Artefacts, name, hop string, v any) error {
	a, ok := artefacts.Get(hop, name, "")
	if !ok {
		return fmt.Errorf("%s of hop %s was not recorded: %w", name, hop, fs.ErrNotExist)
	}
	b, err := os.ReadFile(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &DamagedError{Artefact: a}
	}
	if err != nil {
		return fmt.Errorf("%s of hop %s: %w", name, hop, err)
	}
	sum := sha256.Sum256(b)
	if got := digestString(sum[:]); got != a.Digest {
		return &DamagedError{Artefact: a, Got: got}
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s of hop %s, %s: %w", name, hop, a.Path, err)
	}
	return nil
}

func writeDurably(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".kup-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil //nolint:nilerr // the file is whole; only its name may not survive a power cut
	}
	_ = d.Sync() // the same
	return d.Close()
}

// Digest is that of a file of this machine, "sha256:...".
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return digestString(h.Sum(nil)), nil
}

// remoteDigest gives fs.ErrNotExist for a file that is not there.
func remoteDigest(ctx context.Context, hosts Hosts, node, path string) (string, error) {
	h, err := hosts.Host(node)
	if err != nil {
		return "", err
	}
	const say = `[ -e "$1" ] || exit 3; sha256sum "$1"`
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", say, "kup", path}, Sudo: true})
	var exit *remote.ExitError
	if errors.As(err, &exit) && exit.Code == 3 {
		return "", fmt.Errorf("%s: %s: %w", h, path, fs.ErrNotExist)
	}
	if err != nil {
		return "", err
	}
	return sumOutput(string(res.Stdout))
}

// sumOutput reads the digest from the last line that sha256sum printed.
func sumOutput(out string) (string, error) {
	word, _, _ := strings.Cut(lastLine([]byte(out)), " ")
	raw, err := hex.DecodeString(word)
	if err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("sha256sum printed %q", lastLine([]byte(out)))
	}
	return digestString(raw), nil
}

func digestString(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }
