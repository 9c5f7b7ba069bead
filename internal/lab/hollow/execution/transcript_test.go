package execution_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
)

// question is one call of the script, or of another program when it has words only.
type question struct {
	args  string
	stdin string
}

// propose is what a command's input looks like.
func propose(command, input string) string {
	return base64.StdEncoding.EncodeToString([]byte(command)) + "\n" + input
}

// conversations are what is asked of a host, in order. BASE and FILE stand for its
// directories; a line that begins with ! is a command of a shell.
var conversations = map[string][]question{
	"owner": {
		{args: "own a 1"}, {args: "own a 1"}, {args: "own b 1"}, {args: "own a 0"}, {args: "own b 2"}, {args: "own a 1"},
		{args: "! cat BASE/owner; ls -A BASE; stat -c %a BASE BASE/owner BASE/lock"},
		{args: "! echo garbage >BASE/owner"}, {args: "own b 9"},
		{args: "! echo b 1x >BASE/owner"}, {args: "own b 9"},
		{args: "! echo 'b  3 ' >BASE/owner"}, {args: "own b 3"}, {args: "own c 3"},
		{args: "! : >BASE/owner"}, {args: "own b 9"},
	},
	"life": {
		{args: "status BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 0 0 0 0"},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 digest unit 0 -1", stdin: propose("echo out; echo err >&2; exit 3\n", "")},
		{args: "run BASE/a/exec/x 1 2 3000 3000 a 1 digest unit 0 -1", stdin: propose("echo never\n", "")},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 other unit 0 -1", stdin: propose("echo never\n", "")},
		{args: "run BASE/a/exec/x 0 0 3000 3000 b 0 digest unit 0 -1", stdin: propose("echo never\n", "")},
		{args: "run BASE/a/exec/y 0 0 3000 3000 b 0 digest unit 0 -1", stdin: propose("echo never\n", "")},
		{args: "status BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 4 0 0 0"}, {args: "wait BASE/a/exec/x 400 400 0 0"},
		{args: "! ls -A BASE/a/exec; cd BASE/a/exec/x; ls; cat digest limit unit command status stdout stderr; cat BASE/owner"},
	},
	"input": {
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 0 4", stdin: propose("cat; read -r x || echo end\n", "in\np")},
		{args: "run BASE/a/exec/y 0 0 3000 3000 a 1 d u 0 0", stdin: propose("cat; echo end\n", "")},
		{args: "run BASE/a/exec/short 0 0 3000 3000 a 1 d u 0 9", stdin: propose("cat\n", "in\n")},
		{args: "run BASE/a/exec/cut 0 0 3000 3000 a 1 d u 0 -1", stdin: "ZWNobwo="},
		{args: "run BASE/a/exec/none 0 0 3000 3000 a 1 d u 0 -1", stdin: ""},
		{args: "! ls -A BASE/a/exec"}, {args: "status BASE/a/exec/short"},
	},
	"waiting": {
		{args: "run BASE/a/exec/x 0 0 3000 0 a 1 d u 0 -1", stdin: propose("echo said; until [ -e FILE/on ]; do sleep 0.02; done; echo end; until [ -e FILE/off ]; do sleep 0.02; done\n", "")},
		{args: "status BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 5 0 0 0"}, {args: "wait BASE/a/exec/x 5 0 20 0"}, {args: "wait BASE/a/exec/x 0 0 0 0"},
		{args: "! : >FILE/on"}, {args: "wait BASE/a/exec/x 5 0 3000 0"}, {args: "own b 7"}, {args: "wait BASE/a/exec/x 9 0 0 0"},
		{args: "! : >FILE/off"}, {args: "wait BASE/a/exec/x 9 0 3000 0"}, {args: "status BASE/a/exec/x"},
	},
	"lost": {
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 0 -1", stdin: propose("echo out\n", "")},
		{args: "! flock -s BASE/a/exec/x/alive rm BASE/a/exec/x/status"}, {args: "status BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 0 0 3000 3000"},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 0 -1", stdin: propose("echo never\n", "")},
		{args: "! echo another >BASE/a/exec/x/boot"}, {args: "status BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 1 0 3000 3000"},
		{args: "! : >BASE/a/exec/x/status"}, {args: "status BASE/a/exec/x"},
		{args: "! echo 9 terminated >BASE/a/exec/x/status"}, {args: "status BASE/a/exec/x"},
		{args: "! rm -r BASE/a/exec/x"}, {args: "wait BASE/a/exec/x 0 0 3000 3000"},
	},
	"unstarted": {
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 0 -1", stdin: propose("echo out >>FILE/ran\n", "")},
		{args: "! flock -s BASE/a/exec/x/alive rm -r BASE/a/exec/x/started BASE/a/exec/x/status"}, {args: "wait BASE/a/exec/x 0 0 3000 3000"},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 e u 0 -1", stdin: propose("echo never\n", "")},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 0 d u 0 -1", stdin: propose("echo never\n", "")},
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 0 -1", stdin: propose("echo never\n", "")},
		{args: "! cat FILE/ran; flock -s BASE/a/exec/x/alive rm -r BASE/a/exec/x/started BASE/a/exec/x/status"}, {args: "status BASE/a/exec/x"},
		{args: "! ls -A BASE/a/exec"}, {args: "status BASE/a/exec/x"},
	},
	"ends": {
		{args: "run BASE/a/exec/x 0 0 3000 3000 a 1 d u 1 -1", stdin: propose("echo began; sleep 60; echo never\n", "")},
		{args: "run BASE/a/exec/trap 0 0 3000 3000 a 1 d u 1 -1", stdin: propose("exec 2>/dev/null; trap 'echo late; exit 0' TERM; sleep 60; echo never\n", "")},
		{args: "run BASE/a/exec/missing 0 0 3000 3000 a 1 d u 60 -1", stdin: propose("exec nosuchprogram 2>/dev/null\n", "")},
		{args: "run BASE/a/exec/zero 0 0 3000 3000 a 1 d u 60 -1", stdin: propose("", "")},
		{args: "dance BASE/a/exec/x"},
	},
}

// TestTranscripts puts the same questions to both kinds of host.
func TestTranscripts(t *testing.T) {
	for name, asked := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := newScript(t).talk(t, asked), newModel(t).talk(t, asked)
			for i := range asked {
				if want[i] != got[i] {
					t.Errorf("question %d, %s:\nthe script answers %s\nthe model  answers %s", i+1, asked[i].args, want[i], got[i])
				}
			}
		})
	}
}

// talk asks the questions and gives the answers, free of what differs by nature.
func (h *host) talk(t *testing.T, asked []question) []string {
	t.Helper()
	file := path.Join(h.file("scripts"), "wrapper-0123456789ab.sh")
	if err := h.WriteFile(t.Context(), file, []byte(wrapper(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReplacer("BASE", h.base, "FILE", h.home)
	out := strings.NewReplacer(h.base, "BASE", h.home, "FILE")
	var answers []string
	for _, q := range asked {
		argv := append([]string{"sh", file, h.base, h.boot, h.file("no-systemd")}, strings.Fields(in.Replace(q.args))...)
		if script, ok := strings.CutPrefix(q.args, "! "); ok {
			argv = []string{"sh", "-c", in.Replace(script)}
		}
		stdin := q.stdin
		if line, rest, ok := strings.Cut(stdin, "\n"); ok {
			command, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			stdin = propose(in.Replace(string(command)), rest)
		}
		r, err := h.Run(t.Context(), remote.Command{Argv: argv, Stdin: strings.NewReader(stdin)})
		var failed *remote.ExitError
		code := 0
		if errors.As(err, &failed) {
			code, r = failed.Code, remote.Result{Stdout: failed.Stdout, Stderr: failed.Stderr}
		} else if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, out.Replace(fmt.Sprintf("%d %q %q", code, r.Stdout, r.Stderr)))
	}
	return answers
}
