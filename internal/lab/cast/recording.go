package cast

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Recording is what a terminal of a fixed size was sent, and when.
type Recording struct {
	Width, Height int
	Title         string
	Events        []Event
}

// Event is output at a time since the start.
type Event struct {
	At   time.Duration
	Data string
}

type header struct {
	Version int               `json:"version"`
	Width   int               `json:"width"`
	Height  int               `json:"height"`
	Title   string            `json:"title,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// Write writes the recording in asciinema's format, version 2.
func (r *Recording) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	h := header{Version: 2, Width: r.Width, Height: r.Height, Title: r.Title, Env: map[string]string{"TERM": terminal}}
	if err := enc.Encode(h); err != nil {
		return fmt.Errorf("write cast: %w", err)
	}
	for _, e := range r.Events {
		if err := enc.Encode([]any{json.Number(fmt.Sprintf("%.3f", e.At.Seconds())), "o", e.Data}); err != nil {
			return fmt.Errorf("write cast: %w", err)
		}
	}
	return nil
}

// Read reads what [Recording.Write] or asciinema wrote. Events other than output
// are left out.
func Read(r io.Reader) (*Recording, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() {
		return nil, fmt.Errorf("read cast: no header: %w", orEOF(lines.Err()))
	}
	var h header
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
		return nil, fmt.Errorf("read cast: header: %w", err)
	}
	if h.Version != 2 || h.Width < 1 || h.Height < 1 || h.Width > 1000 || h.Height > 1000 {
		return nil, fmt.Errorf("read cast: version %d, %d x %d: want version 2 and a size", h.Version, h.Width, h.Height)
	}
	out := &Recording{Width: h.Width, Height: h.Height, Title: h.Title}
	for n := 2; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		e, output, err := event(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("read cast: line %d: %w", n, err)
		}
		if output {
			out.Events = append(out.Events, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read cast: %w", err)
	}
	return out, nil
}

func event(line []byte) (e Event, output bool, err error) {
	var (
		seconds float64
		kind    string
	)
	if err := json.Unmarshal(line, &[]any{&seconds, &kind, &e.Data}); err != nil {
		return e, false, err
	}
	e.At = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	return e, kind == "o", nil
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
