package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	// fewInodes is the share of free inodes, in percent, below which the kubelet by
	// default evicts pods.
	fewInodes = 5
	// etcdDrift is what etcd's members let their clocks differ by before they complain.
	etcdDrift = time.Second
	// hostDrift is the same for other machines, where nothing names a limit: tokens
	// are not accepted much longer than this before their time.
	hostDrift = time.Minute
)

// checkInodes names each file system once, by the first path on it.
func checkInodes(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		named := map[string]bool{}
		for _, path := range sortedKeys(s.state.FileSystems) {
			at := s.state.FileSystems[path]
			if at.Inodes == 0 || at.FreeInodes*100 >= at.Inodes*fewInodes || named[cmp.Or(at.Mount, path)] {
				continue
			}
			named[cmp.Or(at.Mount, path)] = true
			out = append(out, Finding{
				Object: "node " + s.Name, Why: fmt.Sprintf("the file system of %s has %d of %d inodes left: no file can be made when they are used up, whatever the free space", path, at.FreeInodes, at.Inodes),
				Fix: fmt.Sprintf("find where the many files are and remove them: du --inodes -x -d 3 %s | sort -n | tail", path),
			})
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// checkDiskPressure judges by the kubelet's thresholds, where they are shares: the
// kubelet then evicts pods and takes no new ones.
func checkDiskPressure(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		if s.state.Kubelet == nil {
			continue
		}
		thresholds := underFlags(*s.state.Kubelet, s.state.KubeletFlags).EvictionHard
		if thresholds == nil { // the kubelet's own
			thresholds = map[string]string{"nodefs.available": "10%", "imagefs.available": "15%"}
		}
		for _, of := range []struct{ signal, path string }{{"nodefs.available", "/var/lib/kubelet"}, {"imagefs.available", s.state.ImagePath}} {
			share, err := strconv.ParseFloat(strings.TrimSuffix(thresholds[of.signal], "%"), 64)
			at := s.state.FileSystems[of.path]
			if err != nil || !strings.HasSuffix(thresholds[of.signal], "%") || at.Size == 0 || float64(at.Free)*100 >= share*float64(at.Size) {
				continue
			}
			out = append(out, Finding{
				Object: "node " + s.Name,
				Why:    fmt.Sprintf("%s has %s of %s free, and below %g%% (%s) its kubelet evicts pods and takes none from drained nodes", of.path, bytes(at.Free), bytes(at.Size), share, of.signal),
				Fix:    "make room on the node: journalctl --vacuum-size=200M; df -h " + of.path,
			})
		}
	}
	return out
}

// checkClocks compares every host with the one in the middle, and that one with the
// machine kup runs on. What the round trips leave in doubt is let pass.
func checkClocks(in Input) []Finding {
	var hosts []seen
	for _, s := range in.seenHosts() {
		if s.state.Clock != nil {
			hosts = append(hosts, s)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	slices.SortStableFunc(hosts, func(a, b seen) int { return cmp.Compare(a.state.Clock.Ahead, b.state.Clock.Ahead) })
	middle := *hosts[(len(hosts)-1)/2].state.Clock
	var out []Finding
	for _, s := range hosts {
		limit := hostDrift
		if in.runsEtcd(s) {
			limit = etcdDrift
		}
		off := s.state.Clock.Ahead - middle.Ahead
		if off.Abs() <= limit+s.state.Clock.Within+middle.Within {
			continue
		}
		out = append(out, Finding{Object: "node " + s.Name, Why: fmt.Sprintf("its clock is %s the other hosts'", aheadOf(off)), Fix: "chronyc tracking, or timedatectl: see why its clock is not kept, and correct it"})
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Object, b.Object) })
	if off := -middle.Ahead; off.Abs() > hostDrift+middle.Within {
		out = append(out, Finding{Object: "this machine", Why: fmt.Sprintf("its clock is %s the hosts': kup judges by it whether certificates have expired", aheadOf(off)), Fix: "set the clock of the machine that kup runs on"})
	}
	return out
}

func aheadOf(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(100*time.Millisecond).String() + " behind"
	}
	return d.Round(100*time.Millisecond).String() + " ahead of"
}

func (in Input) runsEtcd(s seen) bool {
	return s.state.EtcdManifest != nil || slices.ContainsFunc(in.Facts.Etcd.Members, func(m cluster.Member) bool { return m.Node == s.Name })
}

func checkReboot(in Input) []Finding {
	var waiting []string
	for _, s := range in.seenHosts() {
		if s.state.RebootRequired {
			waiting = append(waiting, s.Name)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	return []Finding{{Object: someOf(waiting), Why: "packages installed earlier wait for a reboot: kup restarts the kubelet and not the machine", Fix: "reboot before the upgrade, each node drained, or after it; not in between"}}
}

func checkManagers(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		if len(s.state.PackageManagers) > 0 && in.PackageManager != "binaries" {
			out = append(out, Finding{Object: "node " + s.Name, Why: "the package database is locked by " + strings.Join(s.state.PackageManagers, ", "), Fix: "wait until it is done, or see who runs it: ps -ef | grep " + s.state.PackageManagers[0]})
		}
	}
	return out
}

// checkHalfInstalled leaves out hosts where a package manager is at work: there it
// is normal.
func checkHalfInstalled(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		if in.PackageManager != "apt" || len(s.state.PackageManagers) > 0 {
			continue
		}
		f := Finding{Object: "node " + s.Name, Fix: "dpkg --configure -a, then apt-get -f install"}
		switch {
		case s.state.Interrupted:
			f.Why = "dpkg was interrupted there, and apt-get refuses to work until it has gone on"
		case len(s.state.HalfInstalled) > 0:
			f.Severity = Warn
			f.Why = fmt.Sprintf("dpkg has not finished %s: apt-get tries that first when the upgrade's packages are installed, and fails with it", strings.Join(s.state.HalfInstalled, ", "))
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}

// checkAutoUpgrade tells of upgrades that run by themselves in one line, and warns
// where they reboot.
func checkAutoUpgrade(in Input) []Finding {
	var upgrading, rebooting []string
	for _, s := range in.seenHosts() {
		switch a := s.state.AutoUpgrade; {
		case a == nil:
		case a.Reboots:
			rebooting = append(rebooting, s.Name)
		default:
			upgrading = append(upgrading, s.Name)
		}
	}
	var out []Finding
	if len(rebooting) > 0 {
		out = append(out, Finding{Severity: Warn, Object: someOf(rebooting), Why: "they upgrade by themselves and reboot when they think it is needed, perhaps while another node is down for the upgrade", Fix: "stop it until the upgrade is over: systemctl stop apt-daily-upgrade.timer, or dnf-automatic.timer and dnf-automatic-install.timer"})
	}
	if len(upgrading) > 0 {
		out = append(out, Finding{Object: someOf(upgrading), Why: "they upgrade by themselves: the runtime may restart in the middle, and kup waits while the package database is locked", Fix: "stop it until the upgrade is over: systemctl stop apt-daily-upgrade.timer, or dnf-automatic.timer and dnf-automatic-install.timer"})
	}
	return out
}

func checkForwarding(in Input) []Finding {
	var out []Finding
	for _, s := range in.seenHosts() {
		forwards, key := s.state.IPv4Forward, "net.ipv4.ip_forward"
		if strings.Contains(s.Address, ":") {
			forwards, key = s.state.IPv6Forward, "net.ipv6.conf.default.forwarding"
		}
		if s.Address == "" || forwards == nil || *forwards {
			continue
		}
		out = append(out, Finding{
			Object: "node " + s.Name, Why: key + " is 0: pods that a drain brings there may be cut off, and kubeadm would not let the node join again",
			Fix: fmt.Sprintf("echo '%s = 1' > /etc/sysctl.d/99-kubernetes-forward.conf && sysctl --system", key),
		})
	}
	return out
}
