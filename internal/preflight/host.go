package preflight

import (
	"fmt"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const (
	// walSize is what etcd's log and kubeadm's other copies take beside the store.
	walSize = 512 << 20
	// defaultImageGC is the kubelet's imageGCHighThresholdPercent.
	defaultImageGC = 85
	// imageRoom is what the images of one hop may add, in percent points.
	imageRoom = 10
)

func hostRules() []Rule {
	const gc = "https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-lifecycle"
	return []Rule{
		{"KUP-060", "there is room for kubeadm's copies of etcd's data", Block, "kubernetes cmd/kubeadm/app/phases/upgrade/staticpods.go, performEtcdStaticPodUpgrade", checkEtcdRoom},
		{"KUP-061", "the image disk stays below the kubelet's garbage collection", Warn, gc, checkImageDisk},
		{"KUP-062", "Kubernetes packages are held", Info, "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/", checkHeld},
	}
}

// checkEtcdRoom: kubeadm copies the whole data directory below /etc/kubernetes
// before it touches etcd, once in each hop, and leaves the copy there.
func checkEtcdRoom(in Input) []Finding {
	var out []Finding
	for _, m := range in.Facts.Etcd.Members {
		n := in.Facts.Node(m.Node)
		if n == nil || n.Host == nil || len(in.Path) == 0 {
			continue
		}
		path, free, known := freeAt(n.Host, "/etc/kubernetes")
		need := uint64(len(in.Path)) * (uint64(max(m.DBSize, 0)) + walSize)
		if known && free < need {
			out = append(out, Finding{
				Object: "node " + n.Name, Why: fmt.Sprintf("%s has %s free, and kubeadm's copies of etcd's data, one for each hop, take up to %s", path, bytes(free), bytes(need)),
				Fix: "remove old copies (/etc/kubernetes/tmp/kubeadm-backup-*), or make room",
			})
		}
	}
	return out
}

// freeAt gives the free bytes of the file system that holds the path: of the
// longest surveyed path above it.
func freeAt(h *cluster.Host, path string) (at string, free uint64, known bool) {
	for p, bytes := range h.DiskFree {
		holds := p == path || p == "/" || strings.HasPrefix(path, p+"/")
		if holds && len(p) > len(at) {
			at, free, known = p, bytes, true
		}
	}
	return at, free, known
}

func checkImageDisk(in Input) []Finding {
	limit := in.Facts.Kubeadm.ImageGCPercent
	if limit == 0 {
		limit = defaultImageGC
	}
	var out []Finding
	for _, n := range in.nodes() {
		if n.Host == nil || n.Host.ImageDiskUsedPercent < limit-imageRoom || limit == 100 {
			continue
		}
		f := Finding{
			Object: "node " + n.Name, Why: fmt.Sprintf("its image disk is %d%% full, and from %d%% on the kubelet removes images, prefetched ones too", n.Host.ImageDiskUsedPercent, limit),
			Fix: "make room on that file system: journalctl --vacuum-size=200M, and crictl rmi of images that nothing uses (crictl rmi --prune would take the sandbox image too)",
		}
		if n.Host.ImageDiskUsedPercent >= limit {
			f.Severity = Block
		}
		out = append(out, f)
	}
	return out
}

func checkHeld(in Input) []Finding {
	if in.PackageManager == "binaries" {
		return nil
	}
	var out []Finding
	for _, n := range in.nodes() {
		if n.Host == nil {
			continue
		}
		var loose []string
		for _, p := range n.Host.Packages {
			if !p.Held && (p.Name == "kubeadm" || p.Name == "kubelet" || p.Name == "kubectl") {
				loose = append(loose, p.Name)
			}
		}
		if len(loose) > 0 {
			out = append(out, Finding{Object: "node " + n.Name, Why: strings.Join(loose, ", ") + " can be moved by any system upgrade", Fix: "set packages.hold: true in kup.yaml, and kup holds them afterwards"})
		}
	}
	return out
}

// bytes is a size for people.
func bytes(n uint64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
