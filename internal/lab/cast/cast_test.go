package cast

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func at(ms int, data string) Event {
	return Event{At: time.Duration(ms) * time.Millisecond, Data: data}
}

// live is output such as kup's: lines that scroll, below them some that are
// erased and drawn again.
func live() *Recording {
	const up = "\x1b[1A\x1b[2K"
	return &Recording{Width: 40, Height: 6, Title: "kup <apply>", Events: []Event{
		at(0, "$ kup apply\r\n"),
		at(300, "\x1b[1mcontrol-plane\x1b[0m\r\n"),
		at(600, "  ▸ cp-1 1s kubeadm\r\n"),
		at(1100, up+"  ▸ cp-1 2s kubeadm\r\n"),
		at(9100, up+"  \x1b[32m✓\x1b[0m cp-1 kubeadm & more \x1b[2m9s\x1b[0m\r\n  ▸ cp-2 1s drain\r\n"),
		at(9600, up+"  \x1b[32m✓\x1b[0m cp-2 drain\r\n  ▸ cp-3 1s drain\r\n"),
		at(10100, up+"  \x1b[31m✗ cp-3 drain\x1b["),
		at(10101, "0m\r\n\x1b[7mreversed\x1b[0m \x1b[38;5;208;4morange\x1b[0m\r\n"),
	}}
}

func render(t *testing.T, r *Recording, o Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Render(&out, r, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRenderGolden(t *testing.T) {
	got := render(t, live(), Options{})
	golden := filepath.Join("testdata", "live.svg")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the drawing differs from %s; look at it, then run the test with -update:\n%s", golden, got)
	}
	if !bytes.Equal(got, render(t, live(), Options{})) {
		t.Error("drawn again, the same recording looks different")
	}
}

func TestRenderIsWellFormedXML(t *testing.T) {
	d := xml.NewDecoder(bytes.NewReader(render(t, live(), Options{})))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func text(rows [][]run) string {
	var lines []string
	for _, runs := range rows {
		line := ""
		for _, r := range runs {
			line += strings.Repeat(" ", r.x-len([]rune(line))) + r.text
		}
		lines = append(lines, line)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestFramesCutWaitsAndMergeBursts(t *testing.T) {
	got := frames(live(), 2*time.Second, 100*time.Millisecond)
	last := got[len(got)-1]
	if want := "  ✓ cp-2 drain\n  ✗ cp-3 drain\nreversed orange"; !strings.HasSuffix(text(last.rows), want) {
		t.Errorf("last frame:\n%s\nwant at its end:\n%s", text(last.rows), want)
	}
	if want := 4101 * time.Millisecond; last.at != want {
		t.Errorf("last frame at %v, want %v: the 8 s wait counts as 2 s", last.at, want)
	}
	for i := 1; i < len(got); i++ {
		if got[i].at <= got[i-1].at {
			t.Errorf("frame %d at %v, the one before at %v", i, got[i].at, got[i-1].at)
		}
	}
}

// TestFilmShowsEveryFrame puts each frame together again from the spans.
func TestFilmShowsEveryFrame(t *testing.T) {
	all := frames(live(), time.Second, time.Millisecond)
	f := develop(all)
	for i, want := range all {
		got := make([][]run, len(want.rows))
		for _, s := range f.spans {
			if y := s.line - f.top[i]; s.from <= i && i < s.to && y >= 0 && y < len(got) {
				got[y] = s.runs
			}
		}
		if !slices.EqualFunc(got, want.rows, slices.Equal[[]run]) {
			t.Errorf("frame %d:\n%s\nwant:\n%s", i, text(got), text(want.rows))
		}
	}
	if top := f.top[len(f.top)-1]; top == 0 {
		t.Error("the screen scrolled and the view did not")
	}
}

func TestScrollingAddsNoCopies(t *testing.T) {
	r := &Recording{Width: 20, Height: 10}
	for i := range 500 {
		r.Events = append(r.Events, at(200*i, "line "+string(rune('a'+i%26))+strings.Repeat("x", i%7)+"\r\n"))
	}
	if n := len(develop(frames(r, time.Second, 100*time.Millisecond)).spans); n > 520 {
		t.Errorf("%d spans for 500 lines", n)
	}
}

func TestReadBack(t *testing.T) {
	var b bytes.Buffer
	if err := live().Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(strings.NewReader(b.String() + "[11.5, \"i\", \"secret\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := live(); got.Title != want.Title || got.Width != want.Width || !slices.Equal(got.Events, want.Events) {
		t.Errorf("read back:\n%+v\nwant:\n%+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, in := range []string{"", "{", `{"version":1,"width":80,"height":24}`, `{"version":2}`, "{\"version\":2,\"width\":80,\"height\":24}\n[1"} {
		if _, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("Read(%q) found no fault", in)
		}
	}
}

func TestRecord(t *testing.T) {
	var tee bytes.Buffer
	script := `test -t 1 && stty size; printf '\033[32m✓\033[0m %s\n' "$GREETING"; exit 3`
	r, code, err := Record(t.Context(), Command{Argv: []string{"sh", "-c", script}, Env: []string{"GREETING=hello"}, Width: 60, Height: 12}, &tee)
	if err != nil {
		t.Fatal(err)
	}
	if code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	got := text(frames(r, time.Second, time.Nanosecond)[len(frames(r, time.Second, time.Nanosecond))-1].rows)
	if want := "12 60\n✓ hello"; got != want {
		t.Errorf("screen:\n%s\nwant:\n%s", got, want)
	}
	if !strings.Contains(tee.String(), "hello") {
		t.Errorf("shown meanwhile: %q", tee.String())
	}
}

func TestRecordEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := Record(ctx, Command{Argv: []string{"sh", "-c", "echo ready; sleep 600"}, Width: 20, Height: 5}, writerFunc(func([]byte) { cancel() }))
	if err == nil || r == nil {
		t.Errorf("got %v, %v; want the recording so far and an error", r, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func TestRunesAreNotCut(t *testing.T) {
	for in, want := range map[string]int{"": 0, "a": 0, "✓": 0, "✓"[:1]: 1, "a" + "✓"[:2]: 2, "\xff": 0} {
		if got := partial([]byte(in)); got != want {
			t.Errorf("partial(%q) = %d, want %d", in, got, want)
		}
	}
}
