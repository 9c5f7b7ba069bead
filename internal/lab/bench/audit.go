package bench

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Requests are those that one client made, by what they were for.
type Requests struct {
	Total int
	By    []RequestCount // the most frequent first
}

// RequestCount is how often something was asked for: "list pods", "get /metrics".
type RequestCount struct {
	What  string
	Count int
}

// countRequests reads the audit log of the API server: the requests of a client whose
// user agent begins with the given text.
func countRequests(log, agent string) (Requests, error) {
	f, err := os.Open(log)
	if err != nil {
		return Requests{}, fmt.Errorf("the API server's audit log: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was read only
	counts := map[string]int{}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return ranked(counts), nil // what has no end of line is still being written
		}
		if err != nil {
			return Requests{}, fmt.Errorf("the API server's audit log: %w", err)
		}
		var event struct {
			UserAgent  string
			Verb       string
			RequestURI string
			ObjectRef  *struct{ Resource, Subresource string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return Requests{}, fmt.Errorf("the API server's audit log: %w", err)
		}
		if !strings.HasPrefix(event.UserAgent, agent) {
			continue
		}
		what, _, _ := strings.Cut(event.RequestURI, "?")
		if event.ObjectRef != nil {
			what = strings.TrimSuffix(event.ObjectRef.Resource+"/"+event.ObjectRef.Subresource, "/")
		}
		counts[event.Verb+" "+what]++
	}
}

func ranked(counts map[string]int) Requests {
	var out Requests
	for what, n := range counts {
		out.Total += n
		out.By = append(out.By, RequestCount{what, n})
	}
	slices.SortFunc(out.By, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.What, b.What))
	})
	return out
}
