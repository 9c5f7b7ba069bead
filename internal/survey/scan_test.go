package survey

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

type scanner struct {
	api
	placementErr, configErr error
}

func (s scanner) ClusterConfiguration(context.Context) (string, error) { return s.config, s.configErr }

func (s scanner) Placement(context.Context) (cluster.Placement, error) {
	return cluster.Placement{}, s.placementErr
}

func (scanner) Objects(context.Context) (cluster.Objects, error) { return cluster.Objects{}, nil }

type storeOf struct{ err error }

func (s storeOf) Stored(_ context.Context, prefix string) (cluster.Stored, error) {
	return cluster.Stored{Prefix: prefix}, s.err
}

// silent is a host whose programs print nothing.
type silent struct {
	host
	err error
}

func (s *silent) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{}, s.err
}

func scanned(t *testing.T, in ScanInput) cluster.Scan {
	t.Helper()
	facts := lab().facts
	for i := range facts.Nodes {
		facts.Nodes[i].Host = &cluster.Host{}
	}
	out, err := Scan(t.Context(), in, &facts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestScan(t *testing.T) {
	out := scanned(t, ScanInput{
		API: scanner{api: lab()}, Store: storeOf{},
		Hosts: map[string]remote.Host{"cp-2": &silent{}, "w-1": &silent{}},
	})
	if out.Placement == nil || out.Objects == nil || out.Stored == nil {
		t.Errorf("parts are missing: %+v", out)
	}
	if cp := out.Startup["cp-2"]; cp == nil || cp.Cluster == nil {
		t.Error("a control plane does not know what kubeadm's configuration starts it with")
	}
	if w := out.Startup["w-1"]; w != nil && w.Cluster != nil {
		t.Error("a worker has the control plane's settings")
	}
}

func TestScanNamesWhatItCouldNotSee(t *testing.T) {
	broken := errors.New("broken")
	out := scanned(t, ScanInput{
		API: scanner{api: lab(), placementErr: broken, configErr: broken}, Store: storeOf{err: broken},
		Hosts: map[string]remote.Host{"w-1": &silent{err: broken}},
	})
	if out.Placement != nil || out.Stored != nil || out.Objects == nil {
		t.Errorf("parts: %+v", out)
	}
	all := strings.Join(out.Unchecked, "\n")
	for _, want := range []string{"drain", "stored objects", "kubeadm's configuration", "w-1: what its components", "w-1: the state of its system"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not named:\n%s", want, all)
		}
	}
}

func TestScanReadsBelowThePrefixOfTheAPIServers(t *testing.T) {
	a := lab()
	if out := scanned(t, ScanInput{API: scanner{api: a}, Store: storeOf{}}); out.Stored.Prefix != "" {
		t.Errorf("prefix %q, want the default", out.Stored.Prefix)
	}
	a.config = strings.Replace(a.config, "{name: token, value: hunter2}", "{name: etcd-prefix, value: /elsewhere}", 1)
	if out := scanned(t, ScanInput{API: scanner{api: a}, Store: storeOf{}}); out.Stored.Prefix != "/elsewhere" {
		t.Errorf("prefix %q", out.Stored.Prefix)
	}
}

func TestScanWithoutHosts(t *testing.T) {
	out := scanned(t, ScanInput{API: scanner{api: lab()}})
	if len(out.Startup) != 0 || len(out.HostStates) != 0 || out.Stored != nil || len(out.Unchecked) != 0 {
		t.Errorf("%+v", out)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	facts := lab().facts
	if _, err := Scan(ctx, ScanInput{API: scanner{api: lab()}}, &facts); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
