package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// TamperedError is a plan whose content is not what its ID was computed from.
type TamperedError struct {
	ID   string // what the plan says
	Want string // what its content gives
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("the plan was changed after it was made: its id is %s, its content gives %s; make a new one with `kup plan`", short(e.ID), short(e.Want))
}

// Seal sets the plan's ID: "sha256:" and the hash of the canonical JSON of
// everything else in it.
func Seal(p *Plan) error {
	id, err := digest(p)
	if err != nil {
		return err
	}
	p.ID = id
	return nil
}

// Verify tells whether the plan is as it was sealed; *[TamperedError] when not.
func Verify(p *Plan) error {
	id, err := digest(p)
	if err != nil {
		return err
	}
	if id != p.ID {
		return &TamperedError{ID: p.ID, Want: id}
	}
	return nil
}

// digest relies on encoding/json writing fields in the order of the types and
// the keys of maps sorted.
func digest(p *Plan) (string, error) {
	unsealed := *p
	unsealed.ID = ""
	b, err := json.Marshal(&unsealed)
	if err != nil {
		return "", fmt.Errorf("seal plan: %w", err)
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func short(id string) string {
	if id == "" {
		return "missing"
	}
	return id[:min(len(id), len("sha256:")+12)]
}
