package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/lab/node"
)

// badCase is one thing an operator can get wrong, or find wrong.
type badCase struct {
	name string
	code int
	// text must occur in what kup prints, in lower case: what the operator needs
	// in order to know what to do.
	text string
	// edit changes a copy of the lab's inventory.
	edit func(b *badInput, inventory map[string]any) error
	// arrange changes the world and returns how to put it back.
	arrange func(ctx context.Context, b *badInput) (undo func(context.Context) error, err error)
	// args are kup's; nil: apply to the next minor, agreed to.
	args func(b *badInput, file string) []string
}

// badInput is the scenario's state.
type badInput struct {
	*env
	plan string // a good plan for the lab
	n    int
}

// errTouched ends the scenario: what comes after would be judged on a cluster
// that is no longer the one it was.
var errTouched = errors.New("a refused command touched the cluster; the cases after it were not run")

func runBadInput(ctx context.Context, e *env) error {
	b := &badInput{env: e, plan: filepath.Join(e.dir, "good-plan.json")}
	o, err := e.kup.run(ctx, prefixed(e.out, "kup plan | "), "plan", "-f", e.lab.Inventory(), "--to", "v"+e.to, "--out", b.plan)
	if err != nil {
		return err
	}
	// The cases prove nothing if kup refuses everything.
	if o.code != exitDone {
		return fmt.Errorf("a plan with nothing wrong: exit code %d: %s", o.code, o.errorLine())
	}
	rows := [][]string{{"case", "exit code", "wanted", "touched", "what kup says"}}
	for _, c := range badCases() {
		row, err := b.try(ctx, c)
		rows = append(rows, row)
		if err != nil {
			e.printTable("Bad input", rows)
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	e.printTable("Bad input", rows)
	return nil
}

const (
	caseTimeout = 4 * time.Minute
	undoTimeout = 3 * time.Minute
)

func (b *badInput) try(ctx context.Context, c badCase) (row []string, err error) {
	row = []string{c.name, "-", fmt.Sprint(c.code), "-", ""}
	ctx, cancel := context.WithTimeoutCause(ctx, caseTimeout, fmt.Errorf("not done within %s", caseTimeout))
	defer cancel()
	b.n++
	file := filepath.Join(b.lab.Dir(), fmt.Sprintf("bad-%02d.yaml", b.n))
	if err := b.inventory(c, file); err != nil {
		return row, err
	}
	if c.arrange != nil {
		undo, err := c.arrange(ctx, b)
		if undo != nil {
			defer func() {
				back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
				defer cancel()
				if undoErr := undo(back); undoErr != nil {
					err = errors.Join(err, fmt.Errorf("put the lab back: %w", undoErr))
				}
			}()
		}
		if err != nil {
			return row, fmt.Errorf("arrange: %w", err)
		}
	}
	before, err := b.fingerprints(ctx)
	if err != nil {
		return row, err
	}
	args := []string{"apply", "-f", file, "--to", "v" + b.to, "--yes", acceptNotices}
	if c.args != nil {
		args = c.args(b, file)
	}
	o, err := b.kup.run(ctx, nil, args...)
	if err != nil {
		return row, err
	}
	after, err := b.fingerprints(ctx)
	if err != nil {
		return row, err
	}
	row[1], row[3], row[4] = fmt.Sprint(o.code), "nothing", o.errorLine()
	b.check(o.code == c.code, "%s: exit code %d, want %d: %s", c.name, o.code, c.code, row[4])
	b.check(strings.Contains(strings.ToLower(o.output()), c.text), "%s: kup does not say %q: %s", c.name, c.text, row[4])
	touched := changed(before, after)
	for _, n := range b.lab.Nodes() {
		if !strings.Contains(after["node "+n.Name], untouched) {
			touched = append(touched, n.Name+" has /var/lib/kup")
		}
	}
	if len(touched) > 0 {
		row[3] = strings.Join(touched, "; ")
		b.check(false, "%s: touched: %s", c.name, row[3])
		return row, errTouched
	}
	return row, nil
}

// inventory writes the case's copy of the lab's inventory beside the original,
// so that relative paths hold.
func (b *badInput) inventory(c badCase, file string) error {
	raw, err := os.ReadFile(b.lab.Inventory())
	if err != nil || c.edit == nil {
		return errors.Join(err, os.WriteFile(file, raw, 0o600))
	}
	var inv map[string]any
	if err := yaml.Unmarshal(raw, &inv); err != nil {
		return err
	}
	if err := c.edit(b, inv); err != nil {
		return err
	}
	if raw, err = yaml.Marshal(inv); err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// nodeEntry is a node of an inventory read as a map, with its ssh settings.
func nodeEntry(inventory map[string]any, name string) (entry, ssh map[string]any, err error) {
	nodes, _ := inventory["nodes"].([]any)
	for _, n := range nodes {
		entry, ok := n.(map[string]any)
		if !ok || entry["name"] != name {
			continue
		}
		ssh, ok := entry["ssh"].(map[string]any)
		if !ok {
			ssh = map[string]any{}
			entry["ssh"] = ssh
		}
		return entry, ssh, nil
	}
	return nil, nil, fmt.Errorf("no node %s in the lab's inventory", name)
}

func (b *badInput) first() node.Node { return b.lab.Nodes()[0] }

func (b *badInput) last() node.Node {
	all := b.lab.Nodes()
	return all[len(all)-1]
}

// withSudoPassword is a node whose sudo asks for one.
func (b *badInput) withSudoPassword() (node.Node, error) {
	for _, n := range b.lab.Nodes() {
		if n.SudoPassword {
			return n, nil
		}
	}
	return node.Node{}, errors.New("no node of the lab asks for a sudo password")
}

func (b *badInput) write(name, content string) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("bad-%02d-%s", b.n, name))
	return path, os.WriteFile(path, []byte(content), 0o600)
}
