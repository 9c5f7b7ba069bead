package e2e

import (
	"slices"
	"sort"
	"sync"
	"time"
)

// window is a time in which a node was unschedulable, as wide as observation
// allows: from the last time it was seen schedulable before, to the first time
// it was seen so again. Until zero: not ended.
type window struct {
	Node        string
	From, Until time.Time
}

func (w window) contains(from, to time.Time) bool {
	return !to.Before(w.From) && (w.Until.IsZero() || !from.After(w.Until))
}

// drains keeps the book of which node could be scheduled to when. It is safe
// for concurrent use.
type drains struct {
	mu       sync.Mutex
	lastFree map[string]time.Time
	open     map[string]int // index into windows
	windows  []window
	free     []string
}

func newDrains() *drains {
	return &drains{lastFree: map[string]time.Time{}, open: map[string]int{}}
}

// observe takes one look at all nodes.
func (d *drains) observe(at time.Time, unschedulable map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = d.free[:0:0]
	for name, out := range unschedulable {
		i, isOpen := d.open[name]
		if out && !isOpen {
			from := d.lastFree[name]
			if from.IsZero() {
				from = at
			}
			d.open[name] = len(d.windows)
			d.windows = append(d.windows, window{Node: name, From: from})
		}
		if out {
			continue
		}
		if isOpen {
			d.windows[i].Until = at
			delete(d.open, name)
		}
		d.lastFree[name] = at
		d.free = append(d.free, name)
	}
	sort.Strings(d.free)
}

// schedulable names the nodes that were so at the last look.
func (d *drains) schedulable() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.free)
}

// during says whether the node may have been unschedulable at some time between
// from and to.
func (d *drains) during(name string, from, to time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.windows, func(w window) bool { return w.Node == name && w.contains(from, to) })
}

// all lists the windows in the order they began to be seen.
func (d *drains) all() []window {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.windows)
}
