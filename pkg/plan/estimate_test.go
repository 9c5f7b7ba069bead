package plan

import (
	"testing"
	"time"
)

func TestWaveEstimate(t *testing.T) {
	lane := func(seconds ...int) Lane {
		var l Lane
		for _, s := range seconds {
			l = append(l, Step{Estimate: time.Duration(s) * time.Second})
		}
		return l
	}
	tests := map[string]struct {
		parallel int
		lanes    []Lane
		want     time.Duration
	}{
		"one at a time is the sum":    {1, []Lane{lane(10, 20), lane(5)}, 35 * time.Second},
		"all at once is the longest":  {3, []Lane{lane(10), lane(30), lane(20)}, 30 * time.Second},
		"a free place takes the next": {2, []Lane{lane(30), lane(10), lane(10), lane(10)}, 30 * time.Second},
		"no lanes take no time":       {2, nil, 0},
		"parallel of zero means one":  {0, []Lane{lane(1), lane(1)}, 2 * time.Second},
		"a parallel beyond reason":    {1 << 62, []Lane{lane(1), lane(1)}, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := Wave{Parallel: tt.parallel, Lanes: tt.lanes}
			if got := w.Estimate(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
