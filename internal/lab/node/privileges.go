package node

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// privilegeArgs are the docker run options with which a node may run systemd,
// containerd and privileged pods. --privileged is refused where the machine
// itself lacks a capability; then all that there are must do.
func privilegeArgs(ctx context.Context, image string) ([]string, error) {
	_, err := docker(ctx, "run", "--rm", "--privileged", "--network", "none", "--label", labelLab+"=probe", image, "/bin/true")
	if err == nil {
		return []string{"--privileged", "--cgroupns=private"}, nil
	}
	status, readErr := os.ReadFile("/proc/self/status")
	if readErr != nil {
		return nil, fmt.Errorf("docker refuses --privileged: %w", err)
	}
	missing := missingCapabilities(string(status))
	if len(missing) == 0 {
		return nil, fmt.Errorf("docker refuses --privileged although this machine's capabilities are whole: %w", err)
	}
	return unprivilegedArgs(missing), nil
}

func unprivilegedArgs(missing []string) []string {
	args := []string{"--cap-add", "ALL"}
	for _, c := range missing {
		args = append(args, "--cap-drop", c)
	}
	return append(args,
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--cgroupns=private")
}

// missingCapabilities names what the bounding set of /proc/self/status lacks.
func missingCapabilities(status string) []string {
	for _, line := range strings.Split(status, "\n") {
		value, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil
		}
		var missing []string
		for bit, name := range capabilities() {
			if set&(1<<bit) == 0 {
				missing = append(missing, name)
			}
		}
		return missing
	}
	return nil
}

// capabilities are Linux's by number, up to what containers of Docker 20.10 know.
func capabilities() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
		LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
		SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
		AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ`)
}
