package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/kube"
)

func newInit(sys *system, g *global) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a commented kup.yaml from the running cluster",
		Long: `init asks the API for the cluster's nodes and writes an inventory to --file
(default ./kup.yaml). Look at the ssh section before you plan. An existing file is
kept unless --force is given.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runInit(c.Context(), sys, g, force) },
	}
	c.Flags().BoolVar(&force, "force", false, "replace an existing file")
	return c
}

func runInit(ctx context.Context, sys *system, g *global, force bool) error {
	path := g.file
	if path == "" {
		path = defaultInventory
	}
	if _, err := os.Lstat(path); err == nil && !force {
		return &usageError{err: fmt.Errorf("%s exists already", path), hint: "pass --force to replace it, or name another one with --file"}
	}
	ctx, done := sys.untilStop(ctx)
	defer done()
	api, err := kube.Connect(ctx, g.kubeconfig, g.context)
	if err != nil {
		return err
	}
	facts, err := api.Facts(ctx)
	if err != nil {
		return err
	}
	draft := inventory.Draft{Facts: facts, Kubeconfig: g.kubeconfig, Context: g.context}
	if draft.Kubeconfig != "" { // in the file it would be relative to the file, not to here
		if draft.Kubeconfig, err = filepath.Abs(draft.Kubeconfig); err != nil {
			return err
		}
	}
	content := inventory.Render(draft)
	if err := writeDurably(path, content); err != nil {
		return &usageError{err: err, hint: "name a file that can be written with --file"}
	}
	_, err = fmt.Fprintf(sys.out, "%s: %d nodes. Look at its ssh section, then: kup plan\n", path, len(facts.Nodes))
	return err
}
