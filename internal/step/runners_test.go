package step

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

func aStep(k plan.Kind, args map[string]string) plan.Step {
	return plan.Step{ID: "1.34/prepare/cp-1/" + string(k), Kind: k, Node: "cp-1", Args: args}
}

func attempt(s plan.Step, n int) plan.Execution {
	return plan.Execution{Run: "run-1", Step: s.ID, Attempt: n}
}

var restorableArgs = map[string]string{
	"version": "3.5.24", "image": "registry.k8s.io/etcd:3.5.24-0", "socket": "unix:///run/containerd/containerd.sock", "bump": "true",
}

var restoreArgs = with(restorableArgs,
	"bump", "1000000000", "programs", "/var/lib/kup/run-0/etcd-3.5.24",
	"snapshot", "/var/lib/kup/run-0/etcd-1.34.db", "sha256", strings.Repeat("ab", 32),
	"dataDir", "/var/lib/etcd", "aside", "/var/lib/etcd-kup-run-1", "member", "cp-1", "peerURLs", "https://10.0.0.1:2380",
	"initialCluster", "cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380", "token", "kup-run-1",
	"unit", "kubelet", "manifests", "/etc/kubernetes/manifests/etcd.yaml", "pods", "etcd-cp-1", "ports", "2379",
)

var packageArgs = map[string]string{
	"manager": "apt", "packages": "kubelet=1.34.4-1.1\nkubectl=1.34.4-1.1", "version": "v1.34.4",
	"repository": "https://pkgs.example/v1.34/deb/", "repositoryFile": "/etc/apt/sources.list.d/kubernetes.list",
	"signingKey": "/etc/apt/keyrings/k.gpg", "lockTimeout": "5m0s", "hold": "true", "restart": "kubelet",
}

var filesArgs = map[string]string{
	"archive": "/var/lib/kup/run-1/backup/1.34.tar", "digest": "sha256:" + strings.Repeat("ab", 32),
	"paths": "/etc/kubernetes\n/var/lib/kubelet/config.yaml", "keep": "/etc/kubernetes/pki",
}

func with(m map[string]string, kv ...string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i < len(kv); i += 2 {
		out[kv[i]] = kv[i+1]
	}
	return out
}

// Every kind that works on a host, with the exact commands it starts.
func TestCommands(t *testing.T) {
	digest := strings.Repeat("ab", 32) + "  x\n"
	var pulled bool
	tests := []struct {
		step   plan.Step
		answer func(argv []string) (string, error)
	}{
		{aStep(plan.KindCommand, map[string]string{"argv": plan.JoinArgv("kubeadm", "upgrade", "apply", "v1.34.4", "--yes"), "done": plan.DoneExecution, "timeout": "30m"}), nil},
		{aStep(plan.KindPackages, packageArgs), nil},
		{aStep(plan.KindFetch, packageArgs), nil},
		{aStep(plan.KindRestorable, restorableArgs), nil},
		{aStep(plan.KindRestoreMember, restoreArgs), nil},
		{aStep(plan.KindPackages, with(packageArgs, "manager", "dnf", "downgrade", "true")), nil},
		{aStep(plan.KindPackages, map[string]string{"manager": "binaries", "packages": "kubeadm=1.34.4", "version": "v1.34.4", "url": "https://m/v1.34.4/{binary}", "checksumURL": "https://m/v1.34.4/{binary}.sha256"}), nil},
		{
			aStep(plan.KindBackup, map[string]string{"hop": "1.34", "paths": "/etc/kubernetes\n/etc/default/kubelet", "exclude": "/etc/kubernetes/tmp"}),
			func([]string) (string, error) { return digest, nil },
		},
		{aStep(plan.KindFiles, filesArgs), nil},
		{aStep(plan.KindUnit, map[string]string{"unit": "kubelet", "want": plan.UnitStopped}), nil},
		{
			aStep(plan.KindImages, map[string]string{"images": "r/a:1\nr/b:1\nr/pause:3", "socket": "/run/containerd/containerd.sock"}),
			func(argv []string) (string, error) {
				if scriptName(argv[2]) == "images_pull.sh" {
					pulled = true
					return "", nil
				}
				if !pulled {
					return "r/b:1\n", nil
				}
				return "", nil
			},
		},
	}
	var b strings.Builder
	for _, tt := range tests {
		w := newWorld(t, tt.answer)
		if err := w.runner(tt.step.Kind).Run(t.Context(), tt.step, attempt(tt.step, 1)); err != nil {
			t.Fatalf("%s: %v", tt.step.Kind, err)
		}
		b.WriteString("# " + string(tt.step.Kind) + " " + tt.step.Args["manager"] + "\n" + shown(w.host.asked))
		for _, x := range w.executor.ran {
			b.WriteString("as " + x.String() + "\n")
		}
	}
	golden(t, "commands.txt", b.String())
}

func TestExecutionsFail(t *testing.T) {
	steps := []plan.Step{
		aStep(plan.KindCommand, map[string]string{"argv": plan.JoinArgv("kubeadm", "upgrade", "node")}),
		aStep(plan.KindPackages, packageArgs),
		aStep(plan.KindFetch, packageArgs),
		aStep(plan.KindBackup, map[string]string{"hop": "1.34", "paths": "/etc/kubernetes"}),
		aStep(plan.KindImages, map[string]string{"images": "r/a:1"}),
		aStep(plan.KindFiles, filesArgs),
		aStep(plan.KindUnit, map[string]string{"unit": "kubelet", "want": plan.UnitRunning}),
	}
	for _, s := range steps {
		t.Run(string(s.Kind), func(t *testing.T) {
			w := newWorld(t, func([]string) (string, error) { return "", exit(66, "one\nkup: no such version") })
			err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
			var mine *Error
			if !errors.As(err, &mine) || mine.Unsettled() {
				t.Fatalf("got %v", err)
			}
			if msg := err.Error(); !strings.HasSuffix(msg, ": exit code 66: no such version") || !strings.HasPrefix(msg, "cp-1: ") || strings.Contains(msg, "\n") {
				t.Errorf("message %q", msg)
			}
			if len(w.artefacts.all) != 0 {
				t.Errorf("recorded %v", w.artefacts.all)
			}

			w = newWorld(t, func([]string) (string, error) {
				return "", &remote.ConnectionError{Host: "cp-1", Err: errors.New("broken pipe")}
			})
			err = w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
			if !errors.As(err, &mine) || !mine.Unsettled() {
				t.Errorf("a lost connection must leave the end open: %v", err)
			}
		})
	}
}

func TestArgsAreChecked(t *testing.T) {
	tests := map[string]plan.Step{
		"argv":                aStep(plan.KindCommand, nil),
		"done":                aStep(plan.KindCommand, map[string]string{"argv": "true", "done": "magic"}),
		"timeout":             aStep(plan.KindCommand, map[string]string{"argv": "true", "timeout": "soon"}),
		"manager":             aStep(plan.KindPackages, with(packageArgs, "manager", "brew")),
		"packages":            aStep(plan.KindPackages, with(packageArgs, "packages", "--purge\nkubelet=1")),
		"version":             aStep(plan.KindPackages, with(packageArgs, "version", "latest")),
		"repository":          aStep(plan.KindFetch, with(packageArgs, "repository", "https://x/ [trusted=yes]")),
		"hold":                aStep(plan.KindPackages, with(packageArgs, "hold", "perhaps")),
		"checksumURL":         aStep(plan.KindPackages, with(packageArgs, "manager", "binaries", "url", "https://m/{binary}")),
		"images":              aStep(plan.KindImages, nil),
		"paths":               aStep(plan.KindBackup, map[string]string{"hop": "1.34"}),
		"hop":                 aStep(plan.KindBackup, map[string]string{"paths": "/etc"}),
		"gracePeriod":         aStep(plan.KindDrain, map[string]string{"gracePeriod": "x"}),
		"force":               aStep(plan.KindDrain, map[string]string{"force": "yes"}),
		"version of etcd":     aStep(plan.KindRestorable, with(restorableArgs, "version", "v3.5")),
		"sha256":              aStep(plan.KindRestoreMember, with(restoreArgs, "sha256", "ab")),
		"bump":                aStep(plan.KindRestoreMember, with(restoreArgs, "bump", "-1")),
		"bump as a flag":      aStep(plan.KindRestorable, with(restorableArgs, "bump", "7")),
		"dataDir":             aStep(plan.KindRestoreMember, with(restoreArgs, "dataDir", "var/lib/etcd")),
		"aside":               aStep(plan.KindRestoreMember, with(restoreArgs, "aside", "/var/lib/etcd/old")),
		"member":              aStep(plan.KindRestoreMember, with(restoreArgs, "member", "--force")),
		"unit of the kubelet": aStep(plan.KindRestoreMember, with(restoreArgs, "unit", "")),
		"token":               aStep(plan.KindRestoreMember, with(restoreArgs, "token", "")),
		"programs":            aStep(plan.KindRestoreMember, with(restoreArgs, "programs", "/var/lib/../x")),
		"argv of this":        aStep(plan.KindLocal, nil),
		"archive":             aStep(plan.KindFiles, with(filesArgs, "archive", "backup.tar")),
		"digest":              aStep(plan.KindFiles, with(filesArgs, "digest", "abcd")),
		"paths of all":        aStep(plan.KindFiles, with(filesArgs, "paths", "/etc")),
		"paths beside":        aStep(plan.KindFiles, with(filesArgs, "paths", "/etc/kubernetes/../passwd")),
		"keep":                aStep(plan.KindFiles, with(filesArgs, "keep", "pki")),
		"want":                aStep(plan.KindUnit, map[string]string{"unit": "kubelet", "want": "restarted"}),
		"unit":                aStep(plan.KindUnit, map[string]string{"unit": "--now", "want": plan.UnitStopped}),
		"dataDir of a member": aStep(plan.KindRejoin, map[string]string{"member": "cp-1", "dataDir": "/", "manifest": "/etc/kubernetes/manifests/etcd.yaml", "version": "v3.5.24"}),
	}
	for key, s := range tests {
		t.Run(key, func(t *testing.T) {
			w := newWorld(t, nil)
			err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
			var bad *ArgsError
			want, _, _ := strings.Cut(key, " ")
			if !errors.As(err, &bad) || bad.Key != want {
				t.Errorf("got %v", err)
			}
			if len(w.host.asked) != 0 {
				t.Errorf("asked the host: %v", w.host.asked)
			}
		})
	}
}

func TestDoneOfExecutions(t *testing.T) {
	command := aStep(plan.KindCommand, map[string]string{"argv": "true", "done": plan.DoneExecution})
	packages := aStep(plan.KindPackages, packageArgs)
	fetch := aStep(plan.KindFetch, packageArgs)
	images := aStep(plan.KindImages, map[string]string{"images": "r/a:1"})
	files := aStep(plan.KindFiles, filesArgs)
	unit := aStep(plan.KindUnit, map[string]string{"unit": "kubelet", "want": plan.UnitRunning})
	tests := map[string]struct {
		step   plan.Step
		state  ExecutionState
		answer string
		want   bool
	}{
		"command ended well":           {command, ExecutionState{Phase: Exited}, "", true},
		"command failed":               {command, ExecutionState{Phase: Exited, Code: 1}, "", false},
		"command runs":                 {command, ExecutionState{Phase: Running}, "", false},
		"command lost":                 {command, ExecutionState{Phase: Lost}, "", false},
		"command never started":        {command, ExecutionState{Phase: Absent}, "", false},
		"packages there":               {packages, ExecutionState{Phase: Exited}, "yes\n", true},
		"packages there though lost":   {packages, ExecutionState{Phase: Lost}, "yes\n", true},
		"packages missing":             {packages, ExecutionState{Phase: Lost}, "no: versions\n", false},
		"packages there, still at it":  {packages, ExecutionState{Phase: Running}, "yes\n", false},
		"packages there, ended badly":  {packages, ExecutionState{Phase: Exited, Code: 71}, "yes\n", false},
		"fetched":                      {fetch, ExecutionState{Phase: Exited}, "yes\n", true},
		"fetched, cache cleaned since": {fetch, ExecutionState{Phase: Exited}, "no: kubelet=1\n", false},
		"files put back":               {files, ExecutionState{Phase: Exited}, "", true},
		"files, but lost":              {files, ExecutionState{Phase: Lost}, "", false},
		"unit runs":                    {unit, ExecutionState{}, "yes\n", true},
		"unit does not run":            {unit, ExecutionState{Phase: Exited}, "no: kubelet is failed\n", false},
		"unit runs, still at it":       {unit, ExecutionState{Phase: Running}, "yes\n", false},
		"images there":                 {images, ExecutionState{}, "", true},
		"images missing":               {images, ExecutionState{}, "r/a:1\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func([]string) (string, error) { return tt.answer, nil })
			w.attempt(attempt(tt.step, 1), tt.state)
			got, err := w.runner(tt.step.Kind).Done(t.Context(), tt.step)
			if err != nil || got != tt.want {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
	t.Run("the host does not answer", func(t *testing.T) {
		w := newWorld(t, func([]string) (string, error) { return "", exit(1, "boom") })
		w.attempt(attempt(packages, 1), ExecutionState{Phase: Exited})
		if got, err := w.runner(plan.KindPackages).Done(t.Context(), packages); err == nil || got {
			t.Errorf("got %t, %v", got, err)
		}
	})
}

// A new attempt attaches to the old one while that still runs.
func TestAttachesToEarlierAttempt(t *testing.T) {
	s := aStep(plan.KindCommand, map[string]string{"argv": plan.JoinArgv("kubeadm", "upgrade", "node")})
	w := newWorld(t, nil)
	w.attempt(attempt(s, 1), ExecutionState{Phase: Running})
	if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 2)); err != nil {
		t.Fatal(err)
	}
	if want := []plan.Execution{attempt(s, 1)}; !reflect.DeepEqual(w.executor.ran, want) {
		t.Errorf("ran %v", w.executor.ran)
	}
}

func TestLostExecutionIsNoSuccess(t *testing.T) {
	s := aStep(plan.KindCommand, map[string]string{"argv": "kubeadm"})
	w := newWorld(t, func([]string) (string, error) { return "", errors.New("no exit code") })
	w.attempt(attempt(s, 1), ExecutionState{Phase: Lost})
	err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
	if err == nil || !strings.Contains(err.Error(), "cp-1 restarted while this ran") {
		t.Errorf("got %v", err)
	}
}

func TestImagesThatVanish(t *testing.T) {
	s := aStep(plan.KindImages, map[string]string{"images": "r/a:1"})
	w := newWorld(t, func(argv []string) (string, error) {
		if scriptName(argv[2]) == "images_missing.sh" {
			return "r/a:1\n", nil
		}
		return "", nil
	})
	err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
	if err == nil || !strings.Contains(err.Error(), "r/a:1 went missing after the pull; the kubelet's image garbage collection") {
		t.Errorf("got %v", err)
	}
}

func TestBackupIsTakenOnce(t *testing.T) {
	s := aStep(plan.KindBackup, map[string]string{"hop": "1.34", "paths": "/etc/kubernetes"})
	sum := strings.Repeat("ab", 32)
	now := sum
	missing := false
	w := newWorld(t, func([]string) (string, error) {
		if missing {
			return "", exit(3, "")
		}
		return now + "  /x\n", nil
	})
	r := w.runner(plan.KindBackup)
	if err := r.Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	want := []Artefact{{Name: ArtefactBackup, Hop: "1.34", Node: "cp-1", Path: "/var/lib/kup/run-1/backup/1.34.tar", Digest: "sha256:" + sum}}
	if !reflect.DeepEqual(w.artefacts.all, want) {
		t.Fatalf("recorded %v", w.artefacts.all)
	}
	if err := r.Run(t.Context(), s, attempt(s, 2)); err != nil || len(w.executor.ran) != 1 {
		t.Errorf("%v, ran %v", err, w.executor.ran)
	}
	if done, err := r.Done(t.Context(), s); !done || err != nil {
		t.Errorf("%t, %v", done, err)
	}
	var damaged *DamagedError
	now = strings.Repeat("cd", 32)
	if err := r.Run(t.Context(), s, attempt(s, 2)); !errors.As(err, &damaged) || damaged.Got == "" {
		t.Errorf("a changed backup: %v", err)
	}
	missing = true
	if _, err := r.Done(t.Context(), s); !errors.As(err, &damaged) || damaged.Got != "" {
		t.Errorf("a missing backup: %v", err)
	}
}

// A begun attempt is attached to only where the host knows it, or the one before it
// that still runs.
func TestKnownExecutions(t *testing.T) {
	s := aStep(plan.KindCommand, map[string]string{"argv": plan.JoinArgv("kubeadm", "upgrade", "node")})
	for name, tc := range map[string]struct {
		states map[int]ExecutionState
		want   bool
	}{
		"never started":                   {nil, false},
		"at work":                         {map[int]ExecutionState{2: {Phase: Running}}, true},
		"over":                            {map[int]ExecutionState{2: {Phase: Exited, Code: 1}}, true},
		"lost":                            {map[int]ExecutionState{2: {Phase: Lost}}, true},
		"the one before it is at work":    {map[int]ExecutionState{1: {Phase: Running}}, true},
		"the one before it ended by then": {map[int]ExecutionState{1: {Phase: Exited}}, false},
	} {
		w := newWorld(t, nil)
		for n, st := range tc.states {
			w.executor.states[attempt(s, n).String()] = st
		}
		for _, kind := range []plan.Kind{plan.KindCommand, plan.KindPackages, plan.KindFetch, plan.KindBackup} {
			r, ok := w.runner(kind).(interface {
				Known(context.Context, plan.Step, plan.Execution) (bool, error)
			})
			if !ok {
				t.Fatalf("a runner of %s does not tell what it has started", kind)
			}
			if got, err := r.Known(t.Context(), s, attempt(s, 2)); got != tc.want || err != nil {
				t.Errorf("%s, %s: %t, %v", kind, name, got, err)
			}
		}
	}
}
