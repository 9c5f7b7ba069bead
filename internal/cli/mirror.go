package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/snapshot"
	"github.com/kup-project/kup/internal/step"
)

// mirror keeps a run's plan, journal and baselines on every control plane and its
// snapshots on two of them, readable by root only, so that the run can be
// understood and taken over without the machine that began it. It is brought up to
// date before every mutation. A control plane that cannot be reached is told of and
// left behind; with none reached the run stops, since nobody could take it over. A
// host that another run owns is not written to: that run's copies are there.
type mirror struct {
	run   string
	epoch int64
	local string // the run's directory here
	there string // and on the hosts
	note  func(text string)

	mu    sync.Mutex // one update at a time
	peers []*peer
	kept  map[string]bool // digests of snapshots that are on enough hosts
}

// peer is one control plane; during an update only its own goroutine touches it.
type peer struct {
	host  remote.Host
	known bool            // it has the plan and sent bytes of the journal
	sent  int64           // bytes
	files map[string]bool // digests of small artefacts that it has
	err   error           // of the last update
}

// copies is on how many control planes a snapshot is kept.
const copies = 2

func newMirror(run string, epoch int64, local string, hosts []remote.Host, note func(string)) *mirror {
	m := &mirror{run: run, epoch: epoch, local: local, there: path.Join(detached.Base, run), note: note, kept: map[string]bool{}}
	for _, h := range hosts {
		m.peers = append(m.peers, &peer{host: h, files: map[string]bool{}})
	}
	return m
}

// The scripts begin with the base directory and the epoch, and change nothing on a
// host whose owner has another epoch.
const (
	ownedScript = `umask 077
who='' had=''
[ ! -f "$1/owner" ] || read -r who had <"$1/owner"
[ "$had" = "$2" ] || { echo "$who $had"; exit 8; }
`
	foreign = 8
	// appendScript appends standard input to the file $3 of the size $4.
	appendScript = ownedScript + `[ "$(stat -c %s "$3" 2>/dev/null)" = "$4" ] || exit 9
cat >>"$3"
sync "$3"`
	otherSize = 9
	// storeScript writes standard input, $4 bytes, to the file $3, which is whole or
	// as it was.
	storeScript = ownedScript + `mkdir -p "${3%/*}"
cat >"$3.part"
[ "$(stat -c %s "$3.part")" = "$4" ] || exit 7
sync "$3.part"
mv "$3.part" "$3"
sync "${3%/*}"`
)

// sync brings the control planes up to date with the journal and the artefacts.
func (m *mirror) sync(ctx context.Context, artefacts []journal.Artefact) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.peers) == 0 {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(m.local, journal.File))
	if err != nil {
		return fmt.Errorf("mirror the journal: %w", err)
	}
	var group errgroup.Group
	for _, p := range m.peers {
		group.Go(func() error {
			p.err = m.update(ctx, p, content, artefacts)
			return nil
		})
	}
	_ = group.Wait() // errors are kept by peer
	if err := m.missed(); err != nil {
		return err
	}
	for _, a := range artefacts {
		if isSnapshot(a) && !m.kept[a.Digest] {
			if err := m.keep(ctx, a); err != nil {
				return err
			}
			m.kept[a.Digest] = true
		}
	}
	return nil
}

func isSnapshot(a journal.Artefact) bool { return a.Name == step.ArtefactSnapshot && a.Node == "" }

// isSmall tells of artefacts that are files of this machine, a baseline's or a
// comparison's: without them another machine could not go on.
func isSmall(a journal.Artefact) bool { return a.Node == "" && a.Path != "" && !isSnapshot(a) }

// missed tells of peers that were not updated; an error when all of them, or when
// one belongs to another run by now.
func (m *mirror) missed() error {
	var errs []error
	for _, p := range m.peers {
		if is[*detached.FencedError](p.err) {
			return p.err
		}
		if p.err != nil {
			m.note(fmt.Sprintf("plan and journal are not mirrored on %s: %v", p.host, p.err))
			errs = append(errs, p.err)
		}
	}
	if len(errs) == len(m.peers) {
		return fmt.Errorf("no control plane could be told how far the run is, so nothing further is changed: %w", errors.Join(errs...))
	}
	return nil
}

// update gives a peer the small artefacts it lacks, then the part of the journal
// that it lacks, or all of it: a journal speaks only of what is there.
func (m *mirror) update(ctx context.Context, p *peer, content []byte, artefacts []journal.Artefact) error {
	for _, a := range artefacts {
		if !isSmall(a) || p.files[a.Digest] {
			continue
		}
		if err := m.storeFile(ctx, p, a.Path); err != nil {
			return err
		}
		p.files[a.Digest] = true
	}
	size := int64(len(content))
	if p.known && p.sent == size {
		return nil
	}
	if p.known && p.sent < size {
		_, err := m.do(ctx, p, appendScript, journal.File, p.sent, bytes.NewReader(content[p.sent:]))
		if err == nil {
			p.sent = size
			return nil
		}
		// A lost reply leaves open what the file holds now: it is written anew.
		p.known = false
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Code != otherSize {
			return err
		}
	}
	err := m.storeFile(ctx, p, filepath.Join(m.local, planFile))
	if err == nil {
		_, err = m.do(ctx, p, storeScript, journal.File, size, bytes.NewReader(content))
	}
	p.known, p.sent = err == nil, size
	return err
}

// do runs one of the scripts for a file of the run on a peer.
func (m *mirror) do(ctx context.Context, p *peer, script, name string, size int64, in io.Reader) (remote.Result, error) {
	result, err := p.host.Run(ctx, remote.Command{
		Argv: []string{"sh", "-euc", script, "kup", path.Dir(m.there), strconv.FormatInt(m.epoch, 10), path.Join(m.there, name), strconv.FormatInt(size, 10)},
		Sudo: true, Stdin: in,
	})
	var exit *remote.ExitError
	if errors.As(err, &exit) && exit.Code == foreign {
		owner, epoch, _ := strings.Cut(strings.TrimSpace(string(exit.Stdout)), " ")
		had, _ := strconv.ParseInt(epoch, 10, 64)
		return result, &detached.FencedError{Host: p.host.String(), Run: m.run, Epoch: m.epoch, Owner: owner, OwnerEpoch: had}
	}
	return result, err
}

// storeFile copies a file of this machine to a peer.
func (m *mirror) storeFile(ctx context.Context, p *peer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = m.do(ctx, p, storeScript, filepath.Base(file), info.Size(), f)
	}
	return errors.Join(err, f.Close())
}

// keep sees to it that a snapshot is on as many peers as it should be, as far as
// there are; on none is an error. One that this machine does not have, because
// another one began the run, is only looked for.
func (m *mirror) keep(ctx context.Context, a journal.Artefact) error {
	stored := 0
	var errs []error
	var lack []*peer
	for _, p := range m.peers {
		has, err := m.has(ctx, p, a)
		switch {
		case err != nil:
			errs = append(errs, err)
		case has:
			stored++
		default:
			lack = append(lack, p)
		}
	}
	for _, p := range lack {
		if stored >= copies {
			break
		}
		if err := m.storeSnapshot(ctx, p, a.Path); err != nil {
			errs = append(errs, err)
			continue
		}
		stored++
	}
	if stored == 0 {
		return fmt.Errorf("no control plane has a copy of the snapshot: %w", errors.Join(errs...))
	}
	if len(errs) > 0 {
		m.note(fmt.Sprintf("the snapshot is kept on %d control plane(s) only: %v", stored, errors.Join(errs...)))
	}
	return nil
}

// storeSnapshot copies a snapshot to a peer, and its description first: whoever finds
// the copy finds what it is to be held against. Snapshots of older kups have none.
func (m *mirror) storeSnapshot(ctx context.Context, p *peer, file string) error {
	err := m.storeFile(ctx, p, file+snapshot.DescriptionSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.storeFile(ctx, p, file)
}

// has tells whether a peer keeps a whole copy of an artefact.
func (m *mirror) has(ctx context.Context, p *peer, a journal.Artefact) (bool, error) {
	const script = `[ ! -f "$1" ] || sha256sum "$1"`
	result, err := p.host.Run(ctx, remote.Command{
		Argv: []string{"sh", "-euc", script, "kup", path.Join(m.there, filepath.Base(a.Path))}, Sudo: true,
	})
	sum, _, _ := strings.Cut(string(result.Stdout), " ")
	return err == nil && "sha256:"+sum == a.Digest, err
}

// anyHas tells whether some peer keeps a whole copy of an artefact.
func (m *mirror) anyHas(ctx context.Context, a journal.Artefact) bool {
	for _, p := range m.peers {
		if has, err := m.has(ctx, p, a); err == nil && has {
			return true
		}
	}
	return false
}
