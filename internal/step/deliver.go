package step

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/plan"
)

// Deliveries puts a file on a node, whole or not at all.
type Deliveries interface {
	// Deliver streams the file at from.Path, on from.Node or (empty) on this machine, to
	// path on the node, readable by root only. What is sealed is decrypted on this machine.
	Deliver(ctx context.Context, from Copy, node, path string) error
}

// Copy is where a copy of a file is.
type Copy struct {
	Node string // empty: this machine
	Path string
	// Sealed is the digest of the file when it is encrypted; empty: it is plain.
	Sealed string
}

func (c Copy) String() string {
	if c.Node == "" {
		return c.Path + " of this machine"
	}
	return c.Node + ":" + c.Path
}

// deliver: the truth is the file on the node and its digest.
type deliver struct {
	executions
	deliveries Deliveries
}

// delivery is what a step asks for.
type delivery struct {
	artefact Artefact // on the node
	room     string   // whose disk must have room for the file once more; empty: none
	copies   []Copy   // in the order in which they are tried
}

func (r *deliver) read(s plan.Step) (delivery, error) {
	a := args{step: s}
	d := delivery{artefact: Artefact{Name: ArtefactSnapshot, Hop: hopOf(s), Node: a.node(), Path: a.text("path"), Digest: a.text("digest")}}
	if a.err == nil {
		a.clean("path", d.artefact.Path)
	}
	if d.room = s.Args["room"]; d.room != "" && a.err == nil {
		a.clean("room", d.room)
	}
	if local := s.Args["local"]; local != "" {
		d.copies = append(d.copies, Copy{Path: local})
	}
	for _, line := range a.lines("from") {
		node, path, ok := strings.Cut(line, ":")
		if !ok || node == "" || path == "" {
			a.bad("from", fmt.Sprintf("has %q; want node:path", line))
		}
		d.copies = append(d.copies, Copy{Node: node, Path: path})
	}
	if len(d.copies) == 0 {
		a.bad("from", "is missing, and so is local")
	}
	for i := range d.copies {
		d.copies[i].Sealed = s.Args["sealed"]
	}
	return d, a.err
}

func (r *deliver) Done(ctx context.Context, s plan.Step) (bool, error) {
	d, err := r.read(s)
	if err != nil {
		return false, err
	}
	return r.whole(ctx, d.artefact)
}

// whole tells whether a file is there and is what was recorded.
func (r *deliver) whole(ctx context.Context, a Artefact) (bool, error) {
	err := Verify(ctx, r.hosts, a)
	if damaged := new(DamagedError); errors.As(err, &damaged) {
		return false, nil
	}
	return err == nil, err
}

// Run brings the file unless it is there. Then it asks for room: that it may be missing
// is found out while all still runs.
func (r *deliver) Run(ctx context.Context, s plan.Step, _ plan.Execution) error {
	d, err := r.read(s)
	if err != nil {
		return err
	}
	whole, err := r.whole(ctx, d.artefact)
	if err != nil {
		return failed(s, "look for the snapshot", err, "")
	}
	if !whole {
		if err := r.bring(ctx, s, d); err != nil {
			return err
		}
	}
	return r.hasRoom(ctx, s, d)
}

// etcdManifestFile is where kubeadm has a member's static pod.
const etcdManifestFile = "/etc/kubernetes/manifests/etcd.yaml"

// hasRoom asks whether the disk that the snapshot is restored on has room for it.
func (r *deliver) hasRoom(ctx context.Context, s plan.Step, d delivery) error {
	if d.room == "" {
		return nil
	}
	_, err := r.ask(ctx, s, "see to room on the disk of "+d.room, script([]string{"common", "etcd_programs", "deliver_room"}, d.room, d.artefact.Path, etcdManifestFile))
	return err
}

// bring tries the copies one after the other: one that is damaged, or on a host that
// does not answer, is passed over.
func (r *deliver) bring(ctx context.Context, s plan.Step, d delivery) error {
	var why []string
	for _, from := range d.copies {
		if from.Node == s.Node && from.Path == d.artefact.Path {
			continue
		}
		a := d.artefact
		a.Node, a.Path = from.Node, from.Path
		if from.Sealed != "" {
			a.Digest = from.Sealed
		}
		has, err := r.whole(ctx, a)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			why = append(why, err.Error())
			continue
		case !has:
			why = append(why, from.String()+" is missing or damaged")
			continue
		}
		r.observer.Note(s.ID, "copy "+from.String())
		if err := r.deliveries.Deliver(ctx, from, s.Node, d.artefact.Path); err != nil {
			return failed(s, "copy the snapshot to "+s.Node, err, "")
		}
		if err := Verify(ctx, r.hosts, d.artefact); err != nil {
			return failed(s, "read the snapshot back", err, "")
		}
		return nil
	}
	return failed(s, "copy the snapshot to "+s.Node, fmt.Errorf("no whole copy of it was found: %s", strings.Join(why, "; ")),
		"a copy kept elsewhere can be put there by hand; its digest is in the plan")
}
