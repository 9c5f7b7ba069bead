package node

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kup-project/kup/internal/lab/artifact/depot"
	"github.com/kup-project/kup/internal/lab/fault"
)

// stub puts a shell script of this name before everything else in the PATH.
func stub(t *testing.T, name, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// fakeDocker notes each call, scripts shortened to their names, and answers as a
// machine that runs.
func fakeDocker(t *testing.T) (calls func() []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	t.Setenv("CALLS", log)
	stub(t, "docker", `
line=
for word in "$@"; do
	case $word in *"
"*) word=TEXT ;; esac
	line="$line $word"
done
echo "$line" >>"$CALLS"
case $line in *is-system-running*) echo running ;; *dpkg-query*) printf 1.34.4-1.1 ;; esac
`)
	return func() []string {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(raw), "\n ", "\n")), "\n")
	}
}

func brokenLab(t *testing.T) *Lab {
	t.Helper()
	l := &Lab{dir: t.TempDir(), state: state{Name: "dev", Topology: threeAndTwo()}}
	if err := os.MkdirAll(filepath.Join(l.dir, "depot"), 0o700); err != nil {
		t.Fatal(err)
	}
	return l
}

// Every fault that a lab of real nodes can have asks for what ends it, of the same
// machine.
func TestFaultsAskDockerInPairs(t *testing.T) {
	const sh = "exec kup-lab-dev-w-1 sh -c TEXT kup-lab-"
	want := map[string][]string{
		"drop-connection":    {sh + "ssh cut"},
		"refused":            {sh + "ssh refused", sh + "ssh mend"},
		"reply-lost":         {sh + "ssh mute", sh + "ssh mend"},
		"hang":               {sh + "ssh silent", sh + "ssh mend"},
		"slow-network":       {sh + "ssh slow", sh + "ssh mend"},
		"host-reboot":        {"kill kup-lab-dev-w-1", "start kup-lab-dev-w-1", "exec kup-lab-dev-w-1 systemctl is-system-running"},
		"host-off":           {"kill kup-lab-dev-w-1", "start kup-lab-dev-w-1", "exec kup-lab-dev-w-1 systemctl is-system-running"},
		"load-balancer-gone": {"kill kup-lab-dev-lb", "start kup-lab-dev-lb"},
		"disk-full":          {sh + "disk fill /var/lib/kup", sh + "disk free /var/lib/kup"},
		"api-server-gone":    {sh + "service stop kube-apiserver", sh + "service start kube-apiserver"},
		"etcd-paused":        {"exec kup-lab-dev-w-1 pkill -STOP -x etcd", `exec kup-lab-dev-w-1 sh -c pkill -CONT -x "$1" || [ $? -eq 1 ] sh etcd`},
		"kubelet-not-ready":  {sh + "kubelet break", sh + "kubelet mend"},
		"package-downgraded": {
			"exec kup-lab-dev-w-1 dpkg-query -W -f ${Version} kubelet",
			sh + "package kubelet 1.33.13-1.1 deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] http://10.210.0.2/core:/stable:/v1.33/deb/ /",
			sh + "package kubelet 1.34.4-1.1 deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] http://10.210.0.2/core:/stable:/v1.34/deb/ /",
		},
	}
	for name, calls := range want {
		t.Run(name, func(t *testing.T) {
			asked := fakeDocker(t)
			l := brokenLab(t)
			heal, err := fault.Strike(t.Context(), name, fault.Target{
				Node: "w-1", LoadBalancer: LoadBalancerMachine, Directory: "/var/lib/kup", Package: "kubelet", Older: "1.33.13-1.1",
				SSH: l, Power: l, Services: l, Processes: l, Disks: l, Kubelets: l, Packages: l,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := heal(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(calls, asked()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRepositoryIsWithdrawnAndPublished(t *testing.T) {
	l := brokenLab(t)
	files := map[string]string{"/core:/stable:/v1.33/deb/": "/store/33", "/core:/stable:/v1.34/deb/": "/store/34"}
	if err := l.saveDepotConfig(depot.Config{Files: files}); err != nil {
		t.Fatal(err)
	}
	served := func() map[string]string {
		raw, err := os.ReadFile(l.depotConfigPath())
		if err != nil {
			t.Fatal(err)
		}
		var c depot.Config
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		return c.Files
	}
	heal, err := fault.Strike(t.Context(), "repository-gone", fault.Target{Minor: "1.34", Repository: l})
	if err != nil {
		t.Fatal(err)
	}
	if now := served(); now["/core:/stable:/v1.34/deb/"] != "" || now["/core:/stable:/v1.33/deb/"] == "" {
		t.Errorf("withdrawn: %v", now)
	}
	for range 2 { // healing twice does no harm
		if err := heal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(files, served()); diff != "" {
		t.Error(diff)
	}
	if err := l.WithdrawPackages(t.Context(), "1.30"); err == nil {
		t.Error("withdrew what is not served")
	}
}

// iptablesStub keeps the rules of each chain in a file, one a line.
const iptablesStub = `
shift 2 # -w 10
action=$1 chain=$2
shift 2
case $action in
-I) echo "$*" >>"$RULES/$chain" ;;
-S) [ ! -e "$RULES/$chain" ] || sed "s/^/-A $chain /" "$RULES/$chain" ;;
-D)
	grep -vxF -- "$*" "$RULES/$chain" >"$RULES/new" || :
	mv "$RULES/new" "$RULES/$chain"
	;;
esac
`

func TestSSHScriptLeavesNoRule(t *testing.T) {
	const foreign = "-p tcp --dport 22 ! -s 10.210.0.4 -j REJECT --reject-with tcp-reset"
	for how, want := range map[fault.Break]int{fault.Cut: 0, fault.Refused: 1, fault.Silent: 2, fault.Mute: 1, fault.Slow: 2} {
		t.Run(string(how), func(t *testing.T) {
			rules := t.TempDir()
			t.Setenv("RULES", rules)
			stub(t, "iptables", iptablesStub)
			stub(t, "pgrep", "exit 1\n") // no sshd: the sessions of this machine are not the lab's
			if err := os.WriteFile(filepath.Join(rules, "INPUT"), []byte(foreign+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(action string) {
				out, err := exec.CommandContext(t.Context(), "sh", "-c", script("ssh"), "kup-lab-ssh", action).CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", action, err, out)
				}
			}
			run(string(how))
			if got := len(ruleLines(t, rules)) - 1; got != want {
				t.Errorf("%d rules of the fault, want %d", got, want)
			}
			run("mend")
			run("mend")
			if diff := cmp.Diff([]string{foreign}, ruleLines(t, rules)); diff != "" {
				t.Errorf("left behind: %s", diff)
			}
		})
	}
}

func ruleLines(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		raw, err := os.ReadFile(filepath.Join(dir, chain))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		out = append(out, strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' })...)
	}
	return out
}

func TestFirstProgramIsTheEntryPoint(t *testing.T) {
	argv := firstProgram()
	if argv[len(argv)-1] != entrypoint || !strings.Contains(argv[2], "boot_id") {
		t.Errorf("%q", argv)
	}
}

func TestScriptsAreShell(t *testing.T) {
	for _, name := range []string{"boot", "ssh", "service", "disk", "kubelet", "package", "reaper", "refuse"} {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-n", "-c", script(name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
