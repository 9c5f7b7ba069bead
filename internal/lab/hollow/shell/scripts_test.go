package shell_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// scriptOf reads the scripts of a package's directory and joins them.
func scriptOf(t *testing.T, dir string, names ...string) string {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("../../..", dir, "scripts", name+".sh"))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	return text.String()
}

// constant reads a string constant from a source file: scripts that are not
// exported are tested as they are.
func constant(t *testing.T, file, name string) string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../../..", file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]ast.Expr{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			values[spec.Names[0].Name] = spec.Values[0]
		}
		return true
	})
	text := evaluated(t, values, values[name])
	if text == "" {
		t.Fatalf("%s has no constant %s", file, name)
	}
	return text
}

// evaluated gives a string expression of literals, constants and +.
func evaluated(t *testing.T, values map[string]ast.Expr, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return text
	case *ast.Ident:
		return evaluated(t, values, values[e.Name])
	case *ast.BinaryExpr:
		return evaluated(t, values, e.X) + evaluated(t, values, e.Y)
	}
	return ""
}

// TestEveryScriptParses parses each script of kup: bash's own syntax, for one, is
// refused.
func TestEveryScriptParses(t *testing.T) {
	var files []string
	for _, dir := range []string{"survey", "step"} {
		found, err := filepath.Glob("../../../" + dir + "/scripts/*.sh")
		if err != nil || len(found) == 0 {
			t.Fatalf("no scripts of %s: %v", dir, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h := newHost(t, nil)
		if code := h.sh("-n", "-c", string(text)); code != 0 || h.stderr() != "" {
			t.Errorf("%s: exit code %d: %s", filepath.Base(file), code, h.stderr())
		}
	}
}

func TestReadAndWriteScripts(t *testing.T) {
	h := newHost(t, nil)
	write := constant(t, "remote/ssh/files.go", "writeScript")
	h.stdin("content\n")
	h.must("sh", "-c", write, "sh", "/var/lib/kup/run/it's", "0640", "8")
	h.stdin("cut")
	if code := h.run("sh", "-c", write, "sh", "/var/lib/kup/run/short", "0640", "8"); code != 1 || !strings.Contains(h.stderr(), "only 3 of 8 bytes") {
		t.Errorf("input that broke off: exit code %d, %s", code, h.stderr())
	}
	if got := h.must("ls", "-A", "/var/lib/kup/run"); got != "it's\n" {
		t.Errorf("the directory holds %q", got)
	}
	if got := h.must("stat", "-c", "%a", "/var/lib/kup/run", "/var/lib/kup/run/it's"); got != "700\n640\n" {
		t.Errorf("modes are %q", got)
	}
	read := constant(t, "remote/ssh/files.go", "readScript")
	if got := h.must("sh", "-c", read, "sh", "/var/lib/kup/run/it's"); got != "content\n" {
		t.Errorf("read %q", got)
	}
	if code := h.run("sh", "-c", read, "sh", "/none"); code != 44 {
		t.Errorf("a missing file: exit code %d", code)
	}
	if code := h.run("sh", "-c", read, "sh", "/var"); code != 1 {
		t.Errorf("a directory: exit code %d", code)
	}
	digest := h.must("sh", "-euc", `[ -e "$1" ] || exit 3; sha256sum "$1"`, "kup", "/var/lib/kup/run/it's")
	if !strings.HasPrefix(digest, "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53  ") {
		t.Errorf("the digest is %q", digest)
	}
}

func TestMirrorScripts(t *testing.T) {
	h := newHost(t, nil)
	h.write("/var/lib/kup/owner", "run 3\n")
	file := "/var/lib/kup/run/journal"
	store := func(epoch, size string) int {
		return h.run("sh", "-euc", constant(t, "cli/mirror.go", "storeScript"), "kup", "/var/lib/kup", epoch, file, size)
	}
	add := func(epoch, size string) int {
		return h.run("sh", "-euc", constant(t, "cli/mirror.go", "appendScript"), "kup", "/var/lib/kup", epoch, file, size)
	}
	for _, step := range []struct {
		input string
		do    func(epoch, size string) int
		epoch string
		size  string
		code  int
		want  string
	}{
		{"one\n", store, "3", "4", 0, "one\n"},
		{"two\n", add, "3", "4", 0, "one\ntwo\n"},
		{"three\n", add, "3", "4", 9, "one\ntwo\n"},
		{"three\n", add, "2", "8", 8, "one\ntwo\n"},
		{"cut", store, "3", "4", 7, "one\ntwo\n"},
		{"", store, "3", "0", 0, ""},
	} {
		h.stdin(step.input)
		if code := step.do(step.epoch, step.size); code != step.code || h.file(file) != step.want {
			t.Errorf("%+v: exit code %d, the file is %q, %s", step, code, h.file(file), h.stderr())
		}
	}
}

func TestAfterMark(t *testing.T) {
	h := newHost(t, nil)
	h.stdin("password\nMARK\nthe input\nof the command")
	got := h.must("sh", "-c", constant(t, "remote/ssh/sudo.go", "afterMark"), "MARK", "cat", "-")
	if got != "the input\nof the command" {
		t.Errorf("the command got %q", got)
	}
	h.stdin("password\n")
	if code := h.run("sh", "-c", constant(t, "remote/ssh/sudo.go", "afterMark"), "MARK", "cat"); code != 125 {
		t.Errorf("without the mark: exit code %d", code)
	}
}

func TestKeepSocketAndRelay(t *testing.T) {
	var calls []string
	record := recorder(&calls)
	h := newHost(t, map[string]shell.Program{"kubectl": record(0), "kubeadm": record(3), "socat": record(0)})
	script := constant(t, "planner/controlplane.go", "keepSocketScript")
	if code := h.run("sh", "-uc", script, "kup", "cp-1", "unix:///run/c.sock", "kubeadm", "upgrade", "node"); code != 3 {
		t.Errorf("exit code %d: %s", code, h.stderr())
	}
	annotate := "kubectl --kubeconfig /etc/kubernetes/admin.conf annotate --overwrite node cp-1 kubeadm.alpha.kubernetes.io/cri-socket=unix:///run/c.sock"
	want := []string{annotate, "kubeadm upgrade node", annotate}
	if strings.Join(calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("it called\n%s", strings.Join(calls, "\n"))
	}
	calls = nil
	h.must("/bin/sh", "-c", constant(t, "etcd/relay.go", "relayScript"), "sh", "127.0.0.1", "2379")
	if len(calls) != 1 || calls[0] != "socat - TCP:127.0.0.1:2379" {
		t.Errorf("it called %q", calls)
	}
}

func TestBackupScript(t *testing.T) {
	h := newHost(t, debian(map[string]string{"kubeadm": "1.33.1-1.1"}, "kubeadm").programs())
	h.write("/etc/kubernetes/admin.conf", "secret")
	h.write("/etc/kubernetes/tmp/old", "not wanted")
	h.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration")
	h.must("ln", "-s", "admin.conf", "/etc/kubernetes/link")
	out := h.must("sh", "-euc", scriptOf(t, "step", "common", "backup"), "kup",
		"/var/lib/kup/run/backup.tar", "1", "/etc/kubernetes/tmp", "/etc/kubernetes", "/var/lib/kubelet/config.yaml", "/none/there")
	if sum := h.must("sha256sum", "/var/lib/kup/run/backup.tar"); sum != out {
		t.Errorf("it printed %q, the digest is %q", out, sum)
	}
	if mode := h.must("stat", "-c", "%a", "/var/lib/kup/run/backup.tar", "/var/lib/kup/run"); mode != "600\n700\n" {
		t.Errorf("modes are %q", mode)
	}
	want := "etc/kubernetes/\netc/kubernetes/admin.conf\netc/kubernetes/link\nkup-state/\nkup-state/absent\nkup-state/dpkg\nkup-state/exclude\nkup-state/holds\nkup-state/paths\nkup-state/versions\nvar/lib/kubelet/config.yaml\n"
	if got := h.must("sh", "-c", "tar -tf /var/lib/kup/run/backup.tar | sort"); got != want {
		t.Errorf("the archive has\n%s", got)
	}
	for member, want := range map[string]string{
		"kup-state/absent": "/none/there\n", "kup-state/holds": "kubeadm\n", "kup-state/dpkg": "kubeadm\t1.33.1-1.1\tinstalled\n",
	} {
		if got := h.must("tar", "-xOf", "/var/lib/kup/run/backup.tar", member); got != want {
			t.Errorf("%s is %q", member, got)
		}
	}
	if got := h.must("ls", "-A", "/var/lib/kup/run"); got != "backup.tar\n" {
		t.Errorf("it left behind %q", got)
	}
}
