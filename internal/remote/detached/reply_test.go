package detached

import (
	"strings"
	"testing"
)

func TestParseReply(t *testing.T) {
	r, err := parseReply([]byte("Welcome to the host\nkup-exec exited 3 exited 4 2\nout\nerlogout\n"))
	if err != nil || r.state != Exited || r.a != "3" || string(r.stdout) != "out\n" || string(r.stderr) != "er" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, s := range []string{"", "kup-exec", "kup-exec running - - 0 0", "kup-exec a b c 5 0\nabcd", "kup-exec a b c -1 0\n", "kup-exec a b c x 0\n", "kup-execute a b c 0 0\n"} {
		if r, err := parseReply([]byte(s)); err == nil {
			t.Errorf("%q is understood as %+v", s, r)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte("motd\nkup-exec running - - 3 2\nabcde"))
	f.Add([]byte("kup-exec fenced run 7 0 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b)
		if err == nil && len(r.stdout)+len(r.stderr) > len(b) {
			t.Errorf("%q gives more than it has", b)
		}
	})
}

func TestProgressLines(t *testing.T) {
	var got []string
	o := output{note: func(l string) { got = append(got, l) }}
	for _, part := range []string{"on", "e\n\ntwo", "\r\n", "10%\r50%\r100%\n", "e\xffnd"} {
		o.add(&reply{stdout: []byte(part)})
	}
	o.end()
	if s := strings.Join(got, "|"); s != "one|two|100%|e?nd" {
		t.Errorf("%q", s)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("1.34/apply/1", "1.34%2Fapply/1")
	f.Add(".", "..")
	f.Add(strings.Repeat("/", 300), strings.Repeat("/", 301))
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := escape(a), escape(b)
		if (x == y) != (a == b) {
			t.Errorf("%q and %q give %q and %q", a, b, x, y)
		}
		if len(x) > maxName || strings.ContainsAny(x, "/ \n") || strings.HasPrefix(x, ".") {
			t.Errorf("%q gives %q", a, x)
		}
	})
}
