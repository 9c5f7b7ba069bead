package catalog

import (
	"regexp"
	"slices"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestHazardsAreComplete(t *testing.T) {
	c := load(t)
	seen := map[string]bool{}
	for _, h := range c.hazards {
		if seen[h.ID] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(h.ID) {
			t.Errorf("hazard %q: its id is taken or not one", h.ID)
		}
		seen[h.ID] = true
		if !slices.Contains([]string{"kubelet", "kube-apiserver", "kubeadm", "etcd"}, h.Component) || !slices.Contains([]string{"block", "warn", "info"}, h.Severity) {
			t.Errorf("%s: component %q, severity %q", h.ID, h.Component, h.Severity)
		}
		if h.Text == "" || h.Fix == "" || h.Source == "" || len(h.Hits) == 0 {
			t.Errorf("%s is incomplete", h.ID)
		}
		for _, r := range h.Hits {
			if !r.From.Less(r.Before) || r.From.IsZero() {
				t.Errorf("%s: releases from %s to before %s", h.ID, r.From, r.Before)
			}
		}
	}
	for _, r := range c.restarts {
		if r.Text == "" || r.Source == "" || r.Minor == (cluster.Minor{}) {
			t.Errorf("restart at %s is incomplete", r.Minor)
		}
	}
}

// TestHazardsSpareWhatIsSeen: the newest patches that this kup was built with have no
// bug that an operator would have to be warned of without a condition.
func TestHazardsSpareWhatIsSeen(t *testing.T) {
	c := load(t)
	for m := (cluster.Minor{Major: 1, Minor: 20}); !newest.Less(m); m = m.Next() {
		row, _ := c.Minor(m)
		for _, component := range []string{"kubelet", "kube-apiserver", "kubeadm"} {
			for _, h := range c.Hazards(component, row.Seen()) {
				if h.When == Always {
					t.Errorf("%s: %s hits it", row.Seen(), h.ID)
				}
			}
		}
		if _, etcd, known := row.Etcd(row.Seen()); !known || len(c.Hazards("etcd", etcd)) > 0 {
			t.Errorf("%s brings etcd %s, which loses data", row.Seen(), etcd)
		}
	}
}

func TestHazards(t *testing.T) {
	c := load(t)
	for _, tc := range []struct {
		component, version, id string
		hit                    bool
	}{
		{"kubelet", "v1.32.2", "kubelet-status-after-restart", true},
		{"kubelet", "v1.32.3", "kubelet-status-after-restart", false},
		{"kubelet", "v1.31.9", "kubelet-status-after-restart", false},
		{"kubelet", "v1.26.4", "kubelet-kills-device-pods", false},
		{"kubelet", "v1.26.5", "kubelet-kills-device-pods", true},
		{"kubeadm", "v1.35.0", "kubeadm-no-kubelet-flags-left", true},
		{"kubeadm", "v1.35.1", "kubeadm-no-kubelet-flags-left", false},
		{"kubelet", "v1.30.0", "kubeadm-defaults-kubelet-config", false},
		{"etcd", "v3.5.2", "etcd-loses-data", true},
		{"etcd", "v3.5.3", "etcd-loses-data", false},
		{"etcd", "v3.4.13", "etcd-loses-data", false},
	} {
		hit := slices.ContainsFunc(c.Hazards(tc.component, cluster.MustParseVersion(tc.version)), func(h Hazard) bool { return h.ID == tc.id })
		if hit != tc.hit {
			t.Errorf("%s %s: %s hits it: %t", tc.component, tc.version, tc.id, hit)
		}
	}
}

func TestRowsOfHostsAreComplete(t *testing.T) {
	c := load(t)
	for _, b := range c.behaviours {
		if b.Source == "" || b.To.Less(b.From) {
			t.Errorf("%s is incomplete", b.Name)
		}
	}
	for _, b := range []Behaviour{NoDockershim, RefusesCgroupV1, DefaultsToSystemdCgroups, CollectsSandboxImage, KubeadmCallsCrictl, RefusesStaticPodReferences} {
		if !slices.ContainsFunc(c.behaviours, func(row behaviourRow) bool { return row.Name == b }) {
			t.Errorf("no row for %s", b)
		}
	}
	for _, k := range c.kernels {
		if k.Source == "" || k.Accepts == "" || len(k.patterns) == 0 {
			t.Errorf("kernels of %s are incomplete", k.From)
		}
	}
	for _, r := range slices.Concat(c.runtimes, c.drivers) {
		if r.Source == "" || r.AtLeast.IsZero() || r.Runtime == "" {
			t.Errorf("%s is incomplete", r.Runtime)
		}
	}
}

func TestKernels(t *testing.T) {
	c := load(t)
	at := func(minor uint64) cluster.Minor { return cluster.Minor{Major: 1, Minor: minor} }
	for _, tc := range []struct {
		release string
		minor   uint64
		refused bool
	}{
		{"3.10.0-1160.el7.x86_64", 33, true}, {"4.18.0-553.el8_10.x86_64", 33, true}, {"4.18.0-553.el8_10.x86_64", 32, false},
		{"4.18.0-553.el8_10.x86_64", 34, false}, {"4.19.0-27-amd64", 33, false}, {"5.15.0-130-generic", 33, false},
		{"6.1.0-40-amd64", 33, false}, {"6.18.44-fc-v595", 33, false}, {"10.0.1", 33, false},
	} {
		if _, refused := c.KernelRefused(tc.release, at(tc.minor)); refused != tc.refused {
			t.Errorf("%s at 1.%d: refused is %t", tc.release, tc.minor, refused)
		}
	}
}

func TestRuntimes(t *testing.T) {
	c := load(t)
	v := cluster.MustParseVersion
	at := func(minor uint64) cluster.Minor { return cluster.Minor{Major: 1, Minor: minor} }
	if _, old := c.RuntimeTooOld("containerd", v("v1.5.9"), at(25)); old {
		t.Error("containerd 1.5 is too old for 1.25")
	}
	if atLeast, old := c.RuntimeTooOld("containerd", v("v1.5.9"), at(26)); !old || atLeast != v("v1.6.0") {
		t.Error("containerd 1.5 is not too old for 1.26")
	}
	if _, old := c.RuntimeTooOld("cri-o", v("v1.20.0"), at(26)); old {
		t.Error("a runtime without a row is too old")
	}
	if !c.TellsDriver("containerd", v("v2.0.0"), at(31)) || c.TellsDriver("containerd", v("v1.7.27"), at(33)) || c.TellsDriver("containerd", v("v2.0.0"), at(30)) {
		t.Error("who tells its driver is wrong")
	}
}
