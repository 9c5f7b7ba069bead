package cast

import "slices"

// span is the content of one line from one frame to another. Lines are counted
// from the first one ever shown, so that a line that scrolls keeps its number.
type span struct {
	line     int
	runs     []run
	from, to int // frames; to is the first one without it
}

// film is a recording as spans, with the line on top of the screen in each frame.
// It is small because scrolling moves the view, not the lines.
type film struct {
	frames []frame
	spans  []span
	top    []int
}

func develop(frames []frame) film {
	f := film{frames: frames, top: make([]int, len(frames))}
	open := map[int]int{} // line: index of the span that lasts
	for i, now := range frames {
		if i > 0 {
			f.top[i] = f.top[i-1] + scrolled(frames[i-1].rows, now.rows)
		}
		for y, runs := range now.rows {
			line := f.top[i] + y
			if at, ok := open[line]; ok {
				if slices.Equal(f.spans[at].runs, runs) {
					continue
				}
				f.spans[at].to = i
				delete(open, line)
			}
			if len(runs) > 0 {
				open[line] = len(f.spans)
				f.spans = append(f.spans, span{line: line, runs: runs, from: i})
			}
		}
	}
	for _, at := range open {
		f.spans[at].to = len(frames)
	}
	return f
}

// scrolled finds by how many lines the screen moved up: the least move after
// which most lines are found again.
func scrolled(before, now [][]run) int {
	best, most := 0, -1
	for by := range before {
		same := 0
		for y := range len(before) - by {
			if len(now[y]) > 0 && slices.Equal(now[y], before[y+by]) {
				same++
			}
		}
		if same > most {
			best, most = by, same
		}
	}
	return best
}
