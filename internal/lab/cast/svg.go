package cast

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hinshun/vt10x"
)

// Options of a drawing. Zero values mean the defaults.
type Options struct {
	Title string        // in the window's bar; default: the recording's
	Idle  time.Duration // longer waits are cut to this; default 2 s
	Tick  time.Duration // least time between two frames; default 100 ms
	Hold  time.Duration // how long the last frame stays before it begins again; default 5 s
}

func (o Options) withDefaults(r *Recording) Options {
	if o.Title == "" {
		o.Title = r.Title
	}
	for at, value := range map[*time.Duration]time.Duration{&o.Idle: 2 * time.Second, &o.Tick: 100 * time.Millisecond, &o.Hold: 5 * time.Second} {
		if *at == 0 {
			*at = value
		}
	}
	return o
}

// The size of a cell and of what is around the screen, in pixels.
const (
	fontSize   = 14
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 14
	bar        = 34
)

// Render draws the recording as an SVG that plays by itself, again and again.
// Without animation, or for readers who want none, it shows the last frame.
func Render(w io.Writer, r *Recording, o Options) error {
	o = o.withDefaults(r)
	p := &painter{w: bufio.NewWriter(w), film: develop(frames(r, o.Idle, o.Tick))}
	p.length = p.film.frames[len(p.film.frames)-1].at + o.Hold
	width, height := float64(r.Width)*cellWidth, r.Height*cellHeight
	p.open(o.Title, width+2*margin, height+bar+margin)
	p.printf(`<svg x="%d" y="%d" width="%s" height="%d">`, margin, bar, number(width), height)
	p.printf(`<g class="v">`)
	p.spans()
	p.printf("</g></svg></svg>\n")
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write SVG: %w", err)
	}
	return nil
}

type painter struct {
	w      *bufio.Writer
	film   film
	length time.Duration
}

// printf leaves errors to the writer, which keeps the first one for Flush.
func (p *painter) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

func (p *painter) open(title string, width float64, height int) {
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]s" height="%[2]d" viewBox="0 0 %[1]s %[2]d" role="img" aria-label="%[3]s">`,
		number(width), height, html.EscapeString(title))
	p.printf("<style>")
	p.printf(`text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:%s;white-space:pre}`, fontSize, foreground)
	p.printf(`.b{font-weight:700}.u{text-decoration:underline}.i{font-style:italic}.h{visibility:hidden}`)
	p.printf(`.v,.v>g{animation:%ss step-end infinite}`, number(p.length.Seconds()))
	p.printf(`@media(prefers-reduced-motion){.v,.v>g{animation:none!important}}`)
	p.view()
	p.printf("</style>")
	p.printf(`<rect width="100%%" height="100%%" rx="8" fill="%s"/>`, background)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		p.printf(`<circle cx="%d" cy="17" r="6" fill="%s"/>`, 20+20*i, colour)
	}
	p.printf(`<text x="50%%" y="22" text-anchor="middle" fill-opacity=".6">%s</text>`, html.EscapeString(title))
}

// view moves the lines up under the window as the screen scrolls.
func (p *painter) view() {
	p.printf(".v{animation-name:v;transform:translateY(%dpx)}@keyframes v{", -p.film.top[len(p.film.top)-1]*cellHeight)
	for i, top := range p.film.top {
		if i == 0 || top != p.film.top[i-1] {
			p.printf("%s{transform:translateY(%dpx)}", p.percent(i), -top*cellHeight)
		}
	}
	p.printf("}")
}

// spans draws the lines, those that come and go together in one group.
func (p *painter) spans() {
	type life struct{ from, to int }
	groups := map[life][]span{}
	for _, s := range p.film.spans {
		l := life{s.from, s.to}
		groups[l] = append(groups[l], s)
	}
	last := len(p.film.frames)
	lives := slices.SortedFunc(maps.Keys(groups), func(a, b life) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
	p.printf("<style>")
	for i, l := range lives {
		p.printf("@keyframes %s{", name(i))
		if l.from > 0 {
			p.printf("0%%{visibility:hidden}")
		}
		p.printf("%s{visibility:visible}", p.percent(l.from))
		if l.to < last {
			p.printf("%s{visibility:hidden}", p.percent(l.to))
		}
		p.printf("}")
	}
	p.printf("</style>\n")
	for i, l := range lives {
		class := ""
		if l.to < last {
			class = ` class="h"`
		}
		p.printf(`<g%s style="animation-name:%s">`, class, name(i))
		for _, s := range groups[l] {
			p.line(s)
		}
		p.printf("</g>\n")
	}
}

func (p *painter) line(s span) {
	top := s.line * cellHeight
	for _, r := range s.runs {
		if fill, ok := colour(r.style.bg, vt10x.DefaultBG); ok {
			p.printf(`<rect x="%s" y="%d" width="%s" height="%d" fill="%s"/>`,
				number(float64(r.x)*cellWidth), top, number(float64(utf8.RuneCountInString(r.text))*cellWidth), cellHeight, fill)
		}
	}
	p.printf(`<text y="%d">`, top+cellHeight-5)
	for _, r := range s.runs {
		p.printf(`<tspan x="%s"%s>%s</tspan>`, number(float64(r.x)*cellWidth), attributes(r), html.EscapeString(r.text))
	}
	p.printf("</text>")
}

func attributes(r run) string {
	var out strings.Builder
	var classes []string
	for _, c := range []struct {
		set  bool
		name string
	}{{r.style.bold, "b"}, {r.style.underline, "u"}, {r.style.italic, "i"}} {
		if c.set {
			classes = append(classes, c.name)
		}
	}
	if len(classes) > 0 {
		fmt.Fprintf(&out, ` class="%s"`, strings.Join(classes, " "))
	}
	if fill, ok := colour(r.style.fg, vt10x.DefaultFG); ok {
		fmt.Fprintf(&out, ` style="fill:%s"`, fill)
	}
	// Whatever font is found, columns stay columns.
	if n := utf8.RuneCountInString(r.text); n > 2 {
		fmt.Fprintf(&out, ` textLength="%s"`, number(float64(n)*cellWidth))
	}
	return out.String()
}

// percent is where in the animation a frame begins.
func (p *painter) percent(i int) string {
	return number(100*p.film.frames[i].at.Seconds()/p.length.Seconds()) + "%"
}

// name is that of the i-th group's animation, never the view's "v".
func name(i int) string { return "k" + strconv.FormatInt(int64(i), 36) }

func number(f float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', 3, 64), "0"), ".")
}
