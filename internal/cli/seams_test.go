package cli

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestSeamsScaleTimes(t *testing.T) {
	for _, tt := range []struct {
		pace                    float64
		gate, lease, connecting time.Duration
	}{
		{0, 10 * time.Second, time.Minute, 5 * time.Second},
		{1, 10 * time.Second, time.Minute, 5 * time.Second},
		{0.5, 5 * time.Second, 30 * time.Second, 2500 * time.Millisecond},
		{0.02, 200 * time.Millisecond, 3 * time.Second, 300 * time.Millisecond}, // a lease is of whole seconds
	} {
		s := Seams{Pace: tt.pace}
		if s.pace(10*time.Second) != tt.gate || s.lease() != tt.lease || s.connecting() != tt.connecting {
			t.Errorf("pace %g: %s, %s and %s", tt.pace, s.pace(10*time.Second), s.lease(), s.connecting())
		}
	}
}

func TestRunTakesItsStreamsFromTheSeams(t *testing.T) {
	var out, err bytes.Buffer
	if code := Run([]string{"version"}, Seams{Stdout: &out, Stderr: &err}); code != exitDone || !strings.HasPrefix(out.String(), "kup ") {
		t.Errorf("%d %q", code, &out)
	}
	if code := Run([]string{"frobnicate"}, Seams{Stdout: &out, Stderr: &err}); code != exitUsage || !strings.Contains(err.String(), "unknown command") {
		t.Errorf("%d %q", code, &err)
	}
}

// The shipped kup has no such knobs: its Run gets zero seams, and no flag and no
// variable is named after one.
func TestSeamsAreOutOfReach(t *testing.T) {
	sys := newSystem(Seams{}, nil)
	if !reflect.DeepEqual(sys.seams, Seams{}) || sys.out != os.Stdout {
		t.Errorf("%+v", sys)
	}
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			for _, word := range []string{"pace", "journal", "seam"} {
				if strings.Contains(f.Name, word) {
					t.Errorf("%s has the flag --%s", c.CommandPath(), f.Name)
				}
			}
		})
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot(sys))
}
