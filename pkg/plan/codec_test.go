package plan

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// fixtures are plan files of released formats. They are never changed and never
// deleted: a kup must read what an older one wrote.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/roundtrip/v1-*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = b
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	for name, b := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			p, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(p); err != nil {
				t.Error(err)
			}
			if err := Validate(p); err != nil {
				t.Error(err)
			}
			again, err := Encode(p)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, again) {
				t.Error("decoding and encoding changed the file")
			}
			y, err := EncodeYAML(p)
			if err != nil {
				t.Fatal(err)
			}
			j, err := yaml.YAMLToJSON(y)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := Decode(j); err != nil || Verify(back) != nil {
				t.Errorf("the YAML form lost something: %v", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		in     string
		format int
		text   string
	}{
		"nothing":         {"", 0, "unexpected end"},
		"no JSON":         {"plan", 0, "invalid character"},
		"no format":       {"{}", 0, "not a plan of kup"},
		"a later format":  {`{"format":2,"fancy":true}`, 2, "format 2"},
		"unknown field":   {`{"format":1,"fancy":true}`, 1, `unknown field "fancy"`},
		"unknown inside":  {`{"format":1,"hops":[{"from":"v1.33.1","fancy":1}]}`, 1, "fancy"},
		"a second plan":   {`{"format":1}{"format":1}`, 0, "after top-level value"},
		"a bad version":   {`{"format":1,"hops":[{"from":"latest"}]}`, 1, "latest"},
		"format as text":  {`{"format":"1"}`, 0, "format"},
		"a list":          {`[1]`, 0, "cannot unmarshal"},
		"format negative": {`{"format":-1}`, -1, "format -1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(tc.in))
			var fe *FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("got %v, want a FormatError", err)
			}
			if fe.Format != tc.format || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("format %d, %q; want %d, %q", fe.Format, err, tc.format, tc.text)
			}
		})
	}
	if _, err := Encode(&Plan{Format: 7}); err == nil {
		t.Error("a foreign format is written")
	}
}

func TestTampering(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"a command":   func(p *Plan) { first(p, KindCommand).Args["argv"] = JoinArgv("reboot") },
		"a gate":      func(p *Plan) { first(p, KindCommand).After = nil },
		"concurrency": func(p *Plan) { p.Hops[0].Stages[0].Waves[0].Parallel = 9 },
		"a fact":      func(p *Plan) { p.Facts.Nodes[0].Ready = !p.Facts.Nodes[0].Ready },
		"a notice":    func(p *Plan) { p.Notices = p.Notices[1:] },
		"the id":      func(p *Plan) { p.ID = "sha256:0" },
		"no id":       func(p *Plan) { p.ID = "" },
	} {
		t.Run(name, func(t *testing.T) {
			p := sound(t)
			change(p)
			var te *TamperedError
			if err := Verify(p); !errors.As(err, &te) {
				t.Fatalf("got %v, want a TamperedError", err)
			}
			if err := Seal(p); err != nil || Verify(p) != nil {
				t.Errorf("sealed anew it is not accepted: %v", err)
			}
		})
	}
}

// sound gives a plan that keeps every law.
func sound(t testing.TB) *Plan {
	t.Helper()
	p, err := Decode(fixtures(t)["v1-two-hops.json"])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func first(p *Plan, k Kind) *Step {
	var found *Step
	p.Steps(func(_ *Hop, _ *Stage, s *Step) bool {
		if s.Kind == k {
			found = s
		}
		return found == nil
	})
	return found
}

func FuzzDecode(f *testing.F) {
	for _, b := range fixtures(f) {
		f.Add(b)
	}
	f.Add([]byte(`{"format":1,"createdAt":"2026-11-21T09:00:00+01:00","hops":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			var fe *FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		_ = Validate(p) // must not panic
		one, err := Encode(p)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		back, err := Decode(one)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		two, err := Encode(back)
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("decode after encode is not the identity: %v", err)
		}
	})
}

func TestArgv(t *testing.T) {
	for _, argv := range [][]string{nil, {"a"}, {"a", "b c", ""}, {"", "x"}, {"--x=\"y\"\n", "ü"}} {
		if got := SplitArgv(JoinArgv(argv...)); strings.Join(got, "|") != strings.Join(argv, "|") || len(got) != len(argv) {
			t.Errorf("%q became %q", argv, got)
		}
	}
}
