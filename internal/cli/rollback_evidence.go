package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/roundtrip"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// lookAtHop gathers what a way back of the whole hop needs: what the run recorded, and
// whether every object comes back from the older API server as it went in. Where the
// way is closed anyway, no object is read.
func lookAtHop(ctx context.Context, s *session, r *runRecord, e *planner.Evidence) error {
	u := r.undone()
	hop, ok := u.Hop(s.catalog)
	if !ok || e.Facts == nil {
		return nil
	}
	line := hop.To.Line().String()
	refuse := func(format string, args ...any) error {
		e.Refused[plan.ScopeHop] = fmt.Sprintf(format, args...)
		return nil
	}
	recorded, found, err := s.recordedObjects(ctx, r)
	if err != nil {
		return refuse("%v", err)
	}
	if !found {
		return nil // the planner says so
	}
	e.Recorded = recorded
	if w := wayOf(planner.Ways(u, *e, s.catalog), plan.ScopeHop); !w.Open() {
		return nil
	}
	schema, found, err := s.recorded(ctx, r, line, step.ArtefactSchema)
	if err != nil || !found {
		return refuse("the API's schema of before hop %s is not there: %v", line, errors.Join(err, notRecorded(found)))
	}
	before, err := step.ReadSchema(ctx, schema)
	if err != nil {
		return refuse("%v", err)
	}
	if before.Version.Line() != hop.From.Line() {
		return refuse("the API's schema was recorded when an API server of %s answered already: run %s began in the middle of the hop", before.Version, r.id)
	}
	return s.lookThrough(ctx, before, e)
}

// lookThrough makes what API servers of before would not keep part of the evidence. That
// nothing tells closes this scope only: the restore of the data needs no API.
func (s *session) lookThrough(ctx context.Context, before cluster.API, e *planner.Evidence) error {
	s.sys.tell("Looking through every object for what %s does not keep...", before.Version)
	losses, err := s.roundTrip(ctx, before)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		e.Refused[plan.ScopeHop] = fmt.Sprintf("objects could not be looked through for what %s does not keep: %v", before.Version, err)
	default:
		e.Losses[plan.ScopeHop] = losses
	}
	return nil
}

// recordedObjects names the objects that the run recorded before the hop that would be
// taken back.
func (s *session) recordedObjects(ctx context.Context, r *runRecord) (refs []string, found bool, err error) {
	objects, found, err := s.recorded(ctx, r, r.undone().Line(), step.ArtefactObjects)
	if err != nil || !found {
		return nil, found, err
	}
	recorded, err := step.ReadRecorded(ctx, objects)
	return slices.Sorted(maps.Keys(recorded.Objects)), true, err
}

func notRecorded(found bool) error {
	if found {
		return nil
	}
	return errors.New("the run did not record it")
}

func wayOf(ways []planner.Way, scope plan.Scope) planner.Way {
	for _, w := range ways {
		if w.Scope == scope {
			return w
		}
	}
	return planner.Way{Scope: scope, Why: "not offered"}
}

// recorded gives an artefact of a run whose file is on this machine, brought here from
// a control plane if need be.
func (s *session) recorded(ctx context.Context, r *runRecord, hop, name string) (step.Artefact, bool, error) {
	a, found := r.state.Artefact(hop, name, "")
	if !found {
		return step.Artefact{}, false, nil
	}
	base, err := stateDir(r.plan.Facts.Identity.UID)
	if err != nil {
		return step.Artefact{}, true, err
	}
	peers, err := s.controlPlanes()
	if err != nil {
		return step.Artefact{}, true, err
	}
	a.Path, err = brought(ctx, filepath.Join(base, r.id), r.id, a, peers)
	return artefact(a), true, err
}

// brought sees to it that a small artefact of a run is in a directory here: the run's,
// or that of one which builds on it.
func brought(ctx context.Context, dir, run string, a journal.Artefact, peers []remote.Host) (string, error) {
	file := filepath.Join(dir, filepath.Base(a.Path))
	if b, err := os.ReadFile(file); err == nil && digest(b) == a.Digest {
		return file, nil
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), run, filepath.Base(a.Path)))
	if err != nil || digest(b) != a.Digest {
		var shelves []shelf
		for _, h := range peers {
			shelves = append(shelves, shelf{host: h})
		}
		if b, err = fetch(ctx, run, a, shelves); err != nil {
			return "", err
		}
	}
	if b == nil {
		return "", &step.DamagedError{Artefact: artefact(a)}
	}
	if err := makeDurably(dir); err != nil {
		return "", err
	}
	return file, writeDurably(file, b)
}

// inheritRecorded gives a rollback what the run that it takes back recorded of the API and
// its plan relies on, as artefacts of its own: another machine then goes on with it too.
func inheritRecorded(ctx context.Context, r *runRecord, m *memory, peers []remote.Host) error {
	for _, a := range recordedFor(r.plan) {
		if _, has := m.Get(a.Hop, a.Name, ""); has {
			continue
		}
		var err error
		if a.Path, err = brought(ctx, m.Dir(), r.plan.Rollback.Run, a, peers); err == nil {
			err = m.Put(ctx, artefact(a))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordedFor are the objects that the plan's steps put back, and the schema that objects
// are held against.
func recordedFor(p *plan.Plan) []journal.Artefact {
	var out []journal.Artefact
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindObjects {
			out = append(out, journal.Artefact{Name: step.ArtefactObjects, Hop: s.Args["hop"], Path: s.Args["source"], Digest: s.Args["digest"]})
		}
		return true
	})
	if p.Rollback != nil && p.Rollback.Schema != nil {
		was := p.Rollback.Schema
		out = append(out, journal.Artefact{Name: step.ArtefactSchema, Hop: was.Hop, Path: was.Source, Digest: was.Digest})
	}
	return out
}

// objectReaders is how many resources are read at the same time.
const objectReaders = 4

// roundTrip reads every object of the cluster and gives what an API server of before
// would not keep of it. What cannot be read counts as lost.
func (s *session) roundTrip(ctx context.Context, before cluster.API) ([]plan.Loss, error) {
	now, err := s.api.API(ctx)
	if err != nil {
		return nil, err
	}
	check, err := roundtrip.New(before, now)
	if err != nil {
		return nil, err
	}
	t := &tripped{check: check, losses: map[plan.Loss]bool{}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(objectReaders)
	for _, reading := range check.Readings() {
		group.Go(func() error {
			err := s.api.EachObject(ctx, reading.Resource, func(o map[string]any) error {
				t.judge(reading, o)
				return nil
			})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
				t.add(plan.Loss{Kind: plan.LossUnread, Resource: reading.Resource.Called(), Name: plan.LossAny, Detail: err.Error()})
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return t.sorted(), nil
}

// tripped gathers losses; an object that a list gave twice counts once.
type tripped struct {
	check  *roundtrip.Check
	mu     sync.Mutex
	losses map[plan.Loss]bool
}

func (t *tripped) add(l plan.Loss) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losses[l] = true
}

func (t *tripped) judge(reading roundtrip.Reading, o map[string]any) {
	l := plan.Loss{Kind: plan.LossField, Resource: reading.Resource.Called(), Detail: reading.Why}
	meta, _ := o["metadata"].(map[string]any)   //nolint:errcheck // every object has it
	l.Namespace, _ = meta["namespace"].(string) //nolint:errcheck // none is none
	l.Name, _ = meta["name"].(string)           //nolint:errcheck // every object has it
	l.Owner = controllerOf(meta)
	switch {
	case reading.Unread:
		l.Kind = plan.LossUnread
	case reading.Why == "":
		l.Detail = strings.Join(t.check.Object(reading.Resource, o), ", ")
	}
	if l.Detail != "" {
		t.add(l)
	}
}

// controllerOf names the controller that made an object, as plan.Loss has it.
func controllerOf(meta map[string]any) string {
	owners, _ := meta["ownerReferences"].([]any) //nolint:errcheck // none is none
	for _, o := range owners {
		ref, _ := o.(map[string]any) //nolint:errcheck // API servers write no other
		if is, _ := ref["controller"].(bool); !is {
			continue
		}
		version, _ := ref["apiVersion"].(string) //nolint:errcheck // required
		kind, _ := ref["kind"].(string)          //nolint:errcheck // required
		name, _ := ref["name"].(string)          //nolint:errcheck // required
		r := cluster.APIResource{Kind: kind}
		if group, _, grouped := strings.Cut(version, "/"); grouped {
			r.Group = group
		}
		return r.Called() + "/" + name
	}
	return ""
}

func (t *tripped) sorted() []plan.Loss {
	return slices.SortedFunc(maps.Keys(t.losses), func(a, b plan.Loss) int {
		key := func(l plan.Loss) string {
			return strings.Join([]string{l.Resource, l.Namespace, l.Name, l.Detail}, "\x00")
		}
		return strings.Compare(key(a), key(b))
	})
}
