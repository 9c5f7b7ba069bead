package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/snapshot"
)

// One good copy does not hide a damaged one from who reads only the exit code.
func TestVerifiedTellsOfDamagedCopies(t *testing.T) {
	whole, damaged := snapshot.Copy{Place: "here"}, snapshot.Copy{Place: "/mnt/second", Problem: "its checksum is another one"}
	for name, tt := range map[string]struct {
		copies []snapshot.Copy
		code   int
	}{
		"a file":      {nil, exitDone},
		"whole":       {[]snapshot.Copy{whole}, exitDone},
		"one damaged": {[]snapshot.Copy{whole, damaged}, exitUnexpected},
	} {
		for _, output := range []string{"text", "json"} {
			var out, said bytes.Buffer
			err := tellVerified(&out, output, snapshot.Verified{Meta: snapshot.Meta{Name: "x.db"}, Copies: tt.copies})
			if code := exit(&said, err); code != tt.code || out.Len() == 0 {
				t.Errorf("%s, %s: exit code %d, %q", name, output, code, out.String())
			}
			if tt.code == exitDone {
				continue
			}
			if bad := new(badCopiesError); !errors.As(err, &bad) || !strings.Contains(said.String(), "/mnt/second") || strings.Contains(said.String(), "here") || !strings.Contains(said.String(), "hint: ") {
				t.Errorf("%s, %s: %q", name, output, said.String())
			}
		}
	}
}
