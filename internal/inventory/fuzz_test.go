package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse feeds anything to Parse: it gives an inventory that holds together
// or one printable *Error, and never panics.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*valid-*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := Parse("/etc/kup/kup.yaml", data)
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || inv != nil || bad.Problem == "" || bad.Fix == "" {
				t.Fatalf("not a complete *Error: %#v", err)
			}
			if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Fatalf("not one printable line: %q", err.Error())
			}
			return
		}
		if bad := (&checker{inv: inv}).check(); bad != nil {
			t.Fatalf("accepted, but %v", bad)
		}
		if again, err := Parse("/etc/kup/kup.yaml", data); err != nil || again.Digest() != inv.Digest() {
			t.Fatalf("a second look differs: %v", err)
		}
		for _, n := range inv.Nodes {
			if err := checkJumps(inv.SSHFor(n.Name).Bastion); err != nil {
				t.Fatalf("%s: %v", n.Name, err)
			}
		}
	})
}
