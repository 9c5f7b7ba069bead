package survey

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

// objects is what the API tells beyond facts.
type objects struct{ placementErr error }

func (o objects) Placement(context.Context) (cluster.Placement, error) {
	return cluster.Placement{}, o.placementErr
}

func (objects) Objects(context.Context) (cluster.Objects, error) { return cluster.Objects{}, nil }

// withoutConfig is an API that does not tell kubeadm's configuration.
type withoutConfig struct {
	api
	err error
}

func (a withoutConfig) ClusterConfiguration(context.Context) (string, error) { return "", a.err }

func scanned(t *testing.T, in Input) cluster.Scan {
	t.Helper()
	_, out, err := Survey(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestScan(t *testing.T) {
	cp, w := recorded(t, "cp-2"), recorded(t, "w-1")
	out := scanned(t, Input{API: lab(), Objects: objects{}, Etcd: store{}.etcd, Hosts: map[string]remote.Host{"cp-2": cp, "w-1": w}})
	if out.Placement == nil || out.Objects == nil || out.Stored == nil {
		t.Errorf("parts are missing: %+v", out)
	}
	if cp := out.Startup["cp-2"]; cp == nil || cp.Cluster == nil {
		t.Error("a control plane does not know what kubeadm's configuration starts it with")
	}
	if w := out.Startup["w-1"]; w == nil || w.Cluster != nil {
		t.Error("a worker has the control plane's settings, or none of its own")
	}
	if out.HostStates["cp-2"].Hostname != "cp-2" || out.HostStates["w-1"].Hostname != "w-1" {
		t.Errorf("states of hosts: %+v", out.HostStates)
	}
}

func TestScanNamesWhatItCouldNotSee(t *testing.T) {
	broken := errors.New("broken")
	w := recorded(t, "w-1")
	w.failed = map[string]int{"startup": 1, "hoststate": 2}
	out := scanned(t, Input{
		API: withoutConfig{lab(), broken}, Objects: objects{placementErr: broken}, Etcd: store{storedErr: broken}.etcd,
		Hosts: map[string]remote.Host{"w-1": w},
	})
	if out.Placement != nil || out.Stored != nil || out.Objects == nil {
		t.Errorf("parts: %+v", out)
	}
	all := strings.Join(out.Unchecked, "\n")
	for _, want := range []string{
		"drain", "stored objects", "kubeadm's configuration", "w-1: what its components are started with could not be read: w-1: kup-survey-script: exit code 1: startup is broken",
		"w-1: the state of its system could not be read: w-1: kup-survey-script: exit code 2: hoststate is broken",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not named:\n%s", want, all)
		}
	}
}

func TestScanReadsBelowThePrefixOfTheAPIServers(t *testing.T) {
	a := lab()
	if out := scanned(t, Input{API: a, Etcd: store{}.etcd}); out.Stored.Prefix != "" {
		t.Errorf("prefix %q, want the default", out.Stored.Prefix)
	}
	a.config = strings.Replace(a.config, "{name: token, value: hunter2}", "{name: etcd-prefix, value: /elsewhere}", 1)
	if out := scanned(t, Input{API: a, Etcd: store{}.etcd}); out.Stored.Prefix != "/elsewhere" {
		t.Errorf("prefix %q", out.Stored.Prefix)
	}
}

func TestScanWithoutHosts(t *testing.T) {
	out := scanned(t, Input{API: lab(), Objects: objects{}})
	if len(out.Startup) != 0 || len(out.HostStates) != 0 || out.Stored != nil || len(out.Unchecked) != 0 {
		t.Errorf("%+v", out)
	}
}

func TestSurveyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Survey(ctx, Input{API: lab(), Objects: objects{}, Etcd: store{}.etcd}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
