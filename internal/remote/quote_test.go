package remote_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
)

// through gives the words a shell sees in a quoted line.
func through(t *testing.T, argv []string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+remote.Quote(argv))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	words := strings.Split(string(out), "\x00")
	return words[:len(words)-1]
}

func TestQuote(t *testing.T) {
	for line, argv := range map[string][]string{
		`kubeadm upgrade apply v1.34.4 --yes`: {"kubeadm", "upgrade", "apply", "v1.34.4", "--yes"},
		`sh -c 'echo "$0"'`:                   {"sh", "-c", `echo "$0"`},
		`echo ''`:                             {"echo", ""},
		`'A=b' C=d`:                           {"A=b", "C=d"},
		`echo 'it'\''s'`:                      {"echo", "it's"},
		`echo '~root' '*' 'é'`:                {"echo", "~root", "*", "é"},
	} {
		if got := remote.Quote(argv); got != line {
			t.Errorf("Quote(%q) = %s, want %s", argv, got, line)
		}
		if got := through(t, argv); strings.Join(got, "\x00") != strings.Join(argv, "\x00") {
			t.Errorf("%q comes out of the shell as %q", argv, got)
		}
	}
}

// argument is as much of a text as an argument can hold.
func argument(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	return text[:min(len(text), 1<<15)]
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a b", "'", `\`, `'\''`, "$HOME `id` $(id)", "a\nb\n", "-n", "~", "!", "\xff\xfe", "{a,b}", "#x", "=", "A=b", "\r"} {
		f.Add(s, "plain")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = argument(a), argument(b)
		got := through(t, []string{"first", a, b, "last"})
		if len(got) != 4 || !bytes.Equal([]byte(got[1]), []byte(a)) || got[2] != b {
			t.Errorf("%q and %q come out of the shell as %q", a, b, got)
		}
	})
}
