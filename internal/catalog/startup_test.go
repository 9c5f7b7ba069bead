package catalog

import (
	"maps"
	"slices"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func lineOf(t *testing.T, s string) cluster.Minor {
	t.Helper()
	m, err := cluster.ParseMinor(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLostFlags(t *testing.T) {
	c := load(t)
	for _, tc := range []struct{ component, flag, in, byKubeadm string }{
		{"kubelet", "network-plugin", "1.24", ""},
		{"kubelet", "container-runtime", "1.27", "1.26"},
		{"kubelet", "pod-infra-container-image", "1.35", "1.35"},
		{"kubelet", "storage-driver-db", "1.37", ""},
		{"kube-apiserver", "insecure-port", "1.24", ""},
		{"kube-controller-manager", "pod-eviction-timeout", "1.27", ""},
		{"kube-scheduler", "policy-config-file", "1.23", ""},
		{"kube-scheduler", "logtostderr", "1.26", ""},
		{"kubelet", "logtostderr", "1.26", ""},
		{"etcd", "enable-v2", "3.6", ""},
		{"etcd", "experimental-initial-corrupt-check", "3.7", ""},
		{"kubelet", "housekeeping-interval", "", ""},             // kept in 1.37
		{"kubelet", "container-runtime-endpoint", "", ""},        // deprecated only
		{"etcd", "logtostderr", "", ""},                          // not one of Kubernetes' components
		{"kube-apiserver", "service-account-issuer", "", ""},     // never lost
		{"kube-controller-manager", "insecure-port", "", ""},     // never had it
		{"kube-apiserver", "experimental-no-such-thing", "", ""}, // nobody knows it
	} {
		got, ok := c.LostFlag(tc.component, tc.flag)
		if ok != (tc.in != "") {
			t.Errorf("%s --%s: lost %v", tc.component, tc.flag, ok)
		}
		if ok && (got.In != lineOf(t, tc.in) || (tc.byKubeadm != "") != (got.ByKubeadm != cluster.Minor{}) || got.Source == "") {
			t.Errorf("%s --%s: %+v", tc.component, tc.flag, got)
		}
	}
}

func TestGates(t *testing.T) {
	c := load(t)
	for _, tc := range []struct{ gate, lost, locked string }{
		{"TaintBasedEvictions", "1.20", "1.18"},
		{"IPv6DualStack", "1.25", "1.23"},
		{"PodSecurity", "1.28", "1.25"},
		{"ComponentSLIs", "1.35", "1.32"},
		{"UserNamespacesSupport", "", "1.36"},
		{"KMSv1", "", ""},
		{"AllAlpha", "", ""},
	} {
		lost, isLost := c.LostGate(tc.gate)
		locked, isLocked := c.LockedGate(tc.gate)
		if isLost != (tc.lost != "") || isLost && lost.In != lineOf(t, tc.lost) {
			t.Errorf("%s: lost %v in %s", tc.gate, isLost, lost.In)
		}
		if isLocked != (tc.locked != "") || isLocked && (locked.In != lineOf(t, tc.locked) || !locked.To) {
			t.Errorf("%s: locked %v in %s", tc.gate, isLocked, locked.In)
		}
	}
	if g, _ := c.LockedGate("LegacyNodeRoleBehavior"); g.To {
		t.Error("LegacyNodeRoleBehavior is locked to off")
	}
	for name, lock := range c.startup.locks {
		if lost, ok := c.LostGate(name); ok && !lock.In.Less(lost.In) {
			t.Errorf("%s is locked in %s, after it was lost in %s", name, lock.In, lost.In)
		}
	}
}

func TestStartupRowsAreComplete(t *testing.T) {
	c := load(t)
	check := func(what string, in cluster.Minor, source string) {
		t.Helper()
		if in == (cluster.Minor{}) || in.Major == 1 && (in.Less(oldest) || newest.Less(in)) || source == "" {
			t.Errorf("%s: in %s, source %q", what, in, source)
		}
	}
	s := c.startup
	for key, row := range s.flags {
		check(key.component+" --"+key.flag, row.In, row.Source)
	}
	for _, row := range s.values {
		check(row.Flag, row.In, row.Source)
		if len(row.Components) == 0 || (len(row.Only) == 0) == (len(row.Refused) == 0) {
			t.Errorf("%s in %s: %+v", row.Flag, row.In, row)
		}
	}
	for _, named := range []map[string]Lost{s.gates, s.plugins, s.groupVersions} {
		for _, name := range slices.Sorted(maps.Keys(named)) {
			check(name, named[name].In, named[name].Source)
		}
	}
	for name, row := range s.locks {
		check(name, row.In, row.Source)
	}
	for key, row := range s.files {
		check(key.apiVersion, row.In, row.Source)
		if row.Fix == "" {
			t.Errorf("%s has no fix", key.apiVersion)
		}
	}
	for name, row := range s.kubeadmGates {
		check(name, row.In, row.Source)
	}
	for _, row := range s.required {
		check(row.Flag, row.From, row.Source)
	}
	check("cachesize", s.encryption.CacheSizeZero.In, s.encryption.CacheSizeZero.Source)
	check("kms v1", s.encryption.KMSv1.In, s.encryption.KMSv1.Source)
	if len(s.flags) < 150 || len(s.gates) < 250 || len(s.locks) < 200 {
		t.Errorf("%d flags, %d gates, %d locks: a table is cut off", len(s.flags), len(s.gates), len(s.locks))
	}
}

func TestFlagValues(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		component, flag, value string
		refused                []string
	}{
		{"kube-apiserver", "insecure-port", "8080", []string{"1.20"}},
		{"kube-apiserver", "insecure-port", "0", nil},
		{"kubelet", "cloud-provider", "external", nil},
		{"kubelet", "cloud-provider", "gce", []string{"1.29", "1.31"}},
		{"kube-apiserver", "cloud-provider", "aws", []string{"1.29"}},
		{"etcd", "logger", "capnslog", []string{"3.5"}},
		{"etcd", "logger", "zap", nil},
	} {
		var got []string
		for _, row := range c.FlagValues(tc.component, tc.flag) {
			if row.Refuses(tc.value) {
				got = append(got, row.In.String())
			}
		}
		if !slices.Equal(got, tc.refused) {
			t.Errorf("%s --%s=%s is refused in %v, want %v", tc.component, tc.flag, tc.value, got, tc.refused)
		}
	}
}
