package planner

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestHops(t *testing.T) {
	c := load(t)
	available := map[string][]cluster.Version{
		"1.33": versions("v1.33.12", "v1.33.13"),
		"1.34": versions("v1.34.3", "v1.34.4"),
		"1.35": versions("v1.35.4"),
		"1.37": versions("v1.37.0"),
	}
	for _, tc := range []struct {
		target    string
		at        string
		available map[string][]cluster.Version
		want      string
		reason    TargetReason
	}{
		{"v1.34", "v1.33.13", available, "[v1.34.4]", ""},
		{"1.34", "v1.33.13", available, "[v1.34.4]", ""},
		{"v1.34.3", "v1.33.13", available, "[v1.34.3]", ""},
		{"1.34.3", "v1.33.13", nil, "[v1.34.3]", ""},
		{"v1.35", "v1.33.13", available, "[v1.34.4 v1.35.4]", ""},
		{"v1.34.3,v1.35.4", "v1.33.13", available, "[v1.34.3 v1.35.4]", ""},
		{"v1.34.3, 1.35", "v1.33.13", available, "[v1.34.3 v1.35.4]", ""},
		{"v1.33.13", "v1.33.12", available, "[v1.33.13]", ""},
		{"v1.33", "v1.33.12", available, "[v1.33.13]", ""},
		{"v1.34.4,v1.35.4", "v1.33.13", nil, "[v1.34.4 v1.35.4]", ""},

		{"", "v1.33.13", available, "", TargetMalformed},
		{"latest", "v1.33.13", available, "", TargetMalformed},
		{"v1.34.4-rc.0", "v1.33.13", available, "", TargetMalformed},
		{"v1.33", "v1.33.13", available, "", TargetNotNewer},
		{"v1.33.12", "v1.33.13", available, "", TargetNotNewer},
		{"v1.32.13", "v1.33.13", available, "", TargetNotNewer},
		{"v2.0.0", "v1.33.13", available, "", TargetNotNewer},
		{"v1.35,v1.34", "v1.33.13", available, "", TargetNotNewer},
		{"v1.34", "v1.33.13", nil, "", TargetUnknown},
		{"v1.35.4", "v1.33.13", nil, "", TargetUnknown},
		{"v1.34.9", "v1.33.13", available, "", TargetLacking},
		{"v1.36", "v1.33.13", available, "", TargetLacking},
		{"v1.37", "v1.33.13", available, "", TargetLacking}, // 1.36 in between
	} {
		t.Run(fmt.Sprintf("%s from %s", tc.target, tc.at), func(t *testing.T) {
			got, err := Hops(topology{3, 2, tc.at, ""}.facts(c), tc.target, tc.available)
			var te *TargetError
			if tc.reason != "" {
				if !errors.As(err, &te) || te.Reason != tc.reason {
					t.Fatalf("got %v %v, want reason %s", got, err, tc.reason)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != tc.want {
				t.Errorf("got %v %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestHopsUnfinished(t *testing.T) {
	c := load(t)
	f := topology{3, 2, "v1.34.4", ""}.facts(c)
	f.Node("w-2").Kubelet = cluster.MustParseVersion("v1.33.13")
	got, err := Hops(f, "v1.34.4", nil)
	if err != nil || fmt.Sprint(got) != "[v1.34.4]" {
		t.Errorf("a worker left behind is a reason to go on: got %v %v", got, err)
	}
	if _, err := Hops(cluster.Facts{}, "v1.34.4", nil); err == nil {
		t.Error("no facts, no error")
	}
}
