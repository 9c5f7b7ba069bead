package survey

import (
	"context"
	_ "embed" // the script
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"sigs.k8s.io/yaml"
)

//go:embed scripts/hoststate.sh
var hostStateScript string

// hostState reads what an upgrade depends on of a machine and its system.
func hostState(ctx context.Context, v *visit, n *cluster.Node) (*cluster.HostState, error) {
	began := time.Now()
	output, err := v.script(ctx, "hoststate", hostStateScript, n.CRISocket, n.Host.SandboxImage)
	if err != nil {
		return nil, err
	}
	p, ended := parts(output), time.Now()
	if v.said["hoststate"].done { // the command that it was part of is the one that was timed
		began, ended = v.began, v.ended
		p["clock"], p["clock-end"] = v.said["began"].text, v.said["ended"].text
	}
	return readHostState(p, n.Runtime, began, ended), nil
}

// readHostState makes sense of the script's parts. The runtime is as the node
// registered it; began and ended are kup's time before and after the script.
func readHostState(p map[string]string, runtime string, began, ended time.Time) *cluster.HostState {
	s := &cluster.HostState{
		Hostname:        strings.ToLower(firstLine(p["hostname"])),
		Clock:           readClock(p["clock"], p["clock-end"], began, ended),
		Cgroup:          readCgroup(p["cgroup"]),
		Kubelet:         readKubelet(p["kubelet"]),
		NextKubelet:     readKubelet(p["next"]),
		KubeletFlags:    readOverrides(p["overrides"]),
		KubeadmFlags:    readFlags(p["flags"]),
		InstanceConfig:  p["instance"] == "present",
		Unit:            readUnit(p["unit"]),
		CgroupDriver:    readDriver(p, runtime),
		SandboxPinned:   truth(p["sandbox"], "true", "false"),
		Crictl:          truth(p["crictl"], "yes", "no"),
		FileSystems:     readFileSystems(p["disks"]),
		ImagePath:       firstLine(p["images"]),
		IPv4Forward:     truth(p["forward"], "1", "0"),
		IPv6Forward:     truth(p["forward6"], "1", "0"),
		RebootRequired:  p["reboot"] != "",
		PackageManagers: words(p["managers"]),
		HalfInstalled:   words(p["halfway"]),
		Interrupted:     p["interrupted"] != "",
		AutoUpgrade:     readAutoUpgrade(p["automatic"]),
		StaticPodRefs:   words(p["references"]),
		EtcdManifest:    readEtcdManifest(p["etcd"]),
	}
	if lines := strings.Count(p["swaps"], "\n"); strings.HasPrefix(p["swaps"], "Filename") {
		s.Swap = ref(lines > 0) // the first line is a heading
	}
	return s
}

func ref[T any](v T) *T { return &v }

// truth reads one of two words; nil when it is neither.
func truth(s, yes, no string) *bool {
	switch firstLine(s) {
	case yes:
		return ref(true)
	case no:
		return ref(false)
	}
	return nil
}

// words are the distinct words of a part, sorted; nil when there is none.
func words(s string) []string {
	out := strings.Fields(s)
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readClock compares the host's time at the start and the end of the script with
// kup's before and after it. What the script itself took does not count, so that
// only the way there and back is left to doubt.
func readClock(first, last string, began, ended time.Time) *cluster.Clock {
	start, startErr := readTime(first)
	end, endErr := readTime(last)
	if startErr != nil || endErr != nil {
		return nil
	}
	there, back := start.Sub(began), end.Sub(ended)
	return &cluster.Clock{Ahead: (there + back) / 2, Within: max(ended.Sub(began)-end.Sub(start), 0) / 2}
}

// readTime reads seconds and nanoseconds since 1970: 1795276581.483623379.
func readTime(s string) (time.Time, error) {
	seconds, fraction, _ := strings.Cut(firstLine(s), ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("not a time: %q", s)
	}
	nsec, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil || len(fraction) != 9 {
		return time.Time{}, fmt.Errorf("not a fraction of a second: %q", s)
	}
	return time.Unix(sec, nsec), nil
}

// readCgroup tells by the file system at /sys/fs/cgroup. A tmpfs holds the
// hierarchies of version 1 when one of them is memory.
func readCgroup(s string) int {
	kind, rest, _ := strings.Cut(s, "\n")
	switch {
	case kind == "cgroup2fs":
		return 2
	case kind == "tmpfs" && strings.Contains(rest, "memory"):
		return 1
	}
	return 0
}

// readKubelet reads the fields the script let through; nil when it found no
// configuration, or one it cannot read.
func readKubelet(s string) *cluster.KubeletSettings {
	if !strings.HasPrefix(s, "# ") {
		return nil
	}
	var c struct {
		CgroupDriver string         `json:"cgroupDriver"`
		FailSwapOn   *bool          `json:"failSwapOn"`
		FailCgroupV1 *bool          `json:"failCgroupV1"`
		EvictionHard map[string]any `json:"evictionHard"`
	}
	if err := yaml.Unmarshal([]byte(s), &c); err != nil {
		return nil
	}
	out := &cluster.KubeletSettings{CgroupDriver: c.CgroupDriver, FailSwapOn: c.FailSwapOn, FailCgroupV1: c.FailCgroupV1}
	if len(c.EvictionHard) > 0 {
		out.EvictionHard = map[string]string{}
		for signal, threshold := range c.EvictionHard {
			out.EvictionHard[signal] = fmt.Sprint(threshold)
		}
	}
	return out
}

// readOverrides reads the flags that set what the configuration sets too: lines of
// "fail-swap-on =false", the value missing where the flag stands alone. The process
// comes after the files, and the last one counts.
func readOverrides(s string) cluster.KubeletSettings {
	var k cluster.KubeletSettings
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimPrefix(value, "=")
		on, err := strconv.ParseBool(value)
		if value == "" {
			on, err = true, nil
		}
		switch {
		case name == "cgroup-driver":
			k.CgroupDriver = value
		case name == "eviction-hard":
			k.EvictionHard = map[string]string{}
			for threshold := range strings.SplitSeq(value, ",") {
				signal, limit, _ := strings.Cut(threshold, "<")
				k.EvictionHard[strings.TrimSpace(signal)] = strings.TrimSpace(limit)
			}
		case name == "fail-swap-on" && err == nil:
			k.FailSwapOn = &on
		case name == "fail-cgroupv1" && err == nil:
			k.FailCgroupV1 = &on
		}
	}
	return k
}

func readFlags(s string) []string {
	first, rest, _ := strings.Cut(s, "\n")
	if first != "present" {
		return nil
	}
	return append([]string{}, words(rest)...)
}

func readUnit(s string) *cluster.Unit {
	var u cluster.Unit
	for line := range strings.Lines(s) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "ActiveState":
			u.Active = value
		case "SubState":
			u.Sub = value
		case "UnitFileState":
			u.Enabled = value
		}
	}
	if u.Active == "" {
		return nil
	}
	return &u
}

// readDriver gives the cgroup driver of the runtime the node registered with.
func readDriver(p map[string]string, runtime string) string {
	name, _, _ := strings.Cut(runtime, "://")
	switch name {
	case "cri-o":
		return firstLine(p["crio"])
	case "docker":
		return firstLine(p["docker"])
	case "containerd":
		lines := strings.NewReplacer(`"`, "", `'`, "").Replace(p["containerd"])
		switch { // of another default runtime nothing is known
		case !slices.Contains(strings.Split(lines, "\n"), "runtime runc"):
			return ""
		case strings.Contains(lines, "systemd true"):
			return "systemd"
		case strings.Contains(lines, "systemd false"):
			return "cgroupfs"
		}
	}
	return ""
}

// readFileSystems reads lines of "space PATH SIZE FREE MOUNT", in KiB, and "inodes
// PATH TOTAL FREE".
func readFileSystems(s string) map[string]cluster.FileSystem {
	out := map[string]cluster.FileSystem{}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		total, totalErr := strconv.ParseUint(f[2], 10, 53)
		free, freeErr := strconv.ParseUint(f[3], 10, 53)
		if totalErr != nil || freeErr != nil {
			continue
		}
		at := out[f[1]]
		switch {
		case f[0] == "space" && len(f) == 5:
			at.Size, at.Free, at.Mount = total<<10, free<<10, f[4]
		case f[0] == "inodes":
			at.Inodes, at.FreeInodes = total, free
		}
		out[f[1]] = at
	}
	return out
}

// readAutoUpgrade reads apt-config's assignments, or dnf and its word for reboots.
func readAutoUpgrade(s string) *cluster.AutoUpgrade {
	said := map[string]string{}
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[key] = value
	}
	if _, dnf := said["dnf"]; dnf {
		_, needed := said["when-needed"]
		_, changed := said["when-changed"]
		return &cluster.AutoUpgrade{Name: "dnf-automatic", Reboots: needed || changed}
	}
	if on := said["upgrade"]; on == "" || on == "0" {
		return nil
	}
	return &cluster.AutoUpgrade{Name: "unattended-upgrades", Reboots: slices.Contains([]string{"true", "1", "yes", "on"}, strings.ToLower(said["reboot"]))}
}

func readEtcdManifest(s string) *cluster.EtcdManifest {
	if s == "" {
		return nil
	}
	var m cluster.EtcdManifest
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "quota":
			m.Quota, _ = strconv.ParseInt(strings.Trim(value, `"'`), 0, 64) // etcd would not run on what is no number
		case "defaulted":
			m.Defaulted = true
		case "data":
			m.DataDirectory = strings.Trim(value, `"'`)
		case "wal":
			m.WALDirectory = strings.Trim(value, `"'`)
		}
	}
	return &m
}
