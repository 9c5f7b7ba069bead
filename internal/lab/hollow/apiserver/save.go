package apiserver

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// saved is a store on paper.
type saved struct {
	Revision int64             `json:"revision"`
	Objects  []json.RawMessage `json:"objects"`
}

// MarshalJSON saves all objects with their versions and identities.
func (s *Store) MarshalJSON() ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := saved{Revision: s.revision}
	add := func(t *table) {
		for _, r := range t.list("") {
			out.Objects = append(out.Objects, r.raw)
		}
	}
	definitions := s.tables[definitionsResource.GroupResource()]
	add(definitions) // what they define can only be read after them
	for _, t := range s.sorted() {
		if t != definitions {
			add(t)
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON replaces what the store holds by what was saved. Whoever watches
// has to list again.
func (s *Store) UnmarshalJSON(raw []byte) error {
	var in saved
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	loaded := &Store{revision: in.Revision, tables: map[schema.GroupResource]*table{}}
	for _, r := range builtins() {
		loaded.tables[r.GroupResource()] = newTable(r, in.Revision)
	}
	for _, one := range in.Objects {
		if err := loaded.load(one); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.gone = true
		t.wake()
	}
	s.revision, s.tables, s.pages = in.Revision, loaded.tables, pages{}
	if s.watchers == nil {
		s.watchers = map[*subscription]bool{}
	}
	for sub := range s.watchers {
		sub.wake()
	}
	return nil
}

// Replace has the store hold these objects, as an API server finds them in an etcd that
// was restored with the revision raised. What was pending is lost, and whoever watches
// has to list again.
func (s *Store) Replace(objects [][]byte, raise int64) error {
	in := saved{Revision: 1}
	var others []json.RawMessage
	for _, raw := range objects {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("stored object: %w", err)
		}
		var revision int64
		if _, err := fmt.Sscan(o.GetResourceVersion(), &revision); err != nil {
			return fmt.Errorf("stored %s %s: resource version %q: %w", o.GetKind(), o.GetName(), o.GetResourceVersion(), err)
		}
		in.Revision = max(in.Revision, revision)
		if o.GetKind() == "CustomResourceDefinition" { // what they define can only be read after them
			in.Objects = append(in.Objects, raw)
		} else {
			others = append(others, raw)
		}
	}
	in.Revision += raise
	in.Objects = append(in.Objects, others...)
	content, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.UnmarshalJSON(content)
}

// load puts an object back as it was.
func (s *Store) load(raw json.RawMessage) error {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("saved object: %w", err)
	}
	var revision int64
	if _, err := fmt.Sscan(o.GetResourceVersion(), &revision); err != nil {
		return fmt.Errorf("saved %s %s: resource version %q: %w", o.GetKind(), o.GetName(), o.GetResourceVersion(), err)
	}
	for _, t := range s.tables {
		if t.resource.gvk() != o.GroupVersionKind() {
			continue
		}
		r, err := newRecord(o, revision)
		if err != nil {
			return err
		}
		t.put(r)
		s.defined(t.resource, "", r)
		return nil
	}
	return fmt.Errorf("saved %s %s: no such kind is served", o.GroupVersionKind(), o.GetName())
}
