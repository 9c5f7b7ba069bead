package ssh

import (
	"context"
	"errors"
	"sync"
)

// Trials keeps hosts that share an account from trying one wrong password all at
// once, which locks a central account: the first host tries it alone, and when
// sudo refuses it there no other host does. The zero value is ready for use, by any
// number of hosts.
type Trials struct {
	mu sync.Mutex
	of map[string]*trial // by user and password
}

type trial struct {
	turn     chan struct{} // held by the host that tries
	accepted bool
	refused  string // the host where sudo refused it; empty: nowhere
}

// errWrongPassword is what an attempt gives whose password sudo refused.
var errWrongPassword = errors.New("wrong password")

// attempt calls try, alone until the password was accepted somewhere. It gives the
// host where the password was refused before, and has not tried it then.
func (t *Trials) attempt(ctx context.Context, host, user string, password []byte, try func() error) (refused string, err error) {
	if t == nil {
		return "", try()
	}
	of := t.trial(user + "\x00" + string(password))
	select {
	case of.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if of.accepted || of.refused != "" {
		<-of.turn
		if of.refused != "" {
			return of.refused, errWrongPassword
		}
		return "", try()
	}
	defer func() { <-of.turn }()
	err = try()
	switch {
	case err == nil:
		of.accepted = true
	case errors.Is(err, errWrongPassword):
		of.refused = host
	}
	return "", err
}

func (t *Trials) trial(key string) *trial {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of[key]
	if of == nil {
		of = &trial{turn: make(chan struct{}, 1)}
		if t.of == nil {
			t.of = map[string]*trial{}
		}
		t.of[key] = of
	}
	return of
}
