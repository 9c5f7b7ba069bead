package survey

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// sight is what one look at a host found.
type sight struct {
	host      cluster.Host
	socket    string
	apiServer manifest
	etcdImage string
}

// manifest is what is read of the API server's manifest; values are empty where
// the host runs none.
type manifest struct{ image, endpoint, address, port string }

// look reads what a host says of itself.
func look(ctx context.Context, v *visit, patches, socket string) (sight, error) {
	output, err := v.script(ctx, "host", hostScript, patches, socket)
	if err != nil {
		return sight{}, err
	}
	p := parts(output)
	if p["boot"] == "" {
		return sight{}, fmt.Errorf("%s: it did not tell its boot id; try there: cat /proc/sys/kernel/random/boot_id", v.host)
	}
	out := sight{
		host: cluster.Host{
			BootID: p["boot"], Kubeadm: versionIn(p["kubeadm"]), Kubelet: versionIn(p["kubelet"]), Kubectl: versionIn(p["kubectl"]),
			Packages: packages(p["packages"]), SandboxImage: firstLine(p["sandbox"]), PatchesPresent: p["patches"] != "",
		},
		socket:    firstLine(p["socket"]),
		apiServer: readManifest(p["apiserver"]),
		etcdImage: readManifest(p["etcd"]).image,
	}
	out.host.DiskFree = map[string]uint64{}
	for _, d := range disks(p["disk"] + "\n" + p["images"]) {
		out.host.DiskFree[d.path] = d.free
	}
	if images := disks(p["images"]); len(images) > 0 && images[0].size > 0 {
		out.host.ImageDiskUsedPercent = 100 - int(images[0].free*100/images[0].size)
	}
	return out, nil
}

var releasePattern = regexp.MustCompile(`v\d+\.\d+\.\d+`)

// versionIn finds the release in what a program printed; zero when it printed
// none, because it is not there.
func versionIn(s string) cluster.Version {
	v, err := cluster.ParseVersion(releasePattern.FindString(s))
	if err != nil {
		return cluster.Version{}
	}
	return v
}

// packages reads lines of "hold kubeadm 1.33.13-1.1".
func packages(s string) []cluster.Package {
	var out []cluster.Package
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) == 3 {
			out = append(out, cluster.Package{Name: f[1], Version: f[2], Held: f[0] == "hold"})
		}
	}
	slices.SortFunc(out, func(a, b cluster.Package) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// disk is a file system, in bytes.
type disk struct {
	path       string
	size, free uint64
}

// disks reads lines of "/var/lib/etcd 1000 400", in KiB.
func disks(s string) []disk {
	var out []disk
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		size, sizeErr := strconv.ParseUint(f[1], 10, 53)
		free, freeErr := strconv.ParseUint(f[2], 10, 53)
		if sizeErr == nil && freeErr == nil {
			out = append(out, disk{f[0], size << 10, free << 10})
		}
	}
	return out
}

func readManifest(s string) manifest {
	var m manifest
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.Trim(value, `"' `)
		switch key {
		case "image":
			m.image = value
		case "endpoint":
			m.endpoint = value
		case "address":
			m.address = value
		case "port":
			m.port = value
		}
	}
	return m
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(first)
}
