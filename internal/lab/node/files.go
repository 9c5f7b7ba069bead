package node

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// opsUID is the numeric owner of the SSH user's files: the first ordinary
// account of the root file system.
const opsUID = 1000

// nodeFile is a file to put on a machine of the lab.
type nodeFile struct {
	path string
	mode int64
	uid  int
	data []byte
}

// archive packs files for `tar -x -C /` or docker cp.
func archive(files []nodeFile) (*bytes.Buffer, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path.Clean(f.path), "/"),
			Mode: f.mode, Size: int64(len(f.data)), Uid: f.uid, Gid: f.uid,
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		if _, err := tw.Write(f.data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return &b, tw.Close()
}

// sshServerFiles are what sshd needs on a machine: its key and who may enter.
func sshServerFiles(keys sshFiles, addr string) []nodeFile {
	return []nodeFile{
		{path: "/etc/ssh/ssh_host_ed25519_key", mode: 0o600, data: keys.hosts[addr].private},
		{path: "/etc/ssh/ssh_host_ed25519_key.pub", mode: 0o644, data: keys.hosts[addr].authorized()},
		{path: "/home/" + artifact.SSHUser + "/.ssh/authorized_keys", mode: 0o600, uid: opsUID, data: keys.user.authorized()},
	}
}

// netConf is read by kup-lab-net on the node, at every boot.
func netConf(t topology, n Node) []byte {
	var b strings.Builder
	b.WriteString("PODS='" + podCIDR + "'\nROUTES='")
	for _, other := range t.Nodes {
		if other.Name != n.Name {
			fmt.Fprintf(&b, "%s %s\n", other.PodCIDR, other.IP)
		}
	}
	b.WriteString("'\nSSH_ONLY_FROM='")
	if n.BehindBastion {
		b.WriteString(t.Bastion)
	}
	b.WriteString("'\n")
	return []byte(b.String())
}

func aptSource(t topology, minor string) []byte {
	return []byte("deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] http://" + t.Depot +
		artifact.Repo{Minor: minor}.URLPath() + " /\n")
}

func sudoers(n Node) []byte {
	if n.SudoPassword {
		return []byte(artifact.SSHUser + " ALL=(ALL:ALL) ALL\n")
	}
	return []byte(artifact.SSHUser + " ALL=(ALL:ALL) NOPASSWD: ALL\n")
}
