package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const dockerdPidFile = "dockerd.pid"

// needed are the host's programs the lab calls, with the Debian package each
// comes from.
func needed() map[string]string {
	return map[string]string{
		"docker": "docker.io", "dockerd": "docker.io", "debootstrap": "debootstrap",
		"dpkg-deb": "dpkg", "gpg": "gnupg", "ssh": "openssh-client",
	}
}

// ensureDocker leaves a Docker engine running that this process can use. On
// Debian, as root, it installs what is missing and starts the engine itself,
// recording its pid so that StopDocker can stop what was started here.
func ensureDocker(ctx context.Context, stateDir string, logf func(string, ...any)) error {
	_, pingErr := docker(ctx, "version", "--format", "{{.Server.Version}}")
	missing := missingPackages(pingErr == nil)
	if pingErr == nil && len(missing) == 0 {
		return nil
	}
	_, debianErr := os.Stat("/etc/debian_version")
	if os.Geteuid() != 0 || debianErr != nil {
		if len(missing) > 0 {
			return fmt.Errorf("the lab needs the Debian packages %s (or their like); install them", strings.Join(missing, ", "))
		}
		return fmt.Errorf("no Docker engine answers; start it, or let this user reach it: %w", pingErr)
	}
	if len(missing) > 0 {
		logf("install %s", strings.Join(missing, " "))
		if err := aptInstall(ctx, missing); err != nil {
			return err
		}
	}
	if _, err := docker(ctx, "version", "--format", "{{.Server.Version}}"); err == nil {
		return nil
	}
	return startDockerd(ctx, stateDir, logf)
}

func missingPackages(engineAnswers bool) []string {
	seen := map[string]bool{}
	var missing []string
	for program, pkg := range needed() {
		if program == "dockerd" && engineAnswers {
			continue
		}
		if _, err := exec.LookPath(program); err != nil && !seen[pkg] {
			seen[pkg] = true
			missing = append(missing, pkg)
		}
	}
	return missing
}

func aptInstall(ctx context.Context, packages []string) error {
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		// Package scripts must not start services behind the lab's back.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

func startDockerd(ctx context.Context, stateDir string, logf func(string, ...any)) error {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return err
	}
	logPath := filepath.Join(stateDir, "dockerd.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close() //nolint:errcheck // the engine holds it open
	logf("start dockerd, log in %s", logPath)
	// The engine outlives this process and this context, in a session of its own.
	// Labs have networks of their own; the default bridge would outlive the engine.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "dockerd", "--bridge=none")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	pid := cmd.Process.Pid
	if err := os.WriteFile(filepath.Join(stateDir, dockerdPidFile), []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	err = poll(ctx, time.Minute, 200*time.Millisecond, func(ctx context.Context) error {
		select {
		case werr := <-exited:
			exited <- werr
			return fmt.Errorf("dockerd ended: %w", werr)
		default:
		}
		_, err := docker(ctx, "version", "--format", "{{.Server.Version}}")
		return err
	})
	if err != nil {
		tail, _ := os.ReadFile(logPath)
		return fmt.Errorf("dockerd does not come up: %w\n%s", err, lastLines(string(tail), 15))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// StopDocker stops the Docker engine if this lab tool started it and no lab is
// left; an engine of someone else's is never touched. It reports whether it
// stopped one.
func StopDocker(ctx context.Context) (bool, error) {
	root, err := stateRoot()
	if err != nil {
		return false, err
	}
	pidPath := filepath.Join(root, dockerdPidFile)
	raw, err := os.ReadFile(pidPath)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return false, fmt.Errorf("%s: %w", pidPath, err)
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(comm)) != "dockerd" {
		return false, os.Remove(pidPath)
	}
	left, err := dockerLines(ctx, "ps", "-aq", "--filter", "label="+labelLab)
	if err != nil {
		return false, err
	}
	if len(left) > 0 {
		return false, fmt.Errorf("%d lab containers still exist; take their labs down first (kup-lab list)", len(left))
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return false, fmt.Errorf("stop dockerd (pid %d): %w", pid, err)
	}
	err = poll(ctx, 30*time.Second, 100*time.Millisecond, func(context.Context) error {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("dockerd (pid %d) still runs", pid)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return true, os.Remove(pidPath)
}
