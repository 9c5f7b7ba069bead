package cluster

import (
	"encoding/json"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		bad      bool
	}{
		{"v1.34.4", "v1.34.4", false},
		{"1.34.4", "v1.34.4", false},
		{"3.5.24", "v3.5.24", false},
		{"v1.34", "", true},
		{"1", "", true},
		{"", "", true},
		{"v1.34.4-rc.1", "", true},
		{"vv1.34.4", "", true},
		{"1.34.4 ", "", true},
		{"v1.034.4", "", true},
		{"v1.-34.4", "", true},
	} {
		v, err := ParseVersion(tc.in)
		if (err != nil) != tc.bad || v.String() != tc.want {
			t.Errorf("%q: got %v %v, want %q", tc.in, v, err, tc.want)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	ascending := []string{"v0.9.9", "v1.0.0", "v1.9.0", "v1.10.0", "v1.10.2", "v1.10.10", "v2.0.0"}
	for i := range ascending {
		for j := range ascending {
			a, b := MustParseVersion(ascending[i]), MustParseVersion(ascending[j])
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) || a.Less(b) != (i < j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
	if !(Version{}).IsZero() || (Version{}).String() != "" || !(Version{}).Less(MustParseVersion("v0.0.1")) {
		t.Error("the zero version is unknown, empty and older than any")
	}
}

func TestMinor(t *testing.T) {
	for in, want := range map[string]string{"1.34": "1.34", "v1.34": "1.34", "1": "", "1.34.4": "", "1.x": "", "": "", "1.-1": ""} {
		m, err := ParseMinor(in)
		if (err == nil) != (want != "") || (err == nil && m.String() != want) {
			t.Errorf("%q: got %v %v, want %q", in, m, err, want)
		}
	}
	m := Minor{1, 9}
	if m.Next() != (Minor{1, 10}) || !m.Less(m.Next()) || m.Next().Compare(m) <= 0 || !m.Less(Minor{2, 0}) {
		t.Error("minors are not ordered as numbers")
	}
	if got := MustParseVersion("v1.34.4").Line(); got != (Minor{1, 34}) {
		t.Errorf("line of v1.34.4 is %s", got)
	}
}

func TestVersionsAsText(t *testing.T) {
	type holder struct {
		V    Version          `json:"v"`
		None Version          `json:"none"`
		M    Minor            `json:"m"`
		By   map[Minor]string `json:"by"`
	}
	in := holder{V: MustParseVersion("v1.34.4"), M: Minor{1, 34}, By: map[Minor]string{{1, 33}: "x"}}
	b, err := json.Marshal(in)
	if err != nil || string(b) != `{"v":"v1.34.4","none":"","m":"1.34","by":{"1.33":"x"}}` {
		t.Fatalf("%s %v", b, err)
	}
	var out holder
	if err := json.Unmarshal(b, &out); err != nil || out.V != in.V || !out.None.IsZero() || out.M != in.M || out.By[Minor{1, 33}] != "x" {
		t.Errorf("%+v %v", out, err)
	}
	for _, bad := range []string{`{"v":"latest"}`, `{"m":"latest"}`, `{"v":1}`} {
		if json.Unmarshal([]byte(bad), &out) == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"v1.34.4", "1.2.3", "", "v1.2.3-4+5", "1.2.3+b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if back, err := ParseVersion(v.Bare()); err != nil || back != v {
			t.Errorf("%q gives %+v, which does not read back: %v", s, v, err)
		}
	})
}

func TestFactsLookup(t *testing.T) {
	f := Facts{Nodes: []Node{{Name: "cp-1", StaticPods: []StaticPod{{Component: "etcd"}}}, {Name: "w-1"}}}
	if f.Node("w-1") != &f.Nodes[1] || f.Node("w-2") != nil {
		t.Error("Node does not find nodes by name")
	}
	if f.Nodes[0].Static("etcd") != &f.Nodes[0].StaticPods[0] || f.Nodes[1].Static("etcd") != nil {
		t.Error("Static does not find pods by component")
	}
}
