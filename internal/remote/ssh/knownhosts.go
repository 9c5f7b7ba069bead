package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
)

// shared is what the hosts of one [ClientConfig] have in common, so that a thousand
// of them do not each keep the trusted keys of all the others, nor each decrypt the
// same identity.
type shared struct {
	trusted *trusted
	keys    *keyring
}

func newShared() *shared {
	return &shared{trusted: &trusted{read: map[string]*trustedFiles{}}, keys: newKeyring()}
}

// trusted are the known_hosts files that were read.
type trusted struct {
	mu   sync.Mutex
	read map[string]*trustedFiles // by the names of the files
}

// trustedFiles are known_hosts files as they were when they were read.
type trustedFiles struct {
	stamps []stamp
	keys   *knownhosts.HostKeyDB
}

// stamp tells one state of a file from another; the zero stamp is that of a file
// which does not exist.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(file string) (stamp, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// in gives the keys in known_hosts files. They are read again when one of them has
// changed: the operator may have mended it.
func (t *trusted) in(files []string) (*knownhosts.HostKeyDB, error) {
	stamps := make([]stamp, len(files))
	var present []string
	for i, f := range files {
		var err error
		if stamps[i], err = stampOf(f); err != nil {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
		if stamps[i] != (stamp{}) {
			present = append(present, f)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	name := strings.Join(files, "\x00")
	if before := t.read[name]; before != nil && slices.Equal(before.stamps, stamps) {
		return before.keys, nil
	}
	keys, err := knownhosts.NewDB(present...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w; mend or remove that line", err)
	}
	t.read[name] = &trustedFiles{stamps: stamps, keys: keys}
	return keys, nil
}
