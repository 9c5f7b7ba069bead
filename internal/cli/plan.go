package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/preflight"
	"github.com/kup-project/kup/internal/preflight/drainsim"
	"github.com/kup-project/kup/internal/report"
	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

type planOptions struct {
	to       string
	output   string
	out      string
	versions string
	accept   acceptFlag
	// manifests is a directory of manifests that are to be judged too.
	manifests string
	windowOptions
}

func newPlan(sys *system, g *global) *cobra.Command {
	o := &planOptions{}
	c := &cobra.Command{
		Use:   "plan [--to VERSION]",
		Short: "Show what an upgrade would do, what blocks it and how long it takes",
		Long: `plan reads the cluster and its hosts and shows the ordered plan: hops, stages,
nodes, steps, estimates, points of no return, and what blocks it. It changes
nothing. With a kubeconfig alone it says what could not be checked without SSH.

What preflight found is grouped by hop; kup explain KUP-nnn says more of a rule. With
-o json or yaml nothing is left out; -o markdown is for a change ticket, and -o sarif
for what collects findings of many tools. Exit status 3 when something blocks.`,
		Example: `  kup plan                          to the next minor
  kup plan --to v1.36               several hops, the newest patch of each
  kup plan --to v1.34.4 --out p.json
  kup plan -o json
  kup plan -o markdown > ticket.md
  kup plan --accept KUP-024="w-3 waits for a new disk"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runPlan(c.Context(), sys, g, o) },
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "target: v1.34 (its newest patch), v1.34.4, or several with commas (default: the next minor)")
	f.StringVarP(&o.output, "output", "o", "text", "text, json, yaml, markdown or sarif")
	f.StringVar(&o.out, "out", "", "write the plan to this file, for apply --plan")
	f.StringVar(&o.versions, "versions-file", "", "versions the package source offers, instead of asking it (YAML)")
	o.accept.add(f)
	f.StringVar(&o.manifests, "manifests", "", "judge the manifests in this directory too, as if they were applied in every hop")
	o.add(f)
	return c
}

func runPlan(ctx context.Context, sys *system, g *global, o *planOptions) error {
	if !slices.Contains(planOutputs, o.output) {
		return &usageError{err: fmt.Errorf("output %q: want text, json, yaml, markdown or sarif", o.output)}
	}
	accepted, err := o.accept.read()
	if err != nil {
		return err
	}
	w, err := o.window(time.Now(), sys.seams.Pace)
	if err != nil {
		return err
	}
	var made made
	err = inSession(ctx, sys, g, false, func(ctx context.Context, s *session) error {
		err := s.connect(ctx)
		if err == nil {
			made, err = s.makePlan(ctx, wish{to: o.to, versionsFile: o.versions, accepted: accepted, manifests: o.manifests})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := made.write(sys, o.output); err != nil {
		return err
	}
	if made.plan != nil && o.output == "text" {
		if err := w.forecast(sys.out, made.plan, untouched); err != nil {
			return err
		}
	}
	if o.out != "" && made.plan != nil {
		if err := writePlan(o.out, made.plan); err != nil {
			return err
		}
	}
	if preflight.Blocked(made.findings) {
		return blocked(made.findings)
	}
	return nil
}

// writePlan writes a plan to the file that --out names.
func writePlan(file string, p *plan.Plan) error {
	content, err := plan.Encode(p)
	if err != nil {
		return err
	}
	if err := writeDurably(file, content); err != nil {
		return &usageError{err: err, hint: "give a file that can be written with --out"}
	}
	return nil
}

// planOutputs are the formats of `kup plan`.
var planOutputs = []string{"text", "json", "yaml", "markdown", "sarif"}

// wish is what the command line asks of a plan.
type wish struct {
	to           string // as for planner.Hops; empty: the next minor
	versionsFile string // instead of asking the package source
	// accepted are the rules to let through, with the reasons.
	accepted map[string]string
	// manifests is a directory of manifests to judge; empty: none.
	manifests string
}

// made is a plan with what preflight found on its path.
type made struct {
	plan      *plan.Plan // nil when what was found lets none be made
	findings  []preflight.Finding
	unchecked []string
}

func (m made) write(sys *system, format string) error {
	d := report.NewDocument(m.plan, m.findings, m.unchecked)
	switch format {
	case "json":
		return d.JSON(sys.out)
	case "yaml":
		return d.YAML(sys.out)
	case "markdown":
		return d.Markdown(sys.out)
	case "sarif":
		return d.SARIF(sys.out, version)
	default:
		return d.Text(sys.out, sys.width())
	}
}

// makePlan surveys, checks the whole path and lays out the plan.
func (s *session) makePlan(ctx context.Context, w wish) (made, error) {
	var source *sourced
	var ask func(context.Context, cluster.Version)
	if w.versionsFile == "" && s.hosts != nil {
		ask = func(ctx context.Context, of cluster.Version) { source = s.ask(ctx, of) }
	}
	facts, seen, err := s.survey(ctx, ask)
	if err != nil {
		return made{}, err
	}
	if err := addManifests(w.manifests, &seen); err != nil {
		return made{}, err
	}
	if facts.Kubeadm.ClusterVersion.IsZero() {
		// Without kubeadm's own record there is no path to lay out; the rules say why.
		if found := s.check(facts, seen, nil, nil, w.accepted); preflight.Blocked(found) {
			return made{findings: found, unchecked: facts.Unchecked}, nil
		}
	}
	offers, err := s.offers(&facts, w.versionsFile, source)
	if err != nil {
		return made{}, err
	}
	path, err := s.path(&facts, w.to)
	if err != nil {
		return made{}, err
	}
	policy := policy(s.inv, offers)
	policy.Accepted, policy.Measured = w.accepted, s.learned(facts.Identity.UID)
	p, err := planner.Build(facts, path, s.catalog, policy)
	m := made{findings: s.check(facts, seen, path, p.DrainWaves(), w.accepted), unchecked: facts.Unchecked}
	var target *planner.TargetError
	if errors.As(err, &target) && preflight.Blocked(m.findings) {
		return m, nil // the findings say more than the planner can
	}
	if err != nil {
		return made{}, err
	}
	m.plan = &p
	if len(p.Hops) == 0 {
		m.findings = nil // nothing is going to happen
		return m, nil
	}
	return m, needless(w.accepted, m.findings)
}

// path gives the version each hop ends at: none when the cluster is there.
func (s *session) path(facts *cluster.Facts, to string) ([]cluster.Version, error) {
	at, newest := standsAt(facts), s.catalog.Newest()
	if to == "" {
		to = at.Line().Next().String()
		if !at.IsZero() && newest.Less(at.Line().Next()) {
			return nil, &usageError{
				err:  fmt.Errorf("the cluster is at %s, and %s is the newest minor that this kup knows", at, newest),
				hint: fmt.Sprintf("name a patch of it (kup plan --to v%s.N), or use a newer kup for the next minor", newest),
			}
		}
	}
	last := strings.TrimSpace(to[strings.LastIndex(to, ",")+1:])
	if beyond(last, newest) {
		return nil, &usageError{
			err:  fmt.Errorf("target %s: this kup knows the minors %s to %s", last, s.catalog.Oldest(), newest),
			hint: "use a newer kup, or name a minor it knows",
		}
	}
	path, err := planner.Hops(*facts, to, facts.Available)
	if !isNotNewer(err) || !reached(last, at, facts.Available) {
		return path, err
	}
	// The last of the targets is where the cluster stands: what is left of a hop
	// that ended early, or nothing.
	if path, err = planner.Hops(*facts, last, facts.Available); isNotNewer(err) {
		return nil, nil
	}
	return path, err
}

// standsAt is the version of the oldest API server; what kubeadm recorded where
// none can be seen.
func standsAt(f *cluster.Facts) cluster.Version {
	if at := f.OldestAPIServer(); !at.IsZero() {
		return at
	}
	return f.Kubeadm.ClusterVersion
}

func isNotNewer(err error) bool {
	target := new(planner.TargetError)
	return errors.As(err, &target) && target.Reason == planner.TargetNotNewer
}

// beyond tells whether a target is of a minor above the newest.
func beyond(target string, newest cluster.Minor) bool {
	if v, err := cluster.ParseVersion(target); err == nil {
		return newest.Less(v.Line())
	}
	m, err := cluster.ParseMinor(target)
	return err == nil && newest.Less(m)
}

// reached tells whether a target is exactly where the cluster stands.
func reached(target string, at cluster.Version, available map[string][]cluster.Version) bool {
	if v, err := cluster.ParseVersion(target); err == nil {
		return v == at
	}
	m, err := cluster.ParseMinor(target)
	versions := available[m.String()]
	return err == nil && m == at.Line() && len(versions) > 0 && slices.MaxFunc(versions, cluster.Version.Compare) == at
}

// check runs every rule over every hop.
func (s *session) check(facts cluster.Facts, seen cluster.Scan, path []cluster.Version, waves [][]string, accepted map[string]string) []preflight.Finding {
	in := preflight.Input{
		Facts: facts, Scan: seen, Path: path, Waves: waves, Catalog: s.catalog, Now: time.Now(), Accepted: accepted,
		PackageManager:     string(s.inv.Packages.Manager),
		CertificateRenewal: s.inv.Kubeadm.CertificateRenewal,
		PatchesDir:         s.inv.Kubeadm.Patches,
		Defragment:         s.inv.Etcd.Defragment,

		IgnorePreflightErrors: s.inv.Kubeadm.IgnorePreflightErrors,
	}
	pools := map[string]drainsim.Drain{}
	for _, p := range s.inv.Pools {
		pools[p.Name] = drainsim.Drain{Force: p.Drain.Force, DeleteEmptyDirData: p.Drain.DeleteEmptyDirData}
	}
	in.Drains = map[string]drainsim.Drain{}
	for _, n := range s.inv.Nodes {
		if n.Role == cluster.EtcdHost {
			continue // no node of the cluster
		}
		in.Nodes = append(in.Nodes, n.Name)
		if drain, named := pools[n.Pool]; named {
			in.Drains[n.Name] = drain
		}
	}
	return preflight.Check(in)
}

// refuseBlocked shows the findings and stops when one of them blocks.
func (s *session) refuseBlocked(findings []preflight.Finding) error {
	if !preflight.Blocked(findings) {
		return nil
	}
	if err := report.Findings(s.sys.out, findings, s.sys.width()); err != nil {
		return err
	}
	return blocked(findings)
}

func blocked(findings []preflight.Finding) error {
	e := &blockedError{}
	for _, f := range findings {
		if f.Severity == preflight.Block {
			e.blocks++
		}
	}
	return e
}

// recheck surveys again before a plan file is applied: the cluster must be the
// one that was planned for, and nothing may block by now but what is accepted, in the
// plan or given here.
func (s *session) recheck(ctx context.Context, p *plan.Plan, given map[string]string) ([]preflight.Finding, error) {
	if err := s.sameCluster(ctx, p); err != nil {
		return nil, err
	}
	var facts cluster.Facts
	var seen cluster.Scan
	var err error
	if len(p.Hops) > 0 {
		facts, seen, err = s.survey(ctx, nil)
	} else {
		facts, err = s.api.Standing(ctx) // nothing is going to happen on any host
	}
	if err != nil {
		return nil, err
	}
	untouched := func(string) planner.Progress { return planner.Untouched }
	found := planner.Drift(p, untouched, &facts)
	if len(p.Hops) > 0 && p.InventoryDigest != s.inv.Digest() {
		found = append(found, planner.Difference{Object: "the inventory", Want: "the one it was made from", Got: "another one"})
	}
	if len(found) > 0 {
		return nil, &planner.DriftError{Differences: found}
	}
	if len(p.Hops) == 0 {
		return nil, nil
	}
	var path []cluster.Version
	for i := range p.Hops {
		path = append(path, p.Hops[i].To)
	}
	if facts.Available == nil {
		facts.Available = p.Facts.Available
	}
	for _, u := range since(p.Facts.Unchecked, facts.Unchecked) {
		s.sys.tell("not checked now, and it was when the plan was made: %s", u)
	}
	findings := s.check(facts, seen, path, p.DrainWaves(), together(p.Accepted, given))
	return findings, needless(given, findings)
}

// since gives what could not be observed now and could when the plan was made: the
// plan's notices do not tell of it, and a rule that saw nothing finds nothing.
func since(planned, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(u string) bool { return slices.Contains(planned, u) })
}

// foreignPlanError is a plan that was made for another cluster.
type foreignPlanError struct{ plan, cluster cluster.Identity }

func (e *foreignPlanError) Error() string {
	return fmt.Sprintf("the plan is of another cluster: %s (uid %s); this one is %s (uid %s)", e.plan.Name, e.plan.UID, e.cluster.Name, e.cluster.UID)
}

// sameCluster is asked first, because nothing else of a foreign plan makes sense.
func (s *session) sameCluster(ctx context.Context, p *plan.Plan) error {
	id, err := s.api.Identity(ctx)
	if err != nil {
		return err
	}
	if id.UID != p.Facts.Identity.UID {
		return &foreignPlanError{plan: p.Facts.Identity, cluster: id}
	}
	return nil
}
