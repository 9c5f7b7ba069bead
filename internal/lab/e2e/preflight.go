package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// defect is one thing that is wrong with a cluster before an upgrade.
type defect struct {
	rule string // that must find it: KUP-nnn
	name string
	// object and fix must occur in the finding.
	object, fix string
	// hop is the minor it stands in the way of; empty: any, or now.
	hop string
	// also are rules that rightly find the same defect from another side.
	also []string
	// plant puts it into the cluster and gives how to take it out again.
	plant func(ctx context.Context, p *preflightRun) (mend func(context.Context) error, err error)
}

// finding is what kup plan -o json tells of one.
type finding struct {
	Rule, Severity, Hop, Object, Why, Fix string
}

func (f finding) key() string { return f.Rule + " " + f.Hop + " " + f.Object }

// preflightRun is the scenario's state.
type preflightRun struct {
	*badInput
	versions string // file of what the package source is said to offer
	goal     string // of the path
	viewed   bool   // the views for others were compared, with the first defect
}

// runPreflight plants one defect after the other. Each must be found, by its
// rule, with the object and a fix, and must be gone from the plan once it is
// mended; and nothing else may be found than on the clean cluster.
func runPreflight(ctx context.Context, e *env) error {
	p := &preflightRun{badInput: &badInput{env: e}, versions: filepath.Join(e.dir, "versions.yaml"), goal: "v1.36"}
	if err := os.WriteFile(p.versions, []byte(offered), 0o600); err != nil {
		return err
	}
	clean, took, err := p.plan(ctx)
	if err != nil {
		return err
	}
	e.printf("kup plan of the clean cluster took %s", seconds(took))
	for _, f := range clean {
		e.printf("on the clean cluster: %s %s %s: %s", f.Severity, f.Rule, f.Object, f.Why)
		e.check(f.Severity == "info", "the clean cluster has a finding: %s %s: %s", f.Rule, f.Object, f.Why)
	}
	rows := [][]string{{"defect", "rule", "severity", "hop", "object", "mended"}}
	found := 0
	for _, d := range defects() {
		row, ok, err := p.try(ctx, d, clean)
		rows = append(rows, row)
		if ctx.Err() != nil {
			e.printTable("Preflight", rows)
			return fmt.Errorf("%s: %w", d.name, context.Cause(ctx))
		}
		// What one defect left behind shows with the next.
		if e.check(err == nil, "%s: %v", d.name, err) && ok {
			found++
		}
	}
	e.printTable("Preflight", rows)
	e.printf("defects found by their rule, with object and fix, and gone when mended: %d of %d", found, len(defects()))
	return nil
}

// offered is a package source with all minors of the path.
const offered = `"1.33": [1.33.13-1.1]
"1.34": [1.34.4-1.1]
"1.35": [1.35.4-1.1]
"1.36": [1.36.3-1.1]
`

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (p *preflightRun) arguments(output string) []string {
	args := []string{"plan", "-f", p.lab.Inventory(), "--to", p.goal, "--versions-file", p.versions, "-o", output}
	if dir := filepath.Join(p.dir, badManifestDir); isDirectory(dir) {
		args = append(args, "--manifests", dir)
	}
	return args
}

func (p *preflightRun) plan(ctx context.Context) ([]finding, time.Duration, error) {
	o, err := p.kup.run(ctx, nil, p.arguments("json")...)
	if err != nil {
		return nil, 0, err
	}
	if o.code != exitDone && o.code != exitBlocked {
		return nil, 0, fmt.Errorf("kup plan: exit code %d: %s", o.code, o.errorLine())
	}
	var out struct{ Findings []finding }
	if err := json.Unmarshal(o.stdout, &out); err != nil {
		return nil, 0, fmt.Errorf("kup plan -o json: %w", err)
	}
	blocked := slices.ContainsFunc(out.Findings, func(f finding) bool { return f.Severity == "block" })
	p.check(blocked == (o.code == exitBlocked), "kup plan: exit code %d, and blocked is %t", o.code, blocked)
	return out.Findings, o.took, nil
}

// defectTimeout bounds planting, two plans and mending.
const defectTimeout = 5 * time.Minute

func (p *preflightRun) try(ctx context.Context, d defect, clean []finding) (row []string, ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, defectTimeout, fmt.Errorf("not done within %s", defectTimeout))
	defer cancel()
	row = []string{d.name, d.rule, "-", "-", "not found", "-"}
	mend, err := d.plant(ctx, p)
	mended := false
	back := func() error {
		if mended || mend == nil {
			return nil
		}
		mended = true
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return mend(late)
	}
	defer func() { err = errors.Join(err, back()) }()
	if err != nil {
		return row, false, fmt.Errorf("plant: %w", err)
	}
	sick, err := p.settled(ctx, d, clean, true)
	if err != nil {
		return row, false, err
	}
	f, ok := d.among(sick)
	p.check(ok, "%s: %s does not find it; found: %s", d.name, d.rule, told(without(sick, clean)))
	if ok {
		if !p.viewed {
			p.viewed = true
			if err := p.compareViews(ctx, sick); err != nil {
				return row, false, err
			}
		}
		row[2], row[3], row[4] = f.Severity, f.Hop, f.Object
		ok = p.check(f.Fix != "" && f.Why != "", "%s: the finding has no fix: %+v", d.name, f)
		ok = p.check(strings.Contains(f.Fix, d.fix), "%s: the fix %q does not say %q", d.name, f.Fix, d.fix) && ok
	}
	for _, other := range without(sick, clean) {
		fits := other.Rule == d.rule || slices.Contains(d.also, other.Rule)
		ok = p.check(fits, "%s: %s finds something too: %s: %s", d.name, other.Rule, other.Object, other.Why) && ok
	}
	if err := back(); err != nil {
		return row, false, fmt.Errorf("mend: %w", err)
	}
	well, err := p.settled(ctx, d, clean, false)
	if err != nil {
		return row, false, err
	}
	left := without(well, clean)
	if ok = p.check(len(left) == 0, "%s: mended, and still found: %s", d.name, told(left)) && ok; len(left) == 0 {
		row[5] = "gone"
	}
	return row, ok, nil
}

// settleFor is how long a cluster may take to show a defect, or to lose it.
const settleFor = 90 * time.Second

// settled plans until the defect is seen, or nothing but what the clean cluster
// has: controllers and kubelets need a moment. The last plan counts.
func (p *preflightRun) settled(ctx context.Context, d defect, clean []finding, planted bool) ([]finding, error) {
	until := time.Now().Add(settleFor)
	for {
		now, _, err := p.plan(ctx)
		if err != nil {
			return nil, err
		}
		_, seen := d.among(now)
		if planted && seen || !planted && len(without(now, clean)) == 0 || time.Now().After(until) {
			return now, nil
		}
	}
}

func (d defect) among(findings []finding) (finding, bool) {
	i := slices.IndexFunc(findings, func(f finding) bool {
		return f.Rule == d.rule && strings.Contains(f.Object, d.object) && (d.hop == "" || f.Hop == d.hop)
	})
	if i < 0 {
		return finding{}, false
	}
	return findings[i], true
}

func without(findings, clean []finding) []finding {
	known := map[string]bool{}
	for _, f := range clean {
		known[f.key()] = true
	}
	return slices.DeleteFunc(slices.Clone(findings), func(f finding) bool { return known[f.key()] })
}

func told(findings []finding) string {
	if len(findings) == 0 {
		return "nothing"
	}
	out := make([]string, len(findings))
	for i, f := range findings {
		out[i] = fmt.Sprintf("%s %s: %s", f.Rule, f.Object, f.Why)
	}
	return strings.Join(out, "; ")
}
