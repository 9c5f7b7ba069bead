package stored

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
)

// Change says what became of an object between two copies of a store.
type Change string

// The changes.
const (
	Created Change = "created"
	Changed Change = "changed" // by more than its status
	Deleted Change = "deleted"

	Stops  Change = "stops"  // a pod that only runs in the later copy
	Starts Change = "starts" // one that only ran in the earlier
	Moves  Change = "moves"  // of the same name, on another node in the later

	Claimed  Change = "claimed"
	Released Change = "released"
)

// Differs is one object that differs.
type Differs struct {
	Change    Change
	Resource  string // "Deployment.apps"
	Namespace string
	Name      string
	Node      string // of a pod: where it is in the earlier copy; of one that stops, where it runs
	Detail    string
}

// Difference is what distinguishes two copies of a store.
type Difference struct {
	Revision int64 // the earlier copy's
	Live     int64 // the later copy's
	// Objects, Pods and Volumes are sorted by resource, namespace and name.
	Objects, Pods, Volumes []Differs
	// Rewritten counts, by resource, what controllers write by themselves.
	Rewritten map[string]Tally
}

// OlderError is a later copy that is older than the earlier one: it is of another store,
// or of a member that lags behind.
type OlderError struct {
	Revision int64 // the earlier copy's
	Live     int64 // the later copy's
}

func (e *OlderError) Error() string {
	return fmt.Sprintf("revision %d of what is stored now is below the snapshot's %d: this is not the store that the snapshot was taken of", e.Live, e.Revision)
}

// Tally is how many objects differ.
type Tally struct{ Created, Changed, Deleted int }

// rewritten are the resources that controllers and kubelets write anew by themselves.
var rewritten = map[string]bool{
	"events": true, "leases": true, "leasecandidates": true, "endpointslices": true, "services/endpoints": true,
	"masterleases": true, "peerserverleases": true, "ranges": true, "ipaddresses": true, "csinodes": true,
}

// Compare tells what the later copy of a store says otherwise than the earlier one, of
// the same store, before it. Objects below prefix count (empty: /registry), except the
// lock's. Memory grows with the number of keys, 16 bytes each, and of differing ones. A
// later copy below the earlier one's revision is an *[OlderError].
func Compare(ctx context.Context, earlier, later, prefix string) (Difference, error) {
	c := comparison{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, living: map[[2]uint64]struct{}{},
		suspects: map[string]Object{}, out: Difference{Rewritten: map[string]Tally{}},
	}
	var err error
	// The earlier copy's revision tells what of the later one is new. It is in its newest
	// row, which comes first.
	if c.out.Revision, err = newest(ctx, earlier); err != nil {
		return Difference{}, err
	}
	if c.out.Live, err = Objects(ctx, later, prefix, c.see); err != nil {
		return Difference{}, err
	}
	if c.out.Live < c.out.Revision {
		return Difference{}, &OlderError{Revision: c.out.Revision, Live: c.out.Live}
	}
	if _, err := Objects(ctx, earlier, prefix, c.know); err != nil {
		return Difference{}, err
	}
	c.finish()
	return c.out, nil
}

type comparison struct {
	seeds    [2]maphash.Seed
	living   map[[2]uint64]struct{} // keys of the later copy
	suspects map[string]Object      // by key: written after the earlier copy
	before   census
	after    census
	out      Difference
}

// census is what runs and is bound in one copy.
type census struct {
	pods   []Object
	claims []Object
}

func (c *census) take(o Object) {
	switch {
	case o.Pod != nil && !o.Pod.Static:
		c.pods = append(c.pods, o)
	case o.Volume != "":
		c.claims = append(c.claims, o)
	}
}

func keyOf(o Object) string { return o.Path + "/" + o.Namespace + "/" + o.Name }

func (c *comparison) sum(o Object) [2]uint64 {
	key := keyOf(o)
	return [2]uint64{maphash.String(c.seeds[0], key), maphash.String(c.seeds[1], key)}
}

// see takes an object of the later copy.
func (c *comparison) see(o Object) error {
	c.living[c.sum(o)] = struct{}{}
	c.after.take(o)
	if o.Written > c.out.Revision && !lock(o) {
		c.suspects[keyOf(o)] = o
	}
	return nil
}

// lock tells of the Lease that runs of kup hold.
func lock(o Object) bool {
	return o.Path == "leases" && o.Namespace == "kube-system" && o.Name == "kup"
}

// know takes an object of the earlier copy.
func (c *comparison) know(o Object) error {
	c.before.take(o)
	now, suspect := c.suspects[keyOf(o)]
	delete(c.suspects, keyOf(o))
	_, lives := c.living[c.sum(o)]
	switch {
	case lock(o):
	case !lives:
		c.add(Deleted, o)
	case !suspect:
	case now.Made > c.out.Revision || now.meaning != o.meaning:
		c.add(Changed, now)
	}
	return nil
}

func (c *comparison) add(change Change, o Object) {
	if rewritten[o.Path] {
		t := c.out.Rewritten[o.Resource]
		switch change {
		case Created:
			t.Created++
		case Deleted:
			t.Deleted++
		default:
			t.Changed++
		}
		c.out.Rewritten[o.Resource] = t
		return
	}
	if o.Pod != nil && o.Pod.Static {
		return // the kubelet makes the object anew
	}
	d := Differs{Change: change, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name}
	switch {
	case o.Sealed && change == Changed:
		d.Detail = "its content is encrypted or cannot be read: it was written, maybe to the same"
	case change == Changed && o.Made > c.out.Revision:
		d.Detail = "deleted and made anew"
	}
	c.out.Objects = append(c.out.Objects, d)
}

func (c *comparison) finish() {
	for _, o := range c.suspects {
		c.add(Created, o)
	}
	c.comparePods()
	c.compareClaims()
	for _, list := range [][]Differs{c.out.Objects, c.out.Pods, c.out.Volumes} {
		slices.SortFunc(list, func(a, b Differs) int {
			return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
				cmp.Compare(a.Change, b.Change), cmp.Compare(a.Node, b.Node))
		})
	}
}

// place is a pod on a node.
type place struct{ uid, node string }

func (o Object) place() place { return place{o.Pod.UID, o.Pod.Node} }

// runs tells whether the pod's containers are meant to run on its node.
func (o Object) runs() bool { return o.Pod.Node != "" && !o.Pod.Over() }

// comparePods tells what a node does when the earlier copy takes the place of the later:
// what the earlier does not know there is stopped, what it knows and is not there starts.
func (c *comparison) comparePods() {
	had, has := map[place]bool{}, map[place]bool{}
	for _, o := range c.before.pods {
		had[o.place()] = had[o.place()] || o.runs()
	}
	stopping := map[string]Object{}
	for _, o := range c.after.pods {
		has[o.place()] = true
		if o.runs() && !had[o.place()] {
			stopping[keyOf(o)] = o
		}
	}
	for _, o := range c.before.pods {
		if o.Pod.Over() || o.Pod.Leaving || (o.Pod.Node != "" && has[o.place()]) {
			continue
		}
		d := Differs{Change: Starts, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name, Node: o.Pod.Node}
		if o.Pod.Node == "" {
			d.Detail = "it waited for a node"
		}
		if now, also := stopping[keyOf(o)]; also && o.Pod.Node != "" && now.Pod.Node != o.Pod.Node {
			d.Change, d.Detail = Moves, "from "+now.Pod.Node
			delete(stopping, keyOf(o))
		}
		c.out.Pods = append(c.out.Pods, d)
	}
	for _, o := range stopping {
		c.out.Pods = append(c.out.Pods, Differs{Change: Stops, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name, Node: o.Pod.Node})
	}
}

func (c *comparison) compareClaims() {
	type bound struct{ namespace, name, volume string }
	had, has := map[bound]bool{}, map[bound]bool{}
	for _, o := range c.before.claims {
		had[bound{o.Namespace, o.Name, o.Volume}] = true
	}
	for _, o := range c.after.claims {
		has[bound{o.Namespace, o.Name, o.Volume}] = true
	}
	tell := func(of, not map[bound]bool, change Change) {
		for b := range of {
			if !not[b] {
				c.out.Volumes = append(c.out.Volumes, Differs{Change: change, Resource: "PersistentVolumeClaim", Namespace: b.namespace, Name: b.name, Detail: "volume " + b.volume})
			}
		}
	}
	tell(has, had, Claimed)
	tell(had, has, Released)
}

// newest gives the newest revision in a copy.
func newest(ctx context.Context, file string) (int64, error) {
	r := newReader("")
	r.take = func(string, row) error { return errEnough }
	err := r.open(ctx, file)
	if r.newest > 0 {
		return r.newest, nil
	}
	return 0, fmt.Errorf("read the newest revision of snapshot %s: %w", file, err)
}

var errEnough = fmt.Errorf("enough")
