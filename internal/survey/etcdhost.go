package survey

import (
	"context"
	_ "embed" // the script
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

//go:embed scripts/etcdhost.sh
var etcdHostScript string

// EtcdUnit is where a host of role etcd is said to run its member.
type EtcdUnit struct {
	Unit          string
	DataDirectory string
	Config        []string // files that the unit reads
}

// etcdHost looks at the host of an external etcd's member, which is no node: of it only
// etcd matters. The error is that of ctx alone.
func (s *survey) etcdHost(ctx context.Context, n *cluster.Node, h remote.Host, u EtcdUnit) error {
	output, err := script(ctx, h, etcdHostScript, nil, append([]string{u.Unit, u.DataDirectory}, u.Config...)...)
	if err == nil {
		err = readEtcdHost(n, u, output)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.unchecked("%s could not be surveyed: %v", n.Name, err)
	}
	return nil
}

// readEtcdHost takes the facts out of what the script printed.
func readEtcdHost(n *cluster.Node, u EtcdUnit, output string) error {
	p := parts(output)
	if p["boot"] == "" {
		return fmt.Errorf("%s: it did not tell its boot id; try there: cat /proc/sys/kernel/random/boot_id", n.Name)
	}
	n.OS, n.Kernel, n.Arch = firstLine(p["os"]), firstLine(p["kernel"]), architecture(firstLine(p["arch"]))
	n.Host = &cluster.Host{BootID: p["boot"], DiskFree: map[string]uint64{}}
	for _, d := range disks(p["disk"]) {
		n.Host.DiskFree[d.path] = d.free
	}
	kib, err := strconv.ParseInt(firstLine(p["size"]), 10, 53)
	if err != nil {
		kib = 0 // not told
	}
	n.Host.Etcd = &cluster.EtcdUnit{
		Unit: u.Unit, Active: firstLine(p["state"]) == "active", Binary: firstLine(p["binary"]), Version: versionIn(p["version"]),
		DataDirectory: u.DataDirectory, DataSize: kib << 10,
	}
	for line := range strings.Lines(p["files"]) {
		if file := strings.TrimSpace(line); path.IsAbs(file) {
			n.Host.Etcd.Files = append(n.Host.Etcd.Files, file)
		}
	}
	slices.Sort(n.Host.Etcd.Files)
	return nil
}

// architecture is what releases call a machine that uname names otherwise.
func architecture(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}
