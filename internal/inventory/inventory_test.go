package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/pkg/cluster"
)

var update = flag.Bool("update", false, "rewrite goldens and generated documents")

const minimal = `apiVersion: kup/v1alpha1
nodes:
  - {name: cp-1, role: control-plane, address: 10.0.0.11}
  - {name: w-1, role: worker, address: 10.0.0.21}
`

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), run with -update if meant:\n%s", path, diff)
	}
}

// files gives testdata/<prefix>-*.yaml.
func files(t *testing.T, prefix string) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/" + prefix + "-*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata/%s-*.yaml: %v", prefix, err)
	}
	return paths
}

func parseOK(t *testing.T, text string) *Inventory {
	t.Helper()
	inv, err := Parse("/etc/kup/kup.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// TestInvalid pins every message in one file, where they can be read side by
// side.
func TestInvalid(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	var all bytes.Buffer
	for _, path := range files(t, "invalid") {
		inv, err := Load(path)
		var bad *Error
		if !errors.As(err, &bad) || inv != nil {
			t.Errorf("%s: got %v, %v; want an *Error", path, inv, err)
			continue
		}
		if bad.File != path || bad.Problem == "" || bad.Fix == "" {
			t.Errorf("%s: incomplete error %#v", path, bad)
		}
		if strings.ContainsAny(err.Error(), "\n\x1b") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: unfit to print: %q", path, err.Error())
		}
		fmt.Fprintf(&all, "%s\n", strings.TrimPrefix(err.Error(), "testdata/"))
	}
	golden(t, "testdata/invalid.golden", all.Bytes())
}

func TestValid(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	for _, path := range files(t, "valid") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			inv := parseOK(t, string(data))
			got, err := json.MarshalIndent(inv, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/"+name+".golden.json", append(got, '\n'))
		})
	}
}

func TestErrorHasColumnAndPath(t *testing.T) {
	_, err := Parse("kup.yaml", []byte(minimal+"gates:\n  sustain: 10s\n  timeout: soon\n"))
	var bad *Error
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	want := Error{File: "kup.yaml", Line: 7, Column: 3, Path: "gates.timeout",
		Problem: `"soon" is not a duration`, Fix: "write a number and a unit, such as 30s, 5m or 1h"}
	if *bad != want {
		t.Errorf("got %#v\nwant %#v", *bad, want)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kup.yaml")
	_, err := Load(path)
	var bad *Error
	if !errors.As(err, &bad) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(bad.Fix, "kup init") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(t.TempDir()); !errors.As(err, &bad) {
		t.Errorf("directory: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	for text, want := range map[string]string{
		minimal + strings.Repeat("# padding\n", maxSize/10+1): "kup.yaml: is larger than 512 KiB; ",
		strings.Repeat("- ~\n", maxTokens/2+1):                "kup.yaml:75001: has too much in it; ",
		strings.Repeat("[\n", maxNested+1):                    "kup.yaml:17: is nested too deeply; ",
	} {
		if _, err := Parse("kup.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s...", err, want)
		}
	}
}

// TestFiveThousandNodes is the largest cluster Kubernetes supports: it must
// stay within the bounds.
func TestFiveThousandNodes(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: kup/v1alpha1\nnodes:\n")
	for i := range 5000 {
		role := cluster.Worker
		if i < 5 {
			role = cluster.ControlPlane
		}
		fmt.Fprintf(&text, "  - {name: node-%d.example.org, role: %s, address: 10.0.%d.%d, pool: default}\n", i, role, i/250, i%250+1)
	}
	if inv := parseOK(t, text.String()); len(inv.Nodes) != 5000 {
		t.Errorf("%d nodes", len(inv.Nodes))
	}
}

func TestPasswordFile(t *testing.T) {
	for name, tc := range map[string]struct {
		mode fs.FileMode // 0: no file
		want string
	}{
		"owner only":     {mode: 0o600},
		"read-only":      {mode: 0o400},
		"world-readable": {mode: 0o644, want: "can be read by others (mode 0644); chmod 600 "},
		"group-readable": {mode: 0o640, want: "can be read by others (mode 0640); chmod 600 "},
		"missing":        {want: "does not exist; "},
		"directory":      {mode: fs.ModeDir | 0o700, want: "is not a file; "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			secret := filepath.Join(dir, "sudo password")
			switch {
			case tc.mode.IsDir():
				mustDo(t, os.Mkdir(secret, tc.mode.Perm()))
			case tc.mode != 0:
				mustDo(t, os.WriteFile(secret, []byte("x"), 0o600))
				mustDo(t, os.Chmod(secret, tc.mode))
			}
			text := strings.Replace(minimal, "address: 10.0.0.21", `address: 10.0.0.21, ssh: {sudo: {passwordFile: "sudo password"}}`, 1)
			file := filepath.Join(dir, "kup.yaml")
			mustDo(t, os.WriteFile(file, []byte(text), 0o600))
			_, err := Load(file)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			case tc.want != "" && !strings.HasPrefix(err.Error(), file+":4: nodes[1].ssh.sudo.passwordFile: "+secret):
				t.Errorf("got %v", err)
			case strings.Contains(tc.want, "chmod") && !strings.HasSuffix(err.Error(), "chmod 600 '"+secret+"'"):
				t.Errorf("not pasteable: %v", err)
			}
		})
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSSHFor(t *testing.T) {
	inv := parseOK(t, `apiVersion: kup/v1alpha1
nodes:
  - {name: cp-1, role: control-plane, address: 10.0.0.11}
  - {name: w-1, role: worker, address: 10.0.0.21, ssh: {port: 2222, identities: [/keys/w], bastion: none, sudo: {mode: password, passwordEnv: W}}}
ssh: {user: ops, identities: [/keys/a, /keys/b], agent: false, bastion: "ops@b", sudo: {passwordFile: /secret}}
`)
	base := SSH{User: "ops", Identities: []string{"/keys/a", "/keys/b"}, Bastion: "ops@b", Config: inv.SSH.Config,
		ConnectTimeout: 10 * time.Second, Keepalive: 15 * time.Second, Sudo: Sudo{Mode: SudoAuto, PasswordFile: "/secret"}}
	own := base
	own.Port, own.Identities, own.Bastion = 2222, []string{"/keys/w"}, None
	own.Sudo = Sudo{Mode: SudoPassword, PasswordEnv: "W"}
	for node, want := range map[string]SSH{"cp-1": base, "w-1": own, "unlisted": base} {
		if diff := cmp.Diff(want, inv.SSHFor(node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", node, diff)
		}
	}
	inv.SSHFor("cp-1").Identities[0] = "changed"
	if inv.SSHFor("cp-1").Identities[0] != "/keys/a" || inv.SSH.Identities[0] != "/keys/a" {
		t.Error("settings share memory with the inventory")
	}
}

func TestDefault(t *testing.T) {
	inv, written := Default(), parseOK(t, minimal)
	written.Nodes = nil
	if inv.Digest() != written.Digest() {
		t.Errorf("Default differs from what a file without settings gives:\n%s", cmp.Diff(written, inv))
	}
}

func TestAmountCount(t *testing.T) {
	for _, tc := range []struct {
		a           Amount
		total, want int
	}{
		{Amount{Number: 1}, 10, 1},
		{Amount{Number: 3}, 2, 3},
		{Amount{Percent: 25}, 8, 2},
		{Amount{Percent: 25}, 7, 1},
		{Amount{Percent: 25}, 11, 2},
		{Amount{Percent: 10}, 9, 1},
		{Amount{Percent: 1}, 5, 1},
		{Amount{Percent: 100}, 5, 5},
		{Amount{Percent: 99}, 5, 4},
		{Amount{Percent: 50}, 0, 1},
		{Amount{}, 5, 1},
	} {
		if got := tc.a.Count(tc.total); got != tc.want {
			t.Errorf("%s of %d: %d, want %d", tc.a, tc.total, got, tc.want)
		}
	}
}

func TestCheckJumps(t *testing.T) {
	for _, s := range []string{"", "none", "b", "my_bastion", "ops@b:2222", "ops@a:22, root@10.0.0.5", "[fd00::1]:22", "ops@fd00::1",
		"ops@corp@b.example.org", "[fd00::1],ops@[fd00::2]:2222"} {
		if err := checkJumps(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{",", "a,", "ops@", "@a", "a:0", "a:x", "a:70000", "-a", "-l@a", "a b", "[fd00::1", "[fd00::1]x", "a:", "300.1.1.1", "a;b", "$(id)"} {
		if err := checkJumps(s); err == nil {
			t.Errorf("%q: accepted", s)
		}
	}
}

func TestDigest(t *testing.T) {
	base := parseOK(t, minimal).Digest()
	same := map[string]string{
		"comments and style": "# hi\nnodes:\n- name: cp-1\n  role: 'control-plane'\n  address: \"10.0.0.11\"\n- name: w-1\n  role: worker\n  address: 10.0.0.21\napiVersion: kup/v1alpha1\n",
		"order of nodes":     "apiVersion: kup/v1alpha1\nnodes: [{name: w-1, role: worker, address: 10.0.0.21}, {name: cp-1, role: control-plane, address: 10.0.0.11}]\n",
		"defaults spelt out": minimal + "pools: [{name: default, maxUnavailable: 1}]\npackages: {manager: apt, hold: true}\nkubeadm: {ignorePreflightErrors: []}\ngates: {timeout: 600s}\n",
		"way to the hosts":   minimal + "ssh: {user: root, bastion: a, sudo: {passwordEnv: X}}\ncluster: {name: a, kubeconfig: /b}\nsnapshots: {directory: /c, second: {directory: /d}}\n",
	}
	for name, text := range same {
		if got := parseOK(t, text).Digest(); got != base {
			t.Errorf("%s: %s, want %s", name, got, base)
		}
	}
	seen := map[string]string{base: "minimal"}
	for name, text := range map[string]string{
		"another node":    minimal + "  - {name: w-2, role: worker, address: 10.0.0.22}\n",
		"another address": strings.Replace(minimal, "10.0.0.21", "10.0.0.22", 1),
		"budget":          minimal + "pools: [{name: default, maxUnavailable: 2}]\n",
		"budget percent":  minimal + "pools: [{name: default, maxUnavailable: 2%}]\n",
		"drain":           minimal + "pools: [{name: default, drain: {force: true}}]\n",
		"manager":         minimal + "packages: {manager: dnf}\n",
		"renewal":         minimal + "kubeadm: {certificateRenewal: false}\n",
		"sustain":         minimal + "gates: {sustain: 11s}\n",
		"load balancer":   minimal + "loadBalancer: {drain: [a], restore: [b]}\n",
		"keep":            minimal + "snapshots: {keep: 1}\n",
		"limit":           minimal + "snapshots: {limit: 1MiB}\n",
		"recipients":      minimal + "snapshots: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}\n",
		"bucket":          minimal + "snapshots: {second: {s3: {endpoint: \"https://s3.example.com\", bucket: etcd}}}\n",
	} {
		got := parseOK(t, text).Digest()
		if other, taken := seen[got]; taken {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[got] = name
	}
}

func TestNearest(t *testing.T) {
	known := []string{"manager", "repository", "repositoryFile", "signingKey", "hold", "passwordFile", "passwordEnv"}
	for got, want := range map[string]string{
		"Manager": "manager", "managr": "manager", "hodl": "hold", "repo": "repository repositoryFile",
		"signing_key": "signingKey", "password": "passwordFile passwordEnv", "xyzzy": "", "x": "", "repositry": "repository",
	} {
		if near := strings.Join(nearest(got, known), " "); near != want {
			t.Errorf("%s: %q, want %q", got, near, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"64KiB": 64 << 10, "50MiB": 50 << 20, "1GiB": 1 << 30, "1024KiB": 1 << 20} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if again, err := ParseBytes(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s", text, got)
		}
	}
	for _, text := range []string{"", "0MiB", "-1MiB", "1.5GiB", "50", "50MB", "50 MiB", "99999999GiB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
