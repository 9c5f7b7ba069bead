package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/step"
)

// mirror keeps a run's plan and journal on every control plane and its snapshots
// on two of them, readable by root only, so that the run can be understood and
// taken over without the machine that began it. It is brought up to date before
// every mutation. A control plane that cannot be reached is told of and left
// behind; with none reached the run stops, since nobody could take it over.
type mirror struct {
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
	known bool  // it has the plan and sent bytes of the journal
	sent  int64 // bytes
	err   error // of the last update
}

// copies is on how many control planes a snapshot is kept.
const copies = 2

func newMirror(run, local string, hosts []remote.Host, note func(string)) *mirror {
	m := &mirror{local: local, there: path.Join(detached.Base, run), note: note, kept: map[string]bool{}}
	for _, h := range hosts {
		m.peers = append(m.peers, &peer{host: h})
	}
	return m
}

const (
	// appendScript appends standard input to the file $1 of the size $2; exit
	// code 9 when it has another size or is not there.
	appendScript = `umask 077
[ "$(stat -c %s "$1" 2>/dev/null)" = "$2" ] || exit 9
cat >>"$1"
sync "$1"`
	otherSize = 9
	// storeScript writes standard input to the file $1, which is whole or absent.
	storeScript = `umask 077
mkdir -p "$(dirname "$1")"
cat >"$1.part"
sync "$1.part"
mv "$1.part" "$1"`
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
			p.err = m.update(ctx, p, content)
			return nil
		})
	}
	_ = group.Wait() // errors are kept by peer
	if err := m.missed(); err != nil {
		return err
	}
	for _, a := range artefacts {
		if a.Name == step.ArtefactSnapshot && a.Node == "" && !m.kept[a.Digest] {
			if err := m.keep(ctx, a); err != nil {
				return err
			}
			m.kept[a.Digest] = true
		}
	}
	return nil
}

// missed tells of peers that were not updated; an error when all of them.
func (m *mirror) missed() error {
	var errs []error
	for _, p := range m.peers {
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

// update gives a peer the part of the journal it lacks, or everything.
func (m *mirror) update(ctx context.Context, p *peer, content []byte) error {
	file, size := path.Join(m.there, journal.File), int64(len(content))
	if p.known && p.sent == size {
		return nil
	}
	if p.known && p.sent < size {
		_, err := p.host.Run(ctx, remote.Command{
			Argv: []string{"sh", "-euc", appendScript, "kup", file, strconv.FormatInt(p.sent, 10)},
			Sudo: true, Stdin: bytes.NewReader(content[p.sent:]),
		})
		var exit *remote.ExitError
		if err == nil {
			p.sent = size
			return nil
		}
		// A lost reply leaves open what the file holds now: it is written anew.
		p.known = false
		if !errors.As(err, &exit) || exit.Code != otherSize {
			return err
		}
	}
	text, err := os.ReadFile(filepath.Join(m.local, planFile))
	if err == nil {
		err = p.host.WriteFile(ctx, path.Join(m.there, planFile), text, 0o600)
	}
	if err == nil {
		err = p.host.WriteFile(ctx, file, content, 0o600)
	}
	p.known, p.sent = err == nil, size
	return err
}

// keep stores a snapshot on as many peers as it should be on, as far as there
// are; on none is an error.
func (m *mirror) keep(ctx context.Context, a journal.Artefact) error {
	stored := 0
	var errs []error
	for _, p := range m.peers {
		if stored == copies {
			break
		}
		if err := m.store(ctx, p, a.Path); err != nil {
			m.note(fmt.Sprintf("the snapshot is not kept on %s: %v", p.host, err))
			errs = append(errs, err)
			continue
		}
		stored++
	}
	if stored == 0 {
		return fmt.Errorf("no control plane could keep a copy of the snapshot: %w", errors.Join(errs...))
	}
	return nil
}

func (m *mirror) store(ctx context.Context, p *peer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = p.host.Run(ctx, remote.Command{
		Argv: []string{"sh", "-euc", storeScript, "kup", path.Join(m.there, filepath.Base(file))}, Sudo: true, Stdin: f,
	})
	return errors.Join(err, f.Close())
}
