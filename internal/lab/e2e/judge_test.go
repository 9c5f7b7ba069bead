package e2e

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/internal/lab/workload"
)

func TestTable(t *testing.T) {
	got := table([][]string{{"node", "kubelet"}, {"cp-1", "v1.34.4"}, {"a-long-name", "–"}})
	want := "node         kubelet\n-----------  -------\ncp-1         v1.34.4\na-long-name  –\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCanaries(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	value, err := newCanary("secret")
	if err != nil {
		t.Fatal(err)
	}
	c := canaries{"secret": value, "other": "canary-other-0123456789"}
	write("clean.json", `{"a": 1}`)
	write("raw.log", "value is "+value)
	for shift, prefix := range []string{"", "y", "yy"} {
		write(string(rune('a'+shift))+".b64", base64.StdEncoding.EncodeToString([]byte(prefix+value+prefix)))
	}
	write("snapshot.db", value)
	searched, leaks, snapshots, err := c.search(dir, filepath.Join(dir, "absent"))
	if err != nil {
		t.Fatal(err)
	}
	if searched != 5 || len(leaks) != 4 || len(snapshots) != 1 {
		t.Errorf("searched %d, leaks %v, snapshots %v", searched, leaks, snapshots)
	}
	for _, l := range leaks {
		if l.canary != "secret" {
			t.Errorf("%+v", l)
		}
	}
}

func TestOpenModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"ok": 0o600, "open": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	got, err := openModes(dir)
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "open is") {
		t.Errorf("%v %v", got, err)
	}
	if got, err := openModes(filepath.Join(dir, "absent")); err != nil || got != nil {
		t.Errorf("absent: %v %v", got, err)
	}
}

func TestCertificates(t *testing.T) {
	cert, err := workload.NewCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := "apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user:\n    client-certificate-data: " +
		base64.StdEncoding.EncodeToString(cert.Cert) + "\n"
	text := fileMark + "/etc/kubernetes/pki/ca.crt\n" + string(cert.CA) + "\n" +
		fileMark + "/etc/kubernetes/pki/apiserver.crt\n" + string(cert.Cert) + "\n" +
		fileMark + "/etc/kubernetes/admin.conf\n" + conf + "\n" +
		fileMark + "/etc/kubernetes/kubelet.conf\nusers: []\n"
	got, err := parseCertificates(text)
	if err != nil {
		t.Fatal(err)
	}
	if names := sortedNames(got); !slices.Equal(names, []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/apiserver.crt"}) {
		t.Errorf("%v", names)
	}
	if _, err := parseCertificates(fileMark + "x.crt\nnothing\n"); err == nil {
		t.Error("a file without a certificate was accepted")
	}
}

func TestRenewal(t *testing.T) {
	renewed, stale := renewal(
		map[string]time.Time{"a": at(0), "b": at(0), "c": at(0)},
		map[string]time.Time{"a": at(1), "b": at(0), "d": at(5)})
	if renewed != 1 || len(stale) != 2 || !strings.HasPrefix(stale[0], "b still expires") || stale[1] != "c is gone" {
		t.Errorf("%d %v", renewed, stale)
	}
}

func TestChanged(t *testing.T) {
	before := map[string]string{"node a": "x 1\ny 2", "node b": "z", "gone": "q"}
	after := map[string]string{"node a": "x 1\ny 3", "node b": "z", "more": "w"}
	want := []string{"gone: now ", "node a: now y 3", "more: new"}
	if got := changed(before, after); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := changed(before, before); got != nil {
		t.Errorf("%q", got)
	}
}

func TestErrorLine(t *testing.T) {
	for stderr, want := range map[string]string{
		"": "",
		"progress\nerror: no such node\nhint: look": "error: no such node",
		"  BLOCK KUP-1 x\nkup: 1 finding\n":         "BLOCK KUP-1 x",
		"kup: cannot\n  hint: do\n":                 "kup: cannot",
		"one\ntwo\nHint: three\n":                   "two",
	} {
		if got := (outcome{stderr: []byte(stderr)}).errorLine(); got != want {
			t.Errorf("%q: %q, want %q", stderr, got, want)
		}
	}
}

func TestPrefixed(t *testing.T) {
	var b strings.Builder
	w := prefixed(&b, "> ")
	for _, s := range []string{"a", "b\nc\n", "d"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.String() != "> ab\n> c\n" {
		t.Errorf("%q", b.String())
	}
}

func TestVersionsAndWords(t *testing.T) {
	if compareVersions("3.5.33", "3.6.5") >= 0 || compareVersions("v1.34.10", "v1.34.9") <= 0 || compareVersions("3.6.5", "3.6.5") != 0 {
		t.Error("order of versions")
	}
	if lastWord("Kubernetes v1.34.4\n") != "v1.34.4" || lastWord("") != "" {
		t.Error("last word")
	}
	if m, err := minors("1.33", 2); strings.Join(m, " ") != "1.33 1.34 1.35" || err != nil {
		t.Error(m, err)
	}
	if _, err := minors("x", 1); err == nil {
		t.Error("minors accepts x")
	}
	if !announcesOutage("note: the API server will not answer for about 60 s") || announcesOutage("all is well with the API") {
		t.Error("announcesOutage")
	}
	if got := firstWord([]string{"-f", "/a/b.yaml", "plan"}); got != "plan" {
		t.Error(got)
	}
	if neighbour("10.210.0.11") != "10.210.0.249" {
		t.Error("neighbour")
	}
}

func TestScenarios(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, s := range Scenarios() {
		if s.Name == "" || s.Summary == "" || s.run == nil || s.controlPlanes < 1 {
			t.Errorf("incomplete: %+v", s.Name)
		}
		// A second lab has two letters more.
		if _, err := node.Open(t.Context(), labOf(s.Name)+"-2"); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	err := Run(t.Context(), "nonsense", Options{}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "rehearsal") {
		t.Errorf("%v", err)
	}
	seen := map[string]bool{}
	for _, c := range badCases() {
		if seen[c.name] || c.text == "" || c.code == 0 {
			t.Errorf("case %q: twice, or nothing to find, or no exit code", c.name)
		}
		seen[c.name] = true
	}
}
