package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kind says what a record tells.
type Kind string

// The kinds of record.
const (
	RunStarted  Kind = "run-started" // first record of a file: Plan, Cluster, Holder, Epoch, Accepted, Undoes
	RunResumed  Kind = "run-resumed" // Holder, Epoch
	StepBefore  Kind = "step-before" // Step, Attempt: written before anything is changed
	StepAfter   Kind = "step-after"  // Step, Attempt, Outcome, Error
	ArtefactPut Kind = "artefact"    // Artefact
	RunEnded    Kind = "run-ended"   // Outcome, Error; Run: the rollback that ended it
	// StepReopened tells that steps no longer stand: Steps, and Run, the rollback that
	// took them back.
	StepReopened Kind = "step-reopened"
)

// Outcome is how a step or a run ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"
	Stopped Outcome = "stopped" // at a step boundary, on request
	// RolledBack ends a run for good: another one took back what it did.
	RolledBack Outcome = "rolled-back"
	// Reopened is the outcome of a step whose effect was taken back: nothing that its
	// attempts left behind tells of it any more.
	Reopened Outcome = "reopened"
)

// Record is one line of the journal.
type Record struct {
	Seq      int       `json:"seq"` // from 1, without gaps
	At       time.Time `json:"at"`
	Kind     Kind      `json:"kind"`
	Plan     string    `json:"plan,omitempty"`
	Cluster  string    `json:"cluster,omitempty"`
	Run      string    `json:"run,omitempty"`
	Holder   string    `json:"holder,omitempty"`
	Epoch    int64     `json:"epoch,omitempty"`
	Step     string    `json:"step,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Outcome  Outcome   `json:"outcome,omitempty"`
	Error    string    `json:"error,omitempty"`
	Artefact *Artefact `json:"artefact,omitempty"`
	// Accepted are the preflight rules that the operator let through, by id, each
	// with the reason; in the first record of a file only.
	Accepted map[string]string `json:"accepted,omitempty"`
	// Undoes is the run that this one takes back; in the first record of a file only.
	Undoes string `json:"undoes,omitempty"`
	// Steps are those that no longer stand.
	Steps []string `json:"steps,omitempty"`
	// Sum chains the records: the digest of this record and of the Sum before it.
	Sum string `json:"sum"`
}

// Artefact is something a run made once and relies on later: a snapshot, a
// backup, a baseline.
type Artefact struct {
	Name   string `json:"name"`
	Hop    string `json:"hop,omitempty"`
	Node   string `json:"node,omitempty"` // where Path is; empty: the operator's machine
	Path   string `json:"path"`
	Digest string `json:"digest"` // "sha256:…"
}

// seal gives the line of a record that follows one with the given sum.
func seal(r Record, previous string) ([]byte, Record, error) {
	r.Sum = ""
	body, err := json.Marshal(r)
	if err != nil {
		return nil, r, fmt.Errorf("journal record %d: %w", r.Seq, err)
	}
	r.Sum = chain(previous, body)
	line, err := json.Marshal(r)
	if err != nil {
		return nil, r, fmt.Errorf("journal record %d: %w", r.Seq, err)
	}
	return append(line, '\n'), r, nil
}

// unseal reads one line and checks it against the sum before it.
func unseal(line []byte, previous string, seq int) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("not a record: %w", err)
	}
	sum := r.Sum
	r.Sum = ""
	body, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	r.Sum = sum
	if sum != chain(previous, body) {
		return r, fmt.Errorf("checksum does not match")
	}
	if r.Seq != seq {
		return r, fmt.Errorf("has number %d, want %d", r.Seq, seq)
	}
	if r.Kind == ArtefactPut && r.Artefact == nil {
		return r, errors.New("tells of an artefact and names none")
	}
	return r, nil
}

func chain(previous string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:12])
}
