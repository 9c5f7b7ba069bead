package machine_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/machine"
	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/survey"
	"github.com/kup-project/kup/pkg/cluster"
)

const (
	repository = "https://pkgs.hollow.test/core:/stable:/v1.32/deb/"
	newSource  = "deb [signed-by=" + machine.KeyFile + "] " + repository + " /"
	update     = "apt-get update -q -o Dir::Etc::sourcelist=" + machine.SourceFile + " -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any"
	install    = "apt-get install -y -q --no-install-recommends "
	all        = "kubeadm=1.32.13-1.1 kubelet=1.32.13-1.1 kubectl=1.32.13-1.1"
)

func worker(t *testing.T) (*site, *host) {
	s := newSite(t, version("v1.31.14"), "v1.32.13")
	return s, s.add("w-1", cluster.Worker, "127.77.9.31")
}

func TestProvisionedPackages(t *testing.T) {
	_, h := worker(t)
	got, err := h.Installed()
	want := map[string]string{"kubeadm": "1.31.14-1.1", "kubelet": "1.31.14-1.1", "kubectl": "1.31.14-1.1", "cri-tools": "1.31.0-1.1", "kubernetes-cni": "1.4.0-1.1"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("installed are %v, %v", got, err)
	}
	for line, want := range map[string]string{
		"kubeadm version -o short": "v1.31.14\n",
		"kubelet --version":        "Kubernetes v1.31.14\n",
		"kubectl version --client | sed -n 's/Client Version: //p'": "v1.31.14\n",
		"apt-mark showhold":                                "kubeadm\nkubectl\nkubelet\n",
		"dpkg --print-architecture":                        "amd64\n",
		"apt-config shell database Dir::State::status/f":   "database='/var/lib/dpkg/status'\n",
		"apt-config shell archives Dir::Cache::archives/d": "archives='/var/cache/apt/archives/'\n",
		`dpkg-query -W -f='${db:Status-Want} ${db:Status-Status} ${Package} ${Version}\n' kubelet absent 2>/dev/null`: "hold installed kubelet 1.31.14-1.1\n",
	} {
		if _, got, _ := h.run(t, line); got != want {
			t.Errorf("%s prints %q, want %q", line, got, want)
		}
	}
}

func TestAptRefuses(t *testing.T) {
	_, h := worker(t)
	h.refuses(t, install+"kubeadm=1.32.13-1.1", "Version '1.32.13-1.1' for 'kubeadm' was not found")
	h.must(t, "echo '"+newSource+"' >"+machine.SourceFile+" && "+update)
	h.refuses(t, install+"kubeadm=1.32.13-1.1", "Held packages were changed")
	h.refuses(t, install+"kubeadm=1.32.99-1.1", "was not found")
	h.refuses(t, install+"nonsense=1", "Unable to locate package nonsense")
	h.refuses(t, "apt-get install -y --frobnicate kubeadm=1.32.13-1.1", "not understood")
	h.must(t, "apt-mark unhold kubeadm kubelet kubectl && "+install+all)
	if got := h.must(t, "kubelet --version"); got != "Kubernetes v1.32.13\n" {
		t.Errorf("the kubelet is %s", got)
	}
	h.must(t, "echo 'deb https://pkgs.hollow.test/core:/stable:/v1.31/deb/ /' >"+machine.SourceFile+" && "+update)
	h.refuses(t, install+"kubeadm=1.31.14-1.1", "Packages were downgraded")
	h.must(t, install+"--allow-downgrades kubeadm=1.31.14-1.1")
}

func TestAptWithoutRepository(t *testing.T) {
	_, h := worker(t)
	h.must(t, "echo '"+newSource+"' >"+machine.SourceFile)
	heal := h.FailRepository("1.32", debian.Unreachable)
	h.refuses(t, update, "Some index files failed to download")
	heal()
	h.must(t, update)
	h.must(t, "apt-mark unhold kubeadm && "+install+"--download-only kubeadm=1.32.13-1.1")
	defer h.FailRepository("", debian.NotFound)()
	h.refuses(t, update, "404")
	h.must(t, install+"kubeadm=1.32.13-1.1") // it was fetched before
	h.refuses(t, "apt-mark unhold kubelet && "+install+"kubelet=1.32.13-1.1", "Unable to fetch some archives")
}

func TestAptUnderLock(t *testing.T) {
	_, h := worker(t)
	h.must(t, "echo '"+newSource+"' >"+machine.SourceFile+" && "+update+" && apt-mark unhold kubeadm")
	release, err := h.HoldPackages()
	if err != nil {
		t.Fatal(err)
	}
	h.refuses(t, update, "Could not get lock /var/lib/apt/lists/lock")
	h.refuses(t, install+"kubeadm=1.32.13-1.1", "Unable to acquire the dpkg frontend lock")
	h.refuses(t, "apt-mark hold kubeadm", "Executing dpkg failed")
	release()
	h.must(t, install+"kubeadm=1.32.13-1.1")
}

// A power cut in the middle of an installation leaves a database that dpkg wants
// to look at first.
func TestPowerCutDuringInstall(t *testing.T) {
	const tries = 20 // the installation may be over before the power is
	for range tries {
		_, h := worker(t)
		if !cutDuringInstall(t, h) {
			continue
		}
		h.refuses(t, install+"kubeadm=1.32.13-1.1", "dpkg was interrupted")
		h.run(t, "dpkg --force-confdef --force-confold --configure -a")
		h.must(t, install+"kubeadm=1.32.13-1.1")
		return
	}
	t.Fatalf("the power was cut too late %d times", tries)
}

// cutDuringInstall tells whether dpkg was caught in the middle.
func cutDuringInstall(t *testing.T, h *host) bool {
	t.Helper()
	h.must(t, "echo '"+newSource+"' >"+machine.SourceFile+" && "+update+" && apt-mark unhold kubeadm")
	cut := false
	changed, end := h.FS().Changes("/var/lib/dpkg/updates")
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-changed
		cut = h.PowerOff(t.Context()) == nil
	}()
	code, _, _ := h.run(t, install+"kubeadm=1.32.13-1.1")
	<-done
	if !cut {
		t.Fatal("the power was not cut")
	}
	if err := h.PowerOn(); err != nil {
		t.Fatal(err)
	}
	left, _, _ := h.run(t, "ls /var/lib/dpkg/updates | grep -q .")
	return code != 0 && left == 0
}

func TestFullDisk(t *testing.T) {
	_, h := worker(t)
	h.must(t, "echo '"+newSource+"' >"+machine.SourceFile+" && "+update+" && apt-mark unhold kubelet && "+install+"--download-only kubelet=1.32.13-1.1")
	heal := h.FillDisk(2)
	h.refuses(t, install+"kubelet=1.32.13-1.1", "No space left on device")
	heal()
	if got := h.must(t, "kubelet --version"); got != "Kubernetes v1.31.14\n" {
		t.Errorf("after a disk that was full the kubelet is %s", got)
	}
	h.must(t, install+"kubelet=1.32.13-1.1")
}

func TestAvailable(t *testing.T) {
	_, h := worker(t)
	const url = "https://pkgs.hollow.test/core:/stable:/v{minor}/deb/"
	got, err := survey.Available(t.Context(), connection{h}, "apt", url, version("v1.32.0").Line())
	if err != nil || len(got) != 1 || got[0].Package != "1.32.13-1.1" {
		t.Errorf("offers of 1.32: %v, %v", got, err)
	}
	got, err = survey.Available(t.Context(), connection{h}, "apt", url, version("v1.36.0").Line())
	if err != nil || len(got) != 0 {
		t.Errorf("offers of 1.36: %v, %v", got, err)
	}
	defer h.FailRepository("", debian.Unreachable)()
	if _, err = survey.Available(t.Context(), connection{h}, "apt", url, version("v1.32.0").Line()); err == nil || !strings.Contains(err.Error(), "Could not connect") {
		t.Errorf("offers of a repository that is away: %v", err)
	}
}
