package step

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/plan"
)

// aRuntime is crictl over files: a sandbox is a file under $STATE/pods with uid,
// namespace, name, source, and "dead" when it died, a container one under $STATE/run
// with its sandbox.
const aRuntime = `[ "${FAIL:-}" != crictl ] || exit 9
shift 4
verb=$1
shift
label() { for l in "$@"; do case $l in io.kubernetes.pod.name=*) echo "${l#*=}" ;; esac; done; }
fields() { read -r uid namespace name source life <"$STATE/pods/$1"; }
case $verb in
info) ;;
pods)
	case "$*" in
	*--id*)
		while [ "$1" != --id ]; do shift; done
		fields "$2"
		printf '{\n  "items": [\n    {\n      "id":  "%s",\n      "labels": {\n        "io.kubernetes.pod.name":  "%s",\n        "io.kubernetes.pod.namespace": "%s"' "$2" "$name" "$namespace"
		[ "$uid" = none ] || printf ',\n        "io.kubernetes.pod.uid":  "%s"' "$uid"
		printf '\n      },\n      "annotations": {\n        "kubernetes.io/config.source": "%s"\n      }\n    }\n  ]\n}\n' "$source"
		;;
	*)
		want=$(label "$@")
		for f in "$STATE"/pods/*; do
			[ -e "$f" ] || continue
			fields "${f##*/}"
			[ "$life" != dead ] || continue
			[ -n "$want" ] && [ "$want" != "$name" ] || echo "${f##*/}"
		done
		;;
	esac
	;;
ps)
	want=$(label "$@")
	pod=
	case "$*" in *--pod*) for w in "$@"; do pod=$w; done ;; esac
	for f in "$STATE"/run/*; do
		[ -e "$f" ] || continue
		read -r in <"$f"
		[ -z "$pod" ] || [ "$pod" = "$in" ] || continue
		fields "$in"
		case "$*" in *"--output json"*) printf '    {\n      "id": "%s",\n      "podSandboxId": "%s",\n' "${f##*/}" "$in" && continue ;; esac
		[ -n "$want" ] && [ "$want" != "$name" ] || echo "${f##*/}"
	done
	;;
stop) for c in "$@"; do :; done; [ "${STUCK:-}" = "$c" ] || rm -f "$STATE/run/$c" ;;
stopp)
	[ "${SLOW:-}" != "$1" ] || exit 1
	[ -z "$(grep -lx "$1" "$STATE"/run/* 2>/dev/null)" ] && rm -f "$STATE/pods/$1" ;;
esac`

const aKubelet = `case $1 in is-active) [ -e "$STATE/kubelet" ] && { echo active; exit 0; }; echo inactive; exit 3 ;; esac`

func newNode(t *testing.T) *shell {
	s := newShell(t, map[string]string{"crictl": aRuntime, "systemctl": aKubelet, "sleep": `echo 0 >$STATE/slept; rm -f "$STATE/pods/${SLOW:-none}"`, "date": `[ -e "$STATE/slept" ] && echo 100 || echo 0`})
	s.write("state/pods/s-api", "hash kube-system kube-apiserver-cp-1 file\n")
	s.write("state/run/c-api", "s-api\n")
	s.write("state/pods/s-vip", "hash2 kube-system kube-vip-cp-1 file\n")
	s.write("state/run/c-vip", "s-vip\n")
	s.write("state/pods/s-dns", "u-dns kube-system coredns-1 api\n")
	s.write("state/run/c-dns", "s-dns\n")
	s.write("state/pods/s-set", "u-new shop set-0 api\n")
	s.write("state/run/c-set", "s-set\n")
	s.write("etc/manifests/kube-apiserver.yaml", "old\n")
	s.write("etc/manifests/kube-vip.yaml", "vip\n")
	return s
}

func standstillScripts(s *shell, ports string) (ask, stop []string) {
	params := []string{"unix:///run/c.sock", "kubelet", s.path("etc/manifests/kube-apiserver.yaml") + "\n" + s.path("etc/manifests/etcd.yaml"), "kube-apiserver-cp-1\netcd-cp-1", ports}
	return script([]string{"standstill", "standstill_ask"}, params...),
		script([]string{"common", "standstill", "standstill_make"}, append(params, s.path("aside"))...)
}

func TestStandstillScripts(t *testing.T) {
	s := newNode(t)
	ask, stop := standstillScripts(s, "1")
	out, stderr, code := s.run(ask)
	if code != 0 || !strings.Contains(out, "kube-apiserver.yaml is in its place") || !strings.Contains(out, "a container of pod kube-apiserver-cp-1 runs") || strings.Contains(out, "etcd") {
		t.Errorf("a node at work: %d, %q\n%s", code, out, stderr)
	}
	if _, stderr, code := s.run(stop); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	golden(t, "standstill.calls", s.calls("date", "sleep"))
	if s.read("aside/kube-apiserver.yaml") != "old\n" || s.read("etc/manifests/kube-vip.yaml") != "vip\n" {
		t.Error("the manifests are not where they should be")
	}
	if s.read("state/run/c-vip") == "" || s.read("state/run/c-dns") == "" {
		t.Error("a pod that was not named was stopped")
	}
	if out, _, _ := s.run(ask); out != "yes\n" {
		t.Errorf("after it: %q", out)
	}
	if _, stderr, code := s.run(stop); code != 0 || strings.Contains(s.calls(), "stop ") {
		t.Errorf("once more: %d, calls %q\n%s", code, s.calls(), stderr)
	}
}

func TestStandstillScriptsThatMustNotSucceed(t *testing.T) {
	t.Run("the kubelet runs", func(t *testing.T) {
		s := newNode(t)
		s.write("state/kubelet", "")
		ask, stop := standstillScripts(s, "")
		if _, stderr, code := s.run(stop); code != 75 || !strings.Contains(stderr, "unit kubelet is not stopped") || s.read("etc/manifests/kube-apiserver.yaml") == "" {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if out, _, _ := s.run(ask); !strings.Contains(out, "unit kubelet is active") {
			t.Errorf("says %q", out)
		}
	})
	t.Run("a sandbox that takes its time does stand still", func(t *testing.T) {
		s := newNode(t)
		_, stop := standstillScripts(s, "")
		if _, stderr, code := s.run(stop, "SLOW=s-api"); code != 0 {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	t.Run("a container that stays", func(t *testing.T) {
		s := newNode(t)
		_, stop := standstillScripts(s, "")
		if _, stderr, code := s.run(stop, "STUCK=c-api"); code == 0 {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	t.Run("a runtime that does not answer", func(t *testing.T) {
		s := newNode(t)
		ask, stop := standstillScripts(s, "")
		for _, argv := range [][]string{ask, stop} {
			if out, _, code := s.run(argv, "FAIL=crictl"); code == 0 {
				t.Errorf("says %q", out)
			}
		}
	})
	t.Run("a port", func(t *testing.T) {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		s := newNode(t)
		ask, stop := standstillScripts(s, port)
		if _, stderr, code := s.run(stop); code != 75 || !strings.Contains(stderr, "something listens on port "+port) {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if out, _, _ := s.run(ask); out != "no: something listens on port "+port+"\n" {
			t.Errorf("says %q", out)
		}
	})
}

func TestSandboxesScripts(t *testing.T) {
	still := []string{"unix:///run/c.sock", "kubelet", "/etc/kubernetes/manifests/none.yaml", "etcd-cp-1", "1"}
	ask := script([]string{"standstill", "sandboxes", "sandboxes_ask"}, append(still, "u-dns\nu-other")...)
	stop := script([]string{"common", "standstill", "standstill_holds", "sandboxes", "sandboxes_stop"}, append(still, "u-dns\nu-other", "30")...)
	s := newNode(t)
	if out, stderr, code := s.run(ask); code != 0 || out != "no: 1 pods are up that the snapshot does not know here\n" {
		t.Errorf("exit code %d, says %q\n%s", code, out, stderr)
	}
	out, stderr, code := s.run(stop)
	if code != 0 || out != "stop pod shop/set-0\n" {
		t.Errorf("exit code %d, says %q\n%s", code, out, stderr)
	}
	golden(t, "sandboxes.calls", s.calls("date", "sleep"))
	for _, stays := range []string{"c-api", "c-vip", "c-dns"} {
		if s.read("state/run/"+stays) == "" {
			t.Errorf("%s was stopped", stays)
		}
	}
	if out, _, _ := s.run(ask); out != "yes\n" {
		t.Errorf("after it: %q", out)
	}

	s = newNode(t)
	if _, stderr, code := s.run(stop, "SLOW=s-set"); code != 0 {
		t.Errorf("a pod that takes its time: %d\n%s", code, stderr)
	}
	s = newNode(t)
	s.write("state/pods/s-set", "u-new shop set-0 api dead\n")
	if out, _, _ := s.run(ask); !strings.HasPrefix(out, "no: 1 pods") {
		t.Errorf("a container that outlives its sandbox: %q", out)
	}
	if _, stderr, code := s.run(stop); code != 0 || s.read("state/run/c-set") != "" {
		t.Errorf("a container that outlives its sandbox: %d\n%s", code, stderr)
	}
	s = newNode(t)
	if _, stderr, code := s.run(stop, "STUCK=c-set"); code != 75 || !strings.Contains(stderr, "shop/set-0") {
		t.Errorf("a pod that stays: %d\n%s", code, stderr)
	}
	s = newNode(t)
	s.write("state/pods/s-dns", "none kube-system coredns-1 api\n")
	for _, argv := range [][]string{ask, stop} {
		if out, stderr, code := s.run(argv); code == 0 || !strings.Contains(stderr, "does not say which pod sandbox s-dns is") || s.read("state/run/c-set") == "" {
			t.Errorf("a sandbox without a uid: %d, %q\n%s", code, out, stderr)
		}
	}
	s = newNode(t)
	for _, argv := range [][]string{ask, stop} {
		if out, _, code := s.run(argv, "FAIL=crictl"); code == 0 {
			t.Errorf("a runtime that does not answer: %q", out)
		}
	}
	s.write("state/kubelet", "")
	if _, stderr, code := s.run(stop); code != 75 || s.read("state/run/c-set") == "" {
		t.Errorf("the kubelet runs: %d\n%s", code, stderr)
	}
	// Nor does it count as done while something runs.
	s = newNode(t)
	s.write("state/pods/s-set", "u-other shop set-0 api\n")
	if out, _, _ := s.run(ask); out != "yes\n" {
		t.Fatalf("only pods to keep: %q", out)
	}
	s.write("state/kubelet", "")
	if out, _, _ := s.run(ask); out != "no: unit kubelet is active\n" {
		t.Errorf("the kubelet runs: %q", out)
	}
}

// A standstill that was proven long ago is proven again before data are touched.
func TestRestoreWantsTheStandstill(t *testing.T) {
	for name, tt := range map[string]struct {
		disturb func(*shell)
		want    string
	}{
		"it holds":              {func(*shell) {}, ""},
		"a kubelet was started": {func(s *shell) { s.write("state/kubelet", "") }, "unit kubelet is active"},
		"a manifest is back":    {func(s *shell) { s.write("etc/manifests/etcd.yaml", "") }, "etcd.yaml is in its place"},
		"a container runs": {func(s *shell) {
			s.write("state/pods/s-etcd", "hash kube-system etcd-cp-1 file\n")
			s.write("state/run/c-etcd", "s-etcd\n")
		}, "a container of pod etcd-cp-1 runs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newNode(t)
			_, stop := standstillScripts(s, "1")
			if _, stderr, code := s.run(stop); code != 0 {
				t.Fatalf("exit code %d\n%s", code, stderr)
			}
			tt.disturb(s)
			w := newWorld(t, nil)
			step := aStep(plan.KindRestoreMember, with(restoreArgs, "manifests", s.path("etc/manifests/etcd.yaml"), "ports", "1"))
			if err := w.runner(step.Kind).Run(t.Context(), step, attempt(step, 1)); err != nil {
				t.Fatal(err)
			}
			// The script as the runner starts it; behind the proof it wants a snapshot.
			_, stderr, code := s.run(w.host.asked[0])
			want, wanted := "/var/lib/kup/run-0/etcd-1.34.db is not there", 66
			if tt.want != "" {
				want, wanted = tt.want, 75
			}
			if code != wanted || !strings.Contains(stderr, want) || strings.Contains(stderr, "does not stand still any more") != (tt.want != "") {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
		})
	}
}

var stillArgs = map[string]string{
	"unit": "kubelet", "manifests": "/etc/kubernetes/manifests/etcd.yaml", "aside": "/var/lib/kup/r/manifests",
	"pods": "etcd-cp-1", "ports": "6443\n2379", "socket": "/run/containerd/containerd.sock",
}

func TestStandstillProof(t *testing.T) {
	left := "no: unit kubelet is active\nsomething listens on port 6443\n"
	w := newWorld(t, func([]string) (string, error) { return left, nil })
	s := aStep(plan.KindStandstill, with(stillArgs, "proof", "true"))
	r := w.runner(plan.KindStandstill)
	err := r.Run(t.Context(), s, attempt(s, 1))
	if err == nil || !strings.Contains(err.Error(), "unit kubelet is active; something listens on port 6443") {
		t.Errorf("error %v", err)
	}
	if done, err := r.Done(t.Context(), s); done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
	left = "yes\n"
	if err := r.Run(t.Context(), s, attempt(s, 2)); err != nil {
		t.Error(err)
	}
	if len(w.executor.ran) != 0 {
		t.Error("a proof was started as something that changes the host")
	}
}

func TestStandstillArgs(t *testing.T) {
	for key, value := range map[string]string{
		"unit": "", "manifests": "etcd.yaml", "aside": "", "pods": "a*", "ports": "0", "proof": "maybe",
	} {
		s := aStep(plan.KindStandstill, with(stillArgs, key, value))
		bad := new(ArgsError)
		if _, err := newWorld(t, nil).runner(s.Kind).Done(t.Context(), s); !errors.As(err, &bad) || bad.Key != key {
			t.Errorf("%s=%q: %v", key, value, err)
		}
	}
	for key, value := range map[string]string{"grace": "long", "unit": "", "keep": "a b"} {
		s := aStep(plan.KindSandboxes, with(map[string]string{"unit": "kubelet", "keep": "u-1", "grace": "30"}, key, value))
		bad := new(ArgsError)
		if _, err := newWorld(t, nil).runner(s.Kind).Done(t.Context(), s); !errors.As(err, &bad) || bad.Key != key {
			t.Errorf("%s=%q: %v", key, value, err)
		}
	}
}

// courier brings a file by saying so.
type courier struct {
	brought []Copy
	host    *fakeHost
	digest  *string
}

func (c *courier) Deliver(_ context.Context, from Copy, _, _ string) error {
	c.brought = append(c.brought, from)
	*c.digest = strings.Repeat("ab", 32)
	return nil
}

func TestDeliver(t *testing.T) {
	have := strings.Repeat("cd", 32)
	w := newWorld(t, func(argv []string) (string, error) { return have + "  " + argv[len(argv)-1] + "\n", nil })
	other := &fakeHost{name: "cp-2", answer: func([]string) (string, error) { return strings.Repeat("ab", 32) + "  x\n", nil }}
	w.Hosts = fakeHosts{"cp-1": w.host, "cp-2": other}
	c := &courier{host: w.host, digest: &have}
	w.Deliveries = c
	local := t.TempDir() + "/etcd.db"
	s := aStep(plan.KindDeliver, map[string]string{
		"path": "/var/lib/kup/r/etcd-1.34.db", "digest": "sha256:" + strings.Repeat("ab", 32),
		"local": local, "from": "cp-1:/var/lib/kup/r/etcd-1.34.db\ncp-3:/x\ncp-2:/var/lib/kup/r/etcd-1.34.db",
	})
	r := w.runner(plan.KindDeliver)
	if err := os.WriteFile(local, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := r.Done(t.Context(), s); done || err != nil {
		t.Errorf("before: %v, %v", done, err)
	}
	if err := r.Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	if len(c.brought) != 1 || c.brought[0].Node != "cp-2" {
		t.Errorf("brought from %v", c.brought)
	}
	if done, err := r.Done(t.Context(), s); !done || err != nil {
		t.Errorf("after: %v, %v", done, err)
	}
	have = "0"
	other.answer = func([]string) (string, error) { return strconv.Itoa(1), nil }
	if err := r.Run(t.Context(), s, attempt(s, 2)); err == nil {
		t.Error("no whole copy, and no error")
	}
}

// An encrypted copy is held against its own digest, and what arrives against the data's.
func TestDeliverWhatIsSealed(t *testing.T) {
	have := strings.Repeat("cd", 32)
	w := newWorld(t, func(argv []string) (string, error) { return have + "  " + argv[len(argv)-1] + "\n", nil })
	c := &courier{host: w.host, digest: &have}
	w.Deliveries = c
	local := t.TempDir() + "/etcd.db.age"
	if err := os.WriteFile(local, []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, err := Digest(local)
	if err != nil {
		t.Fatal(err)
	}
	s := aStep(plan.KindDeliver, map[string]string{
		"path": "/var/lib/kup/r/etcd-1.34.db", "digest": "sha256:" + strings.Repeat("ab", 32), "local": local, "sealed": sealed,
	})
	r := w.runner(plan.KindDeliver)
	if err := r.Run(t.Context(), s, attempt(s, 1)); err != nil {
		t.Fatal(err)
	}
	if len(c.brought) != 1 || c.brought[0] != (Copy{Path: local, Sealed: sealed}) {
		t.Errorf("brought %v", c.brought)
	}
	if done, err := r.Done(t.Context(), s); !done || err != nil {
		t.Errorf("after: %v, %v", done, err)
	}
	have = "0"
	s.Args["sealed"] = "sha256:" + strings.Repeat("ab", 32)
	if err := r.Run(t.Context(), s, attempt(s, 2)); err == nil {
		t.Error("the encrypted copy is damaged, and no error")
	}
}

// told is what members say of themselves.
type told struct {
	at  map[string]int64
	err error
}

func (m told) Revisions(context.Context) (map[string]int64, error) { return m.at, m.err }

func TestRevision(t *testing.T) {
	s := plan.Step{ID: "1.33/start/revision", Kind: plan.KindRevision, Args: map[string]string{"least": "1000"}}
	for name, tt := range map[string]struct {
		members told
		want    string
	}{
		"raised":       {told{at: map[string]int64{"cp-1": 1000, "cp-2": 1001}}, ""},
		"one is below": {told{at: map[string]int64{"cp-1": 1000, "cp-2": 999}}, "cp-2 is at 999, below 1000"},
		"none":         {told{}, "no member answered"},
		"silent":       {told{err: errors.New("cp-3: no answer")}, "cp-3: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.Revisions = tt.members
			err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1))
			if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if done, err := w.runner(s.Kind).Done(t.Context(), s); done || err != nil {
				t.Errorf("done %v, %v", done, err)
			}
		})
	}
}

// While nodes stand still a command that hangs is an outage: what runs then has an end.
func TestWhatRunsWithoutTheAPIHasAnEnd(t *testing.T) {
	for _, s := range []plan.Step{
		aStep(plan.KindStandstill, stillArgs), aStep(plan.KindRestoreMember, restoreArgs), aStep(plan.KindFiles, filesArgs),
		aStep(plan.KindSandboxes, map[string]string{"unit": "kubelet", "keep": "u-1", "grace": "30"}),
	} {
		w := newWorld(t, func([]string) (string, error) { return "", nil })
		if err := w.runner(s.Kind).Run(t.Context(), s, attempt(s, 1)); err != nil {
			t.Errorf("%s: %v", s.Kind, err)
		}
		if len(w.executor.limits) != 1 || w.executor.limits[0] <= 0 {
			t.Errorf("%s: limits %v", s.Kind, w.executor.limits)
		}
	}
}
