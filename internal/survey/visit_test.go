package survey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// alone is a host on which the command that runs all scripts does not get anywhere.
type alone struct {
	*host
	err error
}

func (a alone) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	if scriptName(c.Argv[2]) == "visit" {
		return remote.Result{}, a.err
	}
	return a.host.Run(ctx, c)
}

// TestScriptsOnTheirOwn: what cannot be had in one command is had in several, and says
// the same.
func TestScriptsOnTheirOwn(t *testing.T) {
	see := func(h remote.Host) (cluster.Facts, cluster.Scan) {
		facts, scan, err := Survey(t.Context(), Input{API: lab(), Hosts: map[string]remote.Host{"w-1": h}, Etcd: store{}.etcd})
		if err != nil {
			t.Fatal(err)
		}
		facts.At = time.Time{}
		return facts, scan
	}
	together := recorded(t, "w-1")
	wantFacts, wantScan := see(together)
	if len(together.calls) != 1 || len(wantFacts.Unchecked) > 0 {
		t.Fatalf("calls %q, unchecked %q", together.calls, wantFacts.Unchecked)
	}
	for name, err := range map[string]error{
		"it breaks off":     &remote.ExitError{Host: "w-1", Code: 137},
		"it takes too long": fmt.Errorf("w-1: not done: %w", context.DeadlineExceeded),
		"reply lost":        &remote.ConnectionError{Host: "w-1", Err: errors.New("reset")},
	} {
		t.Run(name, func(t *testing.T) {
			h := recorded(t, "w-1")
			facts, scan := see(alone{h, err})
			if !reflect.DeepEqual(facts, wantFacts) || !reflect.DeepEqual(scan, wantScan) {
				t.Errorf("got  %+v %+v\nwant %+v %+v", facts, scan, wantFacts, wantScan)
			}
			var scripts []string
			for _, c := range h.calls {
				scripts = append(scripts, strings.Fields(c)[0])
			}
			if want := []string{"host", "edits", "startup", "hoststate"}; !slices.Equal(scripts, want) {
				t.Errorf("ran %q", scripts)
			}
		})
	}
	t.Run("not reached", func(t *testing.T) {
		h := recorded(t, "w-1")
		facts, _ := see(alone{h, &remote.ConnectionError{Host: "w-1", Unsent: true, Err: errors.New("no route")}})
		if len(h.calls) > 0 || len(facts.Unchecked) != 1 || !strings.Contains(facts.Unchecked[0], "w-1 could not be surveyed: w-1: no route") {
			t.Errorf("calls %q, unchecked %q", h.calls, facts.Unchecked)
		}
	})
	t.Run("one script breaks off", func(t *testing.T) {
		h := recorded(t, "w-1")
		h.failed = map[string]int{"hoststate": 137}
		facts, scan := see(h)
		if facts.Node("w-1").Host == nil || scan.Startup["w-1"] == nil || scan.HostStates["w-1"] != nil || len(scan.Unchecked) != 1 {
			t.Errorf("the others were not seen: %+v %+v", facts, scan)
		}
	})
}

func TestSpoken(t *testing.T) {
	got := spoken("noise\n" + scriptMark + "a\nx\n\n" + exitMark + "0\nnoise\n" + scriptMark + "b\r\ny\r\n" + exitMark + "3\r\n" + scriptMark + "c\nz\n" + scriptMark + "d\nend")
	want := map[string]said{
		"a": {"x\n\n", 0, true}, "b": {"y\r\n", 3, true},
		"c": {text: "z\n"}, "d": {text: "end"}, // nobody knows whether they were done
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestVisitScript runs it on a modelled host, with scripts of its own.
func TestVisitScript(t *testing.T) {
	run := func(socket, release string, scripts ...string) (map[string]said, map[string]said) {
		t.Helper()
		var out, complaints bytes.Buffer
		sh := shell.New(vfs.New(), nil)
		args := append([]string{"sh", "-c", visitScript, "kup", "/patches", socket, "open flags", release}, scripts...)
		p := &shell.Process{Args: args, Stdin: strings.NewReader("password\n"), Stdout: &out, Stderr: &complaints, Root: true}
		if code := sh.Exec(t.Context(), p); code != 0 {
			t.Fatalf("exit code %d: %s", code, complaints.String())
		}
		return spoken(out.String()), spoken(complaints.String())
	}
	host := `printf '\n#kup:part kubeadm\nv1.33.5\n\n#kup:part sandbox\n\nregistry/pause:3.10\nother\n\n#kup:part socket\nunix:///found\n\n#kup:part etcd\n'; echo "$1 $2"`
	echo := `cat; echo "$# $*"`
	out, complaints := run("", "v1.33.", host, "exit 3", "echo oops >&2; exit 4", echo, echo)
	for name, want := range map[string]said{
		"certificates": {"\n", 3, true}, "startup": {"\n", 4, true}, "hoststate": {"2 unix:///found registry/pause:3.10\n\n", 0, true}, "edits": {"1 /patches\n\n", 0, true},
	} {
		if out[name] != want {
			t.Errorf("%s: %+v, want %+v", name, out[name], want)
		}
	}
	if h := out["host"]; !h.done || h.code != 0 || parts(h.text)["etcd"] != "/patches" {
		t.Errorf("host: %+v", h)
	}
	if got := strings.TrimSpace(complaints["startup"].text); got != "oops" || strings.TrimSpace(complaints["certificates"].text) != "" {
		t.Errorf("complaints: %+v", complaints)
	}
	if c := readClock(out["began"].text, out["ended"].text, time.Now(), time.Now()); c == nil {
		t.Errorf("the clock is %q to %q", out["began"].text, out["ended"].text)
	}
	out, _ = run("unix:///given", "v1.3.", host, "", echo, echo, echo)
	if _, ran := out["certificates"]; ran || out["hoststate"].text != "2 unix:///given registry/pause:3.10\n\n" || out["startup"].text != "1 open flags\n\n" {
		t.Errorf("%+v", out)
	}
	if _, ran := out["edits"]; ran {
		t.Error("a kubeadm of another minor was asked what it would write")
	}
	out, _ = run("", "v1.33.", "exit 1", "", echo, echo, echo)
	if _, ran := out["edits"]; ran || out["host"].code != 1 || out["hoststate"].text != "2  \n\n" {
		t.Errorf("where the first script fails: %+v", out)
	}
}

// TestUnreachable: every host that cannot be reached is named, none of the others is kept
// waiting for, and what is asked beside them is given up.
func TestUnreachable(t *testing.T) {
	var mutex sync.Mutex
	left := map[string]bool{}
	cp, w := recorded(t, "cp-2"), recorded(t, "w-1")
	in := Input{
		API: lab(), Hosts: map[string]remote.Host{"cp-2": cp, "w-1": w, "w-2": recorded(t, "w-1")},
		Reach: func(_ context.Context, node string) error {
			if node == "cp-2" {
				return nil
			}
			return errors.New(node + " is away")
		},
		Leave: func(node string) { mutex.Lock(); left[node] = true; mutex.Unlock() },
		Etcd: func(ctx context.Context, _ cluster.Etcd) (Etcd, error) {
			<-ctx.Done()
			return nil, errors.New("etcd is away")
		},
		Beside: func(ctx context.Context, of cluster.Version) {
			if of.String() != "v1.33.13" {
				t.Errorf("beside is told of %s", of)
			}
			<-ctx.Done()
		},
	}
	_, _, err := Survey(t.Context(), in)
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || err.Error() != "w-1 is away; w-2 is away" {
		t.Errorf("error %v", err)
	}
	if len(w.calls) > 0 || !left["cp-2"] || !left["w-1"] || !left["w-2"] {
		t.Errorf("asked of a host that was not reached: %q; left %v", w.calls, left)
	}
	in.Reach = nil
	in.Etcd = func(context.Context, cluster.Etcd) (Etcd, error) { return nil, errors.New("etcd is away") }
	in.Beside = nil
	if _, _, err := Survey(t.Context(), in); err == nil || err.Error() != "etcd is away" {
		t.Errorf("error %v", err)
	}
}
