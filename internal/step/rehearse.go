package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// Rehearsal is a restore that was tried aside, and with which etcd.
type Rehearsal struct {
	// With names it: "image registry.k8s.io/etcd:3.5.24-0 on cp-2", or "binary
	// /usr/local/bin/etcd on cp-2"; empty: with none of the cluster's own.
	With    string `json:"with,omitempty"`
	Version string `json:"version,omitempty"` // 3.5.24
	// Instead says why it could not be tried with the cluster's own etcd.
	Instead string `json:"instead,omitempty"`
	// Revision and Keys are what the restored etcd ended at and how many keys it held.
	Revision int64 `json:"revision,omitempty"`
	Keys     int64 `json:"keys,omitempty"`
}

// String is a sentence without its end.
func (r Rehearsal) String() string {
	if r.With == "" {
		return "restored with the etcd built into kup, not with the cluster's own: " + r.Instead
	}
	return fmt.Sprintf("restored by etcd %s, %s: revision %d, %d keys", r.Version, r.With, r.Revision, r.Keys)
}

// What the scripts end with when it is not the snapshot that failed.
const (
	exitNoPrograms = 69
	exitNoRoom     = 73
	exitMachine    = 75
	exitWrapped    = 125 // and above: killed, or never begun
)

// CannotRehearse tells whether an error of a rehearsal is about the host, not about
// the snapshot, and why.
func CannotRehearse(err error) (why string, ok bool) {
	var exit *remote.ExitError
	if !errors.As(err, &exit) {
		return "", false
	}
	switch {
	case exit.Code == exitNoPrograms, exit.Code == exitNoRoom, exit.Code == exitMachine, exit.Code >= exitWrapped:
		why = strings.TrimPrefix(lastLine(exit.Stderr), "kup: ")
		if why == "" {
			why = fmt.Sprintf("exit code %d", exit.Code)
		}
		return why, true
	}
	return "", false
}

// Bench is where a snapshot is restored aside: a node, and the etcd of its member.
type Bench struct {
	Host                   remote.Host
	Node                   string
	Version, Image, Socket string // as the Args of [plan.KindRehearse]
	// Bump is how far the revision is raised in the second try; 0: there is none.
	Bump int64
	// Dir is a directory on the node, root only, that the rehearsal may use.
	Dir string
}

func (b Bench) programs() etcdPrograms {
	if b.Socket == "" {
		b.Socket = defaultSocket
	}
	return etcdPrograms{dir: path.Join(b.Dir, "etcd-"+b.Version), version: b.Version, image: b.Image, socket: b.Socket}
}

// Rehearse sends file, a snapshot of this machine, to the node, restores it there and
// compares it with want, of which empty fields are not compared. The copy is removed
// again. See [CannotRehearse] for errors that are not the snapshot's.
func (b Bench) Rehearse(ctx context.Context, file string, want Snapshot) (r Rehearsal, err error) {
	there := path.Join(b.Dir, path.Base(filepath.ToSlash(file)))
	remove := remote.Command{Argv: []string{"rm", "-rf", b.Dir}, Sudo: true}
	if _, err := b.Host.Run(ctx, remove); err != nil { // what one that was killed left
		return Rehearsal{}, err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_, gone := b.Host.Run(clean, remove)
		if err == nil && gone != nil {
			err = fmt.Errorf("remove %s: %w", b.Dir, gone)
		}
	}()
	if err := place(ctx, b.Host, file, there); err != nil {
		return Rehearsal{}, err
	}
	bump := ""
	if b.Bump > 0 {
		bump = strconv.FormatInt(b.Bump, 10)
	}
	res, err := b.Host.Run(ctx, remote.Command{Argv: rehearsal(b.Dir, b.programs().in(""), bump, there, want), Sudo: true})
	if err != nil {
		return Rehearsal{}, err
	}
	return rehearsed(string(res.Stdout), b.Version, b.Node)
}

// cleanupTimeout bounds the removal of what a rehearsal made.
const cleanupTimeout = 30 * time.Second

// place sends a file to a host, where only root can read it.
func place(ctx context.Context, h remote.Host, file, there string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	argv := script([]string{"common", "etcd_programs", "etcd_place"}, there, strconv.FormatInt(info.Size(), 10))
	_, err = h.Run(ctx, remote.Command{Argv: argv, Sudo: true, Stdin: f})
	return err
}

// rehearsal is the command that restores the file there.
func rehearsal(dir string, programs []string, bump, there string, want Snapshot) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	params := append([]string{path.Join(dir, "rehearsal")}, programs...)
	params = append(params, bump, there, want.SHA256, number(want.Revision), number(want.Keys),
		number(want.HashRevision), number(want.CompactRevision), number(int64(want.Hash)))
	return script([]string{"common", "etcd_programs", "etcd_rehearse"}, params...)
}

// rehearsed reads what the command printed last.
func rehearsed(out, version, node string) (Rehearsal, error) {
	r := Rehearsal{Version: version}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "with":
			r.With = value + " on " + node
		case "revision":
			r.Revision, err = strconv.ParseInt(value, 10, 64)
		case "keys":
			r.Keys, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return Rehearsal{}, fmt.Errorf("the rehearsal on %s printed %q: %w", node, line, err)
		}
	}
	if r.With == "" {
		return Rehearsal{}, fmt.Errorf("the rehearsal on %s does not say with which etcd it was", node)
	}
	return r, nil
}

// rehearse: the truth is the run's record of it.
type rehearse struct {
	executions
	keeper keeper
}

func (r *rehearse) read(s plan.Step) (hop, bump string, p etcdPrograms, err error) {
	a := args{step: s}
	a.node()
	hop, bump, p = a.text("hop"), a.bump(), a.etcdPrograms()
	return hop, bump, p, a.err
}

func (r *rehearse) Done(ctx context.Context, s plan.Step) (bool, error) {
	return r.keeper.has(ctx, hopOf(s), ArtefactRehearsal, "")
}

func (r *rehearse) Run(ctx context.Context, s plan.Step, x plan.Execution) error {
	hop, bump, programs, err := r.read(s)
	if err != nil {
		return err
	}
	if done, err := r.Done(ctx, s); done || err != nil {
		return err
	}
	const doing = "rehearse the restore of the snapshot"
	a, ok := r.keeper.artefacts.Get(hop, ArtefactSnapshot, "")
	if !ok {
		return failed(s, doing, fmt.Errorf("the snapshot of hop %s was not recorded", hop), "")
	}
	want, err := r.facts(hop, a)
	if err != nil {
		return failed(s, doing, err, "")
	}
	if want.Encrypted {
		return r.record(ctx, s, hop, want.Rehearsed)
	}
	dir := path.Join(stateDir, x.Run)
	there := path.Join(dir, path.Base(filepath.ToSlash(a.Path)))
	err = r.copied(ctx, s, a, there)
	var res remote.Result
	if err == nil {
		argv := rehearsal(dir, programs.in(x.Run), bump, there, want)
		res, err = r.run(ctx, s, x, doing, remote.Command{Argv: argv})
	}
	out := Rehearsal{}
	if why, cannot := CannotRehearse(err); cannot {
		out.Instead = why + " on " + s.Node
	} else if err != nil {
		return failed(s, doing, err, "")
	} else if out, err = rehearsed(string(res.Stdout), programs.version, s.Node); err != nil {
		return failed(s, doing, err, "")
	}
	return r.record(ctx, s, hop, out)
}

// record keeps a rehearsal. Of a snapshot that is encrypted it was made when the
// snapshot was taken, since nobody here can open it any more.
func (r *rehearse) record(ctx context.Context, s plan.Step, hop string, out Rehearsal) error {
	if out.With == "" && out.Instead == "" {
		out.Instead = "it is encrypted, and what was found when it was taken is not here"
	}
	r.observer.Note(s.ID, out.String())
	return r.keeper.save(ctx, ArtefactRehearsal, hop, out)
}

// copied sees to it that the node has the snapshot, where the run mirrors it.
func (r *rehearse) copied(ctx context.Context, s plan.Step, a Artefact, there string) error {
	h, err := r.hosts.Host(s.Node)
	if err != nil {
		return err
	}
	digest, err := remoteDigest(ctx, r.hosts, s.Node, there)
	if err == nil && digest == a.Digest {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return place(ctx, h, a.Path, there)
}

// encryptedSuffix ends the names of snapshots that age encrypted.
const encryptedSuffix = ".age"

// facts are what was found of a snapshot when it was proven. They are no artefact:
// another machine that goes on with the run lacks them, and compares less.
func (r *rehearse) facts(hop string, a Artefact) (Snapshot, error) {
	stored := strings.TrimPrefix(a.Digest, "sha256:")
	want := Snapshot{Stored: stored, SHA256: stored, Encrypted: strings.HasSuffix(a.Path, encryptedSuffix)}
	b, err := os.ReadFile(r.keeper.path(snapshotFacts, hop))
	if errors.Is(err, fs.ErrNotExist) {
		return want, nil
	}
	var found Snapshot
	if err == nil {
		err = json.Unmarshal(b, &found)
	}
	if err != nil {
		return want, fmt.Errorf("what was found of the snapshot: %w", err)
	}
	if found.Stored != want.Stored { // of an earlier try, whose file was replaced
		return want, nil
	}
	return found, nil
}

// Rehearsed gives how a hop's restore was rehearsed; false: not yet.
func Rehearsed(artefacts Artefacts, hop string) (Rehearsal, bool, error) {
	var r Rehearsal
	if _, ok := artefacts.Get(hop, ArtefactRehearsal, ""); !ok {
		return r, false, nil
	}
	err := load(artefacts, ArtefactRehearsal, hop, &r)
	return r, err == nil, err
}
