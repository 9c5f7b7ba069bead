package apiserver

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxUnfinished is how many lists can be in the middle of being read page by page.
const maxUnfinished = 32

// pages are the lists of which more pages can be asked for, as they were when the
// first page was: oldest first.
type pages []unfinished

type unfinished struct {
	id       string
	revision int64
	records  []*record
}

// page is a part of a list.
type page struct {
	records  []*record
	revision int64
	next     string // what asks for the next page; empty: there is none
	left     int    // how many objects follow
}

// token is what a continue parameter holds.
type token struct {
	ID   string `json:"id"`
	From int    `json:"from"`
}

// firstPage lists what the selector wants, limit objects at most; 0: all.
func (s *Store) firstPage(gvr schema.GroupVersionResource, want selector, limit int) (page, error) {
	records, revision, err := s.list(gvr, want.namespace)
	if err != nil {
		return page{}, err
	}
	u := unfinished{revision: revision, records: want.choose(records)}
	if limit > 0 && limit < len(u.records) {
		u.id = rand.Text()
		s.mu.Lock()
		s.pages = append(s.pages, u)
		s.pages = slices.Delete(s.pages, 0, max(0, len(s.pages)-maxUnfinished))
		s.mu.Unlock()
	}
	return u.page(0, limit), nil
}

// nextPage goes on with a list. One that was forgotten meanwhile has expired.
func (s *Store) nextPage(next string, limit int) (page, error) {
	raw, err := base64.RawURLEncoding.DecodeString(next)
	var t token
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return page{}, apierrors.NewBadRequest("continue key is not valid: " + next)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.pages {
		if u.id == t.ID && t.From >= 0 && t.From <= len(u.records) {
			return u.page(t.From, limit), nil
		}
	}
	return page{}, apierrors.NewResourceExpired(fmt.Sprintf("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, now at resource version %d.", s.revision))
}

func (u unfinished) page(from, limit int) page {
	to := len(u.records)
	if limit > 0 {
		to = min(to, from+limit)
	}
	p := page{records: u.records[from:to], revision: u.revision, left: len(u.records) - to}
	if p.left > 0 {
		raw, _ := json.Marshal(token{u.id, to}) //nolint:errcheck // a text and a number
		p.next = base64.RawURLEncoding.EncodeToString(raw)
	}
	return p
}
