package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// badCases lists them all: first what is wrong with the command line and the
// files, then what is wrong between inventory and cluster, then what is wrong
// with the cluster.
func badCases() []badCase {
	var out []badCase
	out = append(out, commandLineCases()...)
	out = append(out, inventoryCases()...)
	out = append(out, hostCases()...)
	out = append(out, planFileCases()...)
	return append(out, clusterCases()...)
}

// applyTo asks for a target.
func applyTo(target string) func(*badInput, string) []string {
	return func(_ *badInput, file string) []string {
		return []string{"apply", "-f", file, "--to", target, "--yes"}
	}
}

// applyToPatch asks for a patch of the next minor.
func applyToPatch(patch string) func(*badInput, string) []string {
	return func(b *badInput, file string) []string { return applyTo("v"+b.to+"."+patch)(b, file) }
}

func commandLineCases() []badCase {
	return []badCase{
		{name: "unknown flag", code: exitUsage, text: "--fast", args: func(_ *badInput, file string) []string {
			return []string{"apply", "-f", file, "--fast"}
		}},
		{name: "target is not a version", code: exitUsage, text: "banana", args: applyTo("banana")},
		{name: "target unknown to kup", code: exitUsage, text: "v1.99", args: applyTo("v1.99")},
		{name: "target older than the cluster", code: exitUsage, text: "v1.20", args: applyTo("v1.20")},
		{name: "target the repository lacks", code: exitUsage, text: ".99", args: applyToPatch("99")},
		{name: "inventory does not exist", code: exitUsage, text: "absent.yaml", args: func(b *badInput, _ string) []string {
			return []string{"apply", "-f", "absent.yaml", "--to", "v" + b.to, "--yes"}
		}},
		{name: "no kubeconfig", code: exitUsage, text: "absent.conf", edit: func(_ *badInput, inv map[string]any) error {
			inv["cluster"] = map[string]any{"name": "lab", "kubeconfig": "./absent.conf"}
			return nil
		}},
	}
}

func inventoryCases() []badCase {
	return []badCase{
		{name: "unknown field in the inventory", code: exitUsage, text: "nodez", edit: func(_ *badInput, inv map[string]any) error {
			inv["nodez"] = []any{}
			return nil
		}},
		{name: "node twice in the inventory", code: exitUsage, text: "cp-1", edit: func(_ *badInput, inv map[string]any) error {
			nodes, _ := inv["nodes"].([]any)
			inv["nodes"] = append(nodes, nodes[0])
			return nil
		}},
		{name: "node of the cluster missing in the inventory", code: exitBlocked, text: "w-1", edit: func(b *badInput, inv map[string]any) error {
			nodes, _ := inv["nodes"].([]any)
			var kept []any
			for _, n := range nodes {
				if m, ok := n.(map[string]any); ok && m["name"] != b.last().Name {
					kept = append(kept, n)
				}
			}
			inv["nodes"] = kept
			return nil
		}},
		{name: "node of the inventory not in the cluster", code: exitUsage, text: "ghost", edit: func(b *badInput, inv map[string]any) error {
			entry, _, err := nodeEntry(inv, b.first().Name)
			if err != nil {
				return err
			}
			nodes, _ := inv["nodes"].([]any)
			inv["nodes"] = append(nodes, map[string]any{"name": "ghost", "role": "worker", "address": neighbour(fmt.Sprint(entry["address"]))})
			return nil
		}},
	}
}

// neighbour is an address of the lab's network that no machine has.
func neighbour(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == '.' {
			return address[:i] + ".249"
		}
	}
	return address
}

// hostCases are hosts that cannot be used as the inventory says: kup counts that
// as an invalid inventory.
func hostCases() []badCase {
	return []badCase{
		{name: "node does not answer on SSH", code: exitUsage, text: "cp-1", edit: func(b *badInput, inv map[string]any) error {
			_, conn, err := nodeEntry(inv, b.first().Name)
			conn["port"], conn["connectTimeout"] = 2222, "3s"
			return err
		}},
		{name: "host key changed", code: exitUsage, text: "host key", edit: func(b *badInput, inv map[string]any) error {
			entry, conn, err := nodeEntry(inv, b.first().Name)
			if err != nil {
				return err
			}
			line, err := otherHostKey(fmt.Sprint(entry["address"]))
			if err != nil {
				return err
			}
			file, err := b.write("known_hosts", line+"\n")
			conn["knownHosts"] = []any{file}
			return err
		}},
		{name: "host key unknown", code: exitUsage, text: "host key", edit: func(b *badInput, inv map[string]any) error {
			_, conn, err := nodeEntry(inv, b.first().Name)
			if err != nil {
				return err
			}
			file, err := b.write("known_hosts", "")
			conn["knownHosts"] = []any{file}
			return err
		}},
		{name: "key that the host does not accept", code: exitUsage, text: "cp-1", edit: func(b *badInput, inv map[string]any) error {
			_, conn, err := nodeEntry(inv, b.first().Name)
			conn["user"] = "nobody-of-that-name"
			return err
		}},
		{name: "sudo password wrong", code: exitUsage, text: "sudo", edit: func(b *badInput, inv map[string]any) error {
			n, err := b.withSudoPassword()
			if err != nil {
				return err
			}
			_, conn, err := nodeEntry(inv, n.Name)
			if err != nil {
				return err
			}
			file, err := b.write("password", "wrong\n")
			conn["sudo"] = map[string]any{"mode": "password", "passwordFile": file}
			return err
		}},
		{name: "sudo wants a password that is not given", code: exitUsage, text: "sudo", edit: func(b *badInput, inv map[string]any) error {
			n, err := b.withSudoPassword()
			if err != nil {
				return err
			}
			_, conn, err := nodeEntry(inv, n.Name)
			conn["sudo"] = map[string]any{"mode": "nopasswd"}
			return err
		}},
	}
}

func otherHostKey(address string) (string, error) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	return knownhosts.Line([]string{address}, key), nil
}
