package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// Store is a database that an etcd was started on, by hand and not as a static pod.
type Store interface {
	// Count gives the newest revision and how many keys live at it.
	Count(ctx context.Context) (revision, keys int64, err error)
	// Hash gives the hash at a revision and the revision it is compacted at.
	Hash(revision int64) (hash uint32, compacted int64, err error)
	Compact(ctx context.Context, revision int64) error
	Close() error
}

// The files of a restored data directory.
const (
	restoredDB = "member/snap/db"
	// restoredBump holds how far the revision was raised: the database itself is left
	// as it was.
	restoredBump = "member/wal/bump"
	// restoredToken is that of the new cluster.
	restoredToken = "member/wal/token"
)

// aside is the etcd that was started by hand; there is one at most.
type aside struct {
	store Store
	bump  int64
	stop  context.CancelFunc
}

// ctr mounts images, whose files are made up on the spot.
func (m *Machine) ctr(_ context.Context, p *shell.Process) int {
	words := p.Args[1:]
	for len(words) > 1 && (words[0] == "--address" || words[0] == "-n") {
		words = words[2:]
	}
	switch {
	case len(words) == 4 && words[0] == "images" && words[1] == "mount":
		return m.mountImage(p, words[2], p.Path(words[3]))
	case len(words) == 4 && words[0] == "images" && words[1] == "unmount" && words[2] == "--rm":
		if err := empty(p.FS, p.Path(words[3])); err != nil {
			return p.Errorf("%v", err)
		}
		return 0
	}
	return p.Errorf("hollow ctr does not know %s", strings.Join(words, " "))
}

func (m *Machine) mountImage(p *shell.Process, image, target string) int {
	name, tag, _ := strings.Cut(path.Base(image), ":")
	version, err := catalog.TagVersion(tag)
	if !m.runtime.has(image) || name != "etcd" || err != nil {
		return p.Errorf("image %q: not found", image)
	}
	bin := path.Join(target, "usr/local/bin")
	err = p.FS.MkdirAll(bin, 0o755)
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		if err == nil {
			err = p.FS.WriteFile(path.Join(bin, name), []byte(version.Bare()+"\n"), 0o755)
		}
	}
	if err != nil {
		return p.Errorf("%v", err)
	}
	return 0
}

// programVersion is what the program's file, out of an image, says.
func programVersion(p *shell.Process) (string, bool) {
	text, err := p.FS.ReadFile(p.Path(p.Args[0]))
	return strings.TrimSpace(string(text)), err == nil && strings.Contains(p.Args[0], "/")
}

// etcdutl is etcdutl snapshot restore.
func (m *Machine) etcdutl(_ context.Context, p *shell.Process) int {
	if _, there := programVersion(p); !there {
		return notFound(p)
	}
	if len(p.Args) < 4 || p.Args[1] != "snapshot" || p.Args[2] != "restore" {
		return p.Errorf("hollow etcdutl knows snapshot restore only")
	}
	if p.Args[3] == "--help" {
		_, _ = fmt.Fprint(p.Stdout, "Restores an etcd member snapshot to an etcd directory\n      --bump-revision uint\n      --mark-compacted\n")
		return 0
	}
	flags, files := flagsOf(p.Args[3:], "mark-compacted")
	if len(files) != 1 {
		return said(p, "snapshot restore requires exactly one argument")
	}
	raw, err := p.FS.ReadFile(p.Path(files[0]))
	if err != nil {
		return said(p, "%v", err)
	}
	if len(raw)%512 != sha256.Size {
		return said(p, "snapshot missing hash but --skip-hash-check=false")
	}
	body, trailer := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], trailer) {
		return said(p, "expected sha256 %v, got %v", trailer, sum[:])
	}
	dir := p.Path(flags["data-dir"])
	if _, err := p.FS.Stat(dir); err == nil {
		return said(p, "data-dir %q not empty or could not be read", dir)
	}
	for name, content := range map[string][]byte{restoredDB: body, restoredBump: []byte(flags["bump-revision"]), restoredToken: []byte(flags["initial-cluster-token"])} {
		if err := writeBelow(p, dir, name, content); err != nil {
			return said(p, "%v", err)
		}
	}
	return 0
}

func writeBelow(p *shell.Process, dir, name string, content []byte) error {
	file := path.Join(dir, name)
	if err := p.FS.MkdirAll(path.Dir(file), fs.FileMode(0o700)); err != nil {
		return err
	}
	return p.FS.WriteFile(file, content, 0o600)
}

// said is how etcd's programs give up.
func said(p *shell.Process, format string, args ...any) int {
	_, _ = fmt.Fprintf(p.Stderr, "Error: "+format+"\n", args...)
	return 1
}

// flagsOf takes --name value apart from operands; the switches have no value.
func flagsOf(words []string, switches ...string) (flags map[string]string, operands []string) {
	flags = map[string]string{}
	for i := 0; i < len(words); i++ {
		name, isFlag := strings.CutPrefix(words[i], "--")
		value, joined := "", false
		if isFlag {
			name, value, joined = strings.Cut(name, "=")
		}
		switch {
		case !isFlag:
			operands = append(operands, words[i])
		case joined:
			flags[name] = value
		case len(switches) > 0 && name == switches[0] || i+1 == len(words):
			flags[name] = "true"
		default:
			i++
			flags[name] = words[i]
		}
	}
	return flags, operands
}

// etcd runs on a data directory until it is killed. A member is a static pod, and
// no business of this one's.
func (m *Machine) etcd(ctx context.Context, p *shell.Process) int {
	version, there := programVersion(p)
	if !there {
		return notFound(p)
	}
	if len(p.Args) == 2 && p.Args[1] == "--version" {
		_, _ = fmt.Fprintf(p.Stdout, "etcd Version: %s\nGit SHA: hollow\n", version)
		return 0
	}
	flags, _ := flagsOf(p.Args[1:])
	dir := p.Path(flags["data-dir"])
	db, err := p.FS.ReadFile(path.Join(dir, restoredDB))
	if err != nil || m.cfg.OpenStore == nil {
		return said(p, "no data in %s: %v", dir, err)
	}
	store, err := m.cfg.OpenStore(db)
	if err != nil {
		return said(p, "%v", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	raised, _ := p.FS.ReadFile(path.Join(dir, restoredBump))
	bump, _ := strconv.ParseInt(string(raised), 10, 64) // none: 0
	m.setAside(&aside{store: store, bump: bump, stop: stop})
	<-ctx.Done()
	m.setAside(nil) // waits for who is asking
	if err := store.Close(); err != nil {
		return said(p, "%v", err)
	}
	return 0
}

func (m *Machine) setAside(a *aside) {
	m.byHand.Lock()
	defer m.byHand.Unlock()
	m.aside = a
}

// kill ends the etcd that was started by hand: other processes have no ids.
func (m *Machine) kill(_ context.Context, p *shell.Process) int {
	m.byHand.Lock()
	defer m.byHand.Unlock()
	if len(p.Args) > 2 && p.Args[1] == "-0" || m.aside == nil {
		return 0
	}
	m.aside.stop()
	return 0
}

// etcdctl asks the etcd that was started by hand. The store is not closed
// while it does.
func (m *Machine) etcdctl(ctx context.Context, p *shell.Process) int {
	flags, words := flagsOf(p.Args[1:], "prefix")
	m.byHand.Lock()
	defer m.byHand.Unlock()
	if m.aside == nil {
		return said(p, "context deadline exceeded")
	}
	if err := m.answerAside(ctx, p, flags, strings.Join(words, " ")); err != nil {
		return said(p, "%v", err)
	}
	return 0
}

func (m *Machine) answerAside(ctx context.Context, p *shell.Process, flags map[string]string, asked string) error {
	switch {
	case asked == "endpoint health":
		return nil
	case strings.HasPrefix(asked, "get "):
		revision, keys, err := m.aside.store.Count(ctx)
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, "\"Revision\" : %d\n\"More\" : false\n\"Count\" : %d\n", revision+m.aside.bump, keys)
		}
		return err
	case strings.HasPrefix(asked, "endpoint hashkv"):
		at, err := strconv.ParseInt(flags["rev"], 10, 64)
		if err != nil {
			return err
		}
		hash, compacted, err := m.aside.store.Hash(at)
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, "[{\"HashKV\":{\"header\":{\"revision\":%d},\"hash\":%d,\"compact_revision\":%d}}]\n", at, hash, compacted)
		}
		return err
	case strings.HasPrefix(asked, "compaction"):
		at, err := strconv.ParseInt(flags["physical"], 10, 64)
		if err != nil {
			return err
		}
		return m.aside.store.Compact(ctx, at)
	}
	return fmt.Errorf("hollow etcdctl does not know %s", asked)
}

// ip is ip link set lo up.
func ip(_ context.Context, p *shell.Process) int {
	if strings.Join(p.Args[1:], " ") != "link set lo up" {
		return p.Errorf("hollow ip knows link set lo up only")
	}
	return 0
}

// restored has the member take over data that were restored into its directory, once.
func (m *Machine) restored(version string) error {
	file := func(name string) string { return path.Join(manifest.EtcdData, name) }
	db, err := m.fs.ReadFile(file(restoredDB))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	raised, err := m.fs.ReadFile(file(restoredBump))
	if err != nil {
		return err
	}
	token, err := m.fs.ReadFile(file(restoredToken))
	if err != nil {
		return err
	}
	bump, _ := strconv.ParseInt(string(raised), 10, 64) // none: 0
	if err := m.cfg.Etcd.Restore(db, bump, string(token), version); err != nil {
		return err
	}
	return errors.Join(m.fs.Remove(file(restoredDB)), m.fs.MkdirAll(memberData, 0o700)) // the member has it
}
