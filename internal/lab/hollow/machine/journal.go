package machine

import (
	"fmt"
	"strings"
	"sync"
)

// journalSize is how many lines a journal keeps.
const journalSize = 200

// journal is what the kubelet said lately.
type journal struct {
	mu    sync.Mutex
	lines []string
}

// notef adds a line, unless it is the last one again.
func (j *journal) notef(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.lines); n > 0 && j.lines[n-1] == line {
		return
	}
	j.lines = append(j.lines, line)
	if extra := len(j.lines) - journalSize; extra > 0 {
		j.lines = append([]string(nil), j.lines[extra:]...)
	}
}

// tail gives the last n lines.
func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for _, line := range j.lines[max(0, len(j.lines)-n):] {
		b.WriteString("kubelet: " + line + "\n")
	}
	return b.String()
}
