package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/etcd"
	"github.com/kup-project/kup/internal/snapshot"
)

// safeBump is further than any cluster gets between a snapshot and its loss.
const safeBump = 1_000_000_000

func newSnapshotRestore(sys *system, g *global) *cobra.Command {
	var identity string
	var d etcd.DataDir
	c := &cobra.Command{
		Use:   "restore FILE|NAME --data-dir DIR --name MEMBER --initial-cluster MEMBER=URL,… --peer-urls URL",
		Short: "Make an etcd data directory of a snapshot, on this machine",
		Long: `restore verifies a snapshot and makes the data directory of one member of a new etcd
cluster of it. Run it once for each member, with the same snapshot, token and initial
cluster, on the machine where that member will run, or copy the directory there. It
reaches nothing over the network but the second place, and never writes into a directory
that is not empty. docs/disaster-recovery.md says what comes before and after.

The revision is raised and older ones are marked as compacted, so that controllers and
kubelets that saw the lost cluster list everything anew instead of missing changes.`,
		Example: `  kup snapshot restore ./etcd-1.34.db --data-dir /var/lib/etcd --name cp-1 \
      --initial-cluster cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380 \
      --peer-urls https://10.0.0.11:2380`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runSnapshotRestore(c.Context(), sys, g, args[0], identity, d)
		},
	}
	f := c.Flags()
	f.StringVar(&identity, "identity", "", "file with the age identity that opens an encrypted snapshot")
	f.StringVar(&d.Dir, "data-dir", "", "directory to make; it must not be there, or be empty")
	f.StringVar(&d.Name, "name", "", "name of the member, for kubeadm the node's")
	f.StringVar(&d.InitialCluster, "initial-cluster", "", "all members of the new cluster, as name=url with commas between")
	f.StringSliceVar(&d.PeerURLs, "peer-urls", nil, "peer URLs of this member, as in --initial-cluster")
	f.StringVar(&d.Token, "initial-cluster-token", "", "the same for all members, and other than the lost cluster's (default: made of the snapshot; a second restore of the same one needs its own)")
	f.Uint64Var(&d.RevisionBump, "bump-revision", safeBump, "how far the revision is raised")
	f.BoolVar(&d.MarkCompacted, "mark-compacted", true, "mark the revisions before as compacted")
	for _, name := range []string{"data-dir", "name", "initial-cluster", "peer-urls"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that is not there
		}
	}
	return c
}

func runSnapshotRestore(ctx context.Context, sys *system, g *global, arg, identity string, d etcd.DataDir) error {
	if err := d.Check(); err != nil {
		return err
	}
	ids, err := snapshot.LoadIdentities(identity)
	if err != nil {
		return err
	}
	return inSession(ctx, sys, g, false, func(ctx context.Context, s *session) error {
		return s.verifySnapshot(ctx, "", arg, ids, snapshotProver{why: "a restore asks nobody"}, func(v snapshot.Verified, file string) error {
			return restoreInto(ctx, sys.out, d, v, file)
		})
	})
}

// restoreInto makes the directory of a file that was verified.
func restoreInto(ctx context.Context, out io.Writer, d etcd.DataDir, v snapshot.Verified, file string) error {
	if d.Token == "" { // the same for every member, wherever its directory is made; another snapshot's must not join by chance
		d.Token = fmt.Sprintf("kup-%.12s-%d", v.Proof.SHA256, d.RevisionBump)
	}
	if err := d.Restore(ctx, file); err != nil {
		return snapshot.OfMachine("restore into "+d.Dir, err)
	}
	fmt.Fprintf(out, "Restored %s into %s for the member %s: revision %d, raised by %d, %d keys, cluster token %s.\n",
		v.Meta.Name, d.Dir, d.Name, v.Proof.Revision, d.RevisionBump, v.Proof.Keys, d.Token)
	of := ""
	if v.Meta.EtcdVersion != "" {
		of = ", the snapshot by etcd " + v.Meta.EtcdVersion
	}
	fmt.Fprintf(out, "It was written by %s (%s)%s. Start no member before every one has its directory.\n", snapshot.Embedded, etcd.Built(), of)
	return nil
}
