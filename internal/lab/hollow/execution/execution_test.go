package execution_test

import (
	"slices"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/execution"
	"github.com/kup-project/kup/internal/remote"
)

func TestWords(t *testing.T) {
	for _, argv := range [][]string{
		{"kubeadm", "upgrade", "apply", "v1.34.4", "--yes"},
		{"sh", "-c", `echo "$0"`, "it's", "", "a\nb", `\`, "'", "é"},
		{"env", "A=b c", "'x'"},
		{"A=b"},
	} {
		if got := execution.Words("exec " + remote.Quote(argv) + "\n"); !slices.Equal(got, argv) {
			t.Errorf("%q is read as %q", argv, got)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("a b", "it's")
	f.Fuzz(func(t *testing.T, a, b string) {
		argv := []string{"x", a, b}
		if got := execution.Words("exec " + remote.Quote(argv) + "\n"); !slices.Equal(got, argv) {
			t.Errorf("%q is read as %q", argv, got)
		}
		execution.Words(a + b) // whatever it is, it ends
	})
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"1.34%2Fcp-1%2Fapply%2F1": "1.34/cp-1/apply/1", "%2E": ".", "a%": "a%", "a%2": "a%2", "a%zz": "a%zz", "%C3%A9": "é",
	} {
		if got := execution.Unescape(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
