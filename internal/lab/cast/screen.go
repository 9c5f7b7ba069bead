package cast

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hinshun/vt10x"
)

// vt10x's attributes, which it does not export.
const (
	attrUnderline = 1 << 1
	attrBold      = 1 << 2
	attrItalic    = 1 << 4
)

// style is how a run of cells looks. Reversed cells have their colours swapped
// already.
type style struct {
	fg, bg          vt10x.Color
	bold, underline bool
	italic          bool
}

// run is text of one style that begins at a column.
type run struct {
	x     int
	text  string
	style style
}

// frame is the screen from a time on.
type frame struct {
	at   time.Duration
	rows [][]run
}

// frames replays the recording. Waits longer than idle are cut to idle, and what
// comes within one tick is one frame.
func frames(r *Recording, idle, tick time.Duration) []frame {
	vt := vt10x.New(vt10x.WithSize(r.Width, r.Height))
	out := []frame{{rows: screen(vt)}}
	var at, last time.Duration // at: with the waits cut; last: as recorded
	var held string
	for i, e := range r.Events {
		at += min(max(e.At-last, 0), idle)
		last = max(e.At, last)
		text, rest := whole(held + e.Data)
		held = rest
		// The terminal knows no faint text; grey reads the same.
		if _, err := vt.Write([]byte(strings.ReplaceAll(text, "\x1b[2m", "\x1b[90m"))); err != nil {
			continue // vt10x writes to memory
		}
		if i+1 < len(r.Events) && min(r.Events[i+1].At-last, idle) < tick && at-out[len(out)-1].at < tick {
			continue
		}
		rows := screen(vt)
		if slices.EqualFunc(rows, out[len(out)-1].rows, slices.Equal[[]run]) {
			continue
		}
		if out[len(out)-1].at == at {
			out = out[:len(out)-1]
		}
		out = append(out, frame{at: at, rows: rows})
	}
	return out
}

var unfinished = regexp.MustCompile(`\x1b(\[[0-9;?]*)?$`)

// whole splits off an escape sequence that goes on in the next event.
func whole(s string) (now, later string) {
	if at := unfinished.FindStringIndex(s); at != nil {
		return s[:at[0]], s[at[0]:]
	}
	return s, ""
}

func screen(vt vt10x.Terminal) [][]run {
	vt.Lock()
	defer vt.Unlock()
	cols, rows := vt.Size()
	out := make([][]run, rows)
	for y := range rows {
		out[y] = row(vt, y, cols)
	}
	return out
}

// row cuts a line of the screen into runs. Text outside ASCII is a run of its
// own, because its glyphs may come from a font with other widths.
func row(vt vt10x.Terminal, y, cols int) []run {
	var out []run
	var text strings.Builder
	var open run
	var plain bool
	end := func() {
		if text.Len() > 0 {
			open.text = text.String()
			out = append(out, open)
			text.Reset()
		}
	}
	for x := range cols {
		g := vt.Cell(x, y)
		if g.Char == 0 {
			g.Char = ' '
		}
		st := look(g)
		if text.Len() == 0 || st != open.style || (g.Char < 0x80) != plain {
			end()
			open, plain = run{x: x, style: st}, g.Char < 0x80
		}
		text.WriteRune(g.Char)
	}
	end()
	return trimmed(out)
}

func look(g vt10x.Glyph) style {
	return style{
		fg: g.FG, bg: g.BG,
		bold: g.Mode&attrBold != 0, underline: g.Mode&attrUnderline != 0, italic: g.Mode&attrItalic != 0,
	}
}

// trimmed leaves out blanks that nobody sees.
func trimmed(runs []run) []run {
	var out []run
	for _, r := range runs {
		if r.style.bg == vt10x.DefaultBG && !r.style.underline {
			text := strings.TrimLeft(r.text, " ")
			r.x += len(r.text) - len(text)
			r.text = strings.TrimRight(text, " ")
		}
		if r.text != "" {
			out = append(out, r)
		}
	}
	return out
}
