package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/cluster"
)

type dockerHost string

func (d dockerHost) String() string { return string(d) }
func (d dockerHost) Run(ctx context.Context, c remote.Command) (remote.Result, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"exec", "-i", "kup-lab-" + os.Getenv("LAB") + "-" + string(d)}, c.Argv...)...)
	cmd.Stdin = c.Stdin
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	start := time.Now()
	err := cmd.Run()
	fmt.Printf("%s %s\n", d, time.Since(start))
	if dir := os.Getenv("RECORD"); dir != "" {
		name := map[string]string{hostScript: "host", certificatesScript: "certificates", editsScript: "edits", aptScript: "apt", dnfScript: "dnf"}[c.Argv[2]]
		os.WriteFile(dir+"/"+string(d)+"."+name+".txt", o.Bytes(), 0o644)
	}
	if x, ok := err.(*exec.ExitError); ok {
		return remote.Result{}, &remote.ExitError{Host: string(d), Argv: c.Argv, Code: x.ExitCode(), Stdout: o.Bytes(), Stderr: e.Bytes()}
	}
	return remote.Result{Stdout: o.Bytes(), Stderr: e.Bytes()}, err
}
func (d dockerHost) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }
func (d dockerHost) WriteFile(context.Context, string, []byte, fs.FileMode) error { return nil }

func TestLive(t *testing.T) {
	c, err := kube.Connect(t.Context(), "/root/.local/state/kup-lab/"+os.Getenv("LAB")+"/admin.conf", "")
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]remote.Host{}
	for _, n := range []string{"cp-1", "w-1"} {
		hosts[n] = dockerHost(n)
	}
	start := time.Now()
	f, err := Survey(t.Context(), Input{API: c, Hosts: hosts, Settings: Settings{Manager: "apt", PatchesDir: "/etc/kubernetes/patches"}})
	fmt.Println(time.Since(start))
	b, _ := json.MarshalIndent(f, "", " ")
	fmt.Println(string(b), err)
	for _, m := range []string{"1.33", "1.34", "1.39"} {
		mm, _ := cluster.ParseMinor(m)
		o, err := Available(t.Context(), dockerHost("cp-1"), "apt", "http://10.210.0.2/core:/stable:/v{minor}/deb/", mm)
		fmt.Println(o, err)
	}
	dns, ip, err := c.CoreDNS(t.Context())
	fmt.Println(dns, ip, err)
	a, err := c.APIServer("10.210.2.11", nil)
	fmt.Println(err)
	fmt.Println(a.Ready(t.Context()))
	fmt.Println(a.Version(t.Context()))
	fmt.Println(a.DeprecatedRequests(t.Context()))
	l, err := c.AcquireLease(t.Context(), kube.Holder{Identity: "t@h pid 1", Run: "r"}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.Epoch(), l.SetStep(t.Context(), "x"), l.Assert(t.Context()), l.Release(t.Context()))
}
