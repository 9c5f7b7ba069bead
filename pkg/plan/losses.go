package plan

import "strings"

// Names of losses that stand for many.
const (
	// LossAny: all objects of a resource, none of which could be looked through.
	LossAny = "*"
	// LossCounted: what controllers write by themselves is counted and not named.
	LossCounted = "(all)"
	// LossEverything: nothing could be looked through.
	LossEverything = "(everything since)"
)

// Called is the object as people call it: "ConfigMap shop/web".
func (l Loss) Called() string {
	name := l.Name
	if l.Namespace != "" {
		name = l.Namespace + "/" + name
	}
	return l.Resource + " " + name
}

// place is what losses of one kind are told apart by.
type place struct {
	kind                            LossKind
	resource, namespace, name, node string
}

func (l Loss) place() place { return place{l.Kind, l.Resource, l.Namespace, l.Name, l.Node} }

// fields are those that the object loses.
func (l Loss) fields() []string { return strings.Split(l.Detail, ", ") }

// NewLosses are the losses of now that were not accepted: of other objects, or of further
// fields. Whoever accepted that something could not be looked through accepted what is
// in it. What controllers write by themselves is never new; and of an object that a
// controller made, a field is accepted with the same field of its owner's template, or of
// another object of that owner: a drain has pods made anew under other names.
func NewLosses(accepted, now []Loss) []Loss {
	c := newConsent(accepted, now)
	var out []Loss
	for _, l := range now {
		if !c.covers(l, mostOwners) {
			out = append(out, l)
		}
	}
	return out
}

// mostOwners bounds how far owners are followed: CronJob, Job, Pod.
const mostOwners = 4

// consent is what was accepted, and who owns what.
type consent struct {
	everything bool
	unread     map[string]bool // resources
	fields     map[place]map[string]bool
	siblings   map[place]map[string]bool // by their owner in the place of the name
	now        map[place]Loss            // what loses fields, as owners are called
}

func newConsent(accepted, now []Loss) *consent {
	c := &consent{unread: map[string]bool{}, fields: map[place]map[string]bool{}, siblings: map[place]map[string]bool{}, now: map[place]Loss{}}
	for _, l := range accepted {
		if l.Kind == LossUnread {
			c.everything = c.everything || l.Name == LossEverything
			c.unread[l.Resource] = c.unread[l.Resource] || l.Name == LossAny
		}
		note(c.fields, l.place(), l)
		if l.Owner != "" {
			note(c.siblings, l.sibling(), l)
		}
	}
	for _, l := range now {
		if l.Kind == LossField {
			c.now[place{namespace: l.Namespace, name: l.Resource + "/" + l.Name}] = l
		}
	}
	return c
}

func note(in map[place]map[string]bool, at place, l Loss) {
	if in[at] == nil {
		in[at] = map[string]bool{}
	}
	for _, f := range l.fields() {
		in[at][f] = true
	}
}

// sibling is the place of all objects of one resource that have the same owner.
func (l Loss) sibling() place {
	return place{kind: l.Kind, resource: l.Resource, namespace: l.Namespace, name: l.Owner}
}

func (c *consent) covers(l Loss, owners int) bool {
	switch {
	case c.everything, c.unread[l.Resource], l.Name == LossCounted:
		return true
	case l.Kind != LossField:
		return c.fields[l.place()] != nil
	}
	for _, f := range l.fields() {
		if c.fields[l.place()][f] {
			continue
		}
		if l.Owner == "" || (!c.siblings[l.sibling()][f] && !c.template(l, f, owners)) {
			return false
		}
	}
	return true
}

// template tells whether the field comes from the template of an owner that was accepted
// with it.
func (c *consent) template(l Loss, field string, owners int) bool {
	owner, loses := c.now[place{namespace: l.Namespace, name: l.Owner}]
	if !loses || owners == 0 || !c.covers(owner, owners-1) {
		return false
	}
	for _, f := range owner.fields() {
		if f == field || strings.HasSuffix(f, "."+field) {
			return true
		}
	}
	return false
}
