package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kup-project/kup/internal/lab/node"
)

// disasterGuide is the page whose commands are run, in the source tree.
const disasterGuide = "docs/disaster-recovery.md"

// codeBlocks gives the named blocks of a page: ```sh NAME.
func codeBlocks(page string) map[string]string {
	out := map[string]string{}
	name, inside := "", false
	for line := range strings.Lines(page) {
		switch fence, rest, _ := strings.Cut(strings.TrimSpace(line), "```"); {
		case fence == "" && !inside && strings.HasPrefix(rest, "sh "):
			name, inside = strings.TrimSpace(strings.TrimPrefix(rest, "sh ")), true
		case inside && strings.TrimSpace(line) == "```":
			inside = false
		case inside:
			out[name] += line
		}
	}
	return out
}

// byHand restores as an operator with the page before him does.
type byHand struct {
	lab    *node.Lab
	blocks map[string]string
	token  string
}

func openGuide(lab *node.Lab, token string) (*byHand, error) {
	root, err := sourceRoot()
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(filepath.Join(root, disasterGuide))
	if err != nil {
		return nil, err
	}
	return &byHand{lab: lab, blocks: codeBlocks(string(page)), token: token}, nil
}

// sourceRoot is the directory with go.mod, from here upwards.
func sourceRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is looked for in the source tree: run this inside of it", disasterGuide)
		}
	}
	return "", err
}

const peerPort = "2380"

func peerOf(n node.Node) string { return "https://" + n.IP + ":" + peerPort }

// run runs blocks of the page on a node, in one shell, with the page's variables set.
func (b *byHand) run(ctx context.Context, n node.Node, names ...string) (string, error) {
	var members []string
	for _, m := range b.controlPlanes() {
		members = append(members, m.Name+"="+peerOf(m))
	}
	text := "SNAPSHOT=/root/etcd.db\n"
	if n.Role == node.RoleControlPlane {
		text += fmt.Sprintf("MEMBER=%s\nPEER=%s\nCLUSTER=%s\nTOKEN=%s\n", n.Name, peerOf(n), strings.Join(members, ","), b.token)
	}
	for _, name := range names {
		block, ok := b.blocks[name]
		if !ok {
			return "", fmt.Errorf("%s has no block %q", disasterGuide, name)
		}
		text += block
	}
	out, err := b.lab.Exec(ctx, n.Name, "sh", "-euc", text) // without a stdin, which ctr would read
	if err != nil {
		return out, fmt.Errorf("%s, %s on %s: %w", disasterGuide, strings.Join(names, " and "), n.Name, err)
	}
	return out, nil
}

func (b *byHand) controlPlanes() []node.Node {
	return slices.DeleteFunc(b.lab.Nodes(), func(n node.Node) bool { return n.Role != node.RoleControlPlane })
}

// restore follows the page from its settings to its end.
func (b *byHand) restore(ctx context.Context, snapshot []byte) error {
	members := b.controlPlanes()
	for _, n := range members {
		if _, err := b.lab.ExecIn(ctx, n.Name, string(snapshot), "sh", "-euc", "umask 077; cat >/root/etcd.db"); err != nil {
			return err
		}
		out, err := b.run(ctx, n, "settings", "check")
		if err != nil {
			return err
		}
		if sums := strings.Fields(out); len(sums) != 2 || sums[0] != sums[1] {
			return fmt.Errorf("%s, check on %s: printed %q", disasterGuide, n.Name, out)
		}
	}
	all := b.lab.Nodes()
	for _, part := range []struct {
		nodes  []node.Node
		blocks []string
	}{
		{members, []string{"stop"}},
		{members, []string{"settings", "restore"}},
		{members, []string{"etcd"}},
		{members[:1], []string{"healthy"}},
		{all, []string{"pods"}},
		{all, []string{"start"}},
	} {
		for _, n := range part.nodes {
			if _, err := b.run(ctx, n, part.blocks...); err != nil {
				return err
			}
		}
	}
	return nil
}
