package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// start is what a case gives the cluster: where it is and goes to, flags as
// "component flag=value", and what else there is on the hosts.
type start struct {
	from, etcd  string
	to          []string
	configured  []string // kubeadm's extraArgs
	manifests   []string // on every control plane, besides those configured
	kubelets    []string // in kubeadm-flags.env of every node
	extra       []string // in /etc/default/kubelet of w-1
	gates       map[string]bool
	kubeadm     map[string]bool
	files       []cluster.ConfigFile // on cp-1
	patches     string
	proxy       map[string]bool // feature gates of kube-proxy
	notKnown    bool            // kubeadm's configuration was not read
	runtimeless bool            // kubelets without --container-runtime-endpoint
}

func (s start) change(in *Input) {
	at(in, s.from, s.etcd)
	in.Path, in.PatchesDir = path(s.to...), s.patches
	in.Facts.Kubeadm.APIVersion = readByAll(in)
	var args *cluster.ClusterArgs
	if !s.notKnown {
		args = &cluster.ClusterArgs{FeatureGates: s.kubeadm}
		for name, field := range map[string]string{
			"kube-apiserver": "apiServer.extraArgs", "kube-controller-manager": "controllerManager.extraArgs",
			"kube-scheduler": "scheduler.extraArgs", "etcd": "etcd.local.extraArgs",
		} {
			args.Components = append(args.Components, cluster.Component{Name: name, Flags: flagsOf(name, s.configured, field)})
		}
		slices.SortFunc(args.Components, func(a, b cluster.Component) int { return strings.Compare(a.Name, b.Name) })
	}
	if s.proxy != nil {
		in.Scan.Objects = &cluster.Objects{ProxyGates: s.proxy}
		in.Facts.Addons = []cluster.Addon{{Name: "kube-proxy", Image: "registry.k8s.io/kube-proxy:" + s.from}}
	}
	in.Scan.Startup = map[string]*cluster.Startup{}
	for i := range in.Facts.Nodes {
		n := &in.Facts.Nodes[i]
		started := &cluster.Startup{Kubelet: []cluster.KubeletConfig{{Path: kubeletFile, FeatureGates: s.gates}}}
		if n.Role == cluster.ControlPlane {
			started.Cluster = args
			for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"} {
				file := "/etc/kubernetes/manifests/" + name + ".yaml"
				started.Components = append(started.Components, cluster.Component{Name: name, Flags: flagsOf(name, slices.Concat(s.configured, s.manifests), file)})
			}
		}
		flags := append(flagsOf("kubelet", s.kubelets, flagsEnv), cluster.Flag{Name: "config", Value: kubeletFile, Path: "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"})
		n.Host.PatchesPresent = s.patches != ""
		if s.runtimeless {
			n.Runtime = "docker://20.10.24"
		} else {
			flags = append(flags, cluster.Flag{Name: "container-runtime-endpoint", Path: flagsEnv})
		}
		if n.Name == "w-1" {
			flags = append(flags, flagsOf("kubelet", s.extra, "/etc/default/kubelet")...)
		}
		started.Components = append(started.Components, cluster.Component{Name: "kubelet", Flags: flags})
		if n.Name == "cp-1" {
			started.Files = s.files
		}
		in.Scan.Startup[n.Name] = started
	}
}

// readByAll is a version of kubeadm's configuration that no hop stumbles over.
func readByAll(in *Input) string {
	for _, v := range []string{"v1beta4", "v1beta3", "v1beta2", "v1beta1"} {
		if !slices.ContainsFunc(in.Path, func(to cluster.Version) bool {
			m, known := in.Catalog.Minor(to.Line())
			return known && !m.ReadsConfig(v)
		}) {
			return "kubeadm.k8s.io/" + v
		}
	}
	return ""
}

func flagsOf(component string, words []string, file string) []cluster.Flag {
	var out []cluster.Flag
	for _, word := range words {
		if of, rest, _ := strings.Cut(word, " "); of == component {
			name, value, _ := strings.Cut(rest, "=")
			out = append(out, cluster.Flag{Name: name, Value: value, Path: file})
		}
	}
	return out
}

func auditPolicy(version string) []cluster.ConfigFile {
	return []cluster.ConfigFile{{Component: "kube-apiserver", Flag: "audit-policy-file", Path: "/etc/kubernetes/audit.yaml", APIVersion: version, Kind: "Policy"}}
}

func kms(version string, size *int) []cluster.ConfigFile {
	return []cluster.ConfigFile{{
		Component: "kube-apiserver", Flag: "encryption-provider-config", Path: "/etc/kubernetes/enc.yaml", APIVersion: "apiserver.config.k8s.io/v1", Kind: "EncryptionConfiguration",
		Providers: []cluster.EncryptionProvider{{Name: "kms", APIVersion: version, CacheSize: size}, {Name: "identity"}},
	}}
}

func startupCases() []ruleCase {
	zero := 0
	audit := []string{"kube-apiserver audit-policy-file=/etc/kubernetes/audit.yaml"}
	encrypts := []string{"kube-apiserver encryption-provider-config=/etc/kubernetes/enc.yaml"}
	cases := []struct {
		rule, name string
		start      start
	}{
		{"KUP-070", "--network-plugin into 1.24, of every kubelet", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, kubelets: []string{"kubelet network-plugin=cni"}}},
		{"KUP-070", "two hops on, in kubeadm's configuration, by hand and by kubeadm", start{
			from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17", "v1.25.16", "v1.26.15"}, configured: []string{"kube-controller-manager register-retry-count"},
			manifests: []string{"kube-apiserver insecure-port=0", "kube-apiserver target-ram-mb"}, extra: []string{"kubelet logtostderr"},
		}},
		{"KUP-070", "an extra flag that kubeadm takes out of its own file only", start{
			from: "v1.34.4", etcd: "v3.6.5", to: []string{"v1.35.4"}, kubelets: []string{"kubelet pod-infra-container-image"}, extra: []string{"kubelet pod-infra-container-image"},
		}},
		{"KUP-070", "kubeadm of 1.26 is past", start{from: "v1.26.15", etcd: "v3.5.10", to: []string{"v1.27.16"}, kubelets: []string{"kubelet container-runtime=remote"}}},
		{"KUP-070", "perhaps by a patch", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, manifests: []string{"kube-apiserver insecure-port=0", "kube-apiserver target-ram-mb"}, patches: "/etc/kubernetes/patches"}},
		{"KUP-070", "kubeadm's configuration unknown", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, manifests: []string{"kube-apiserver target-ram-mb"}, notKnown: true}},
		{"KUP-071", "a cloud that left", start{from: "v1.26.15", etcd: "v3.5.10", to: []string{"v1.27.16"}, configured: []string{"kube-controller-manager cloud-provider=aws"}, extra: []string{"kubelet cloud-provider=aws"}}},
		{"KUP-071", "a cloud that is switched off, and one kept on", start{
			from: "v1.28.15", etcd: "v3.5.12", to: []string{"v1.29.15", "v1.30.14"},
			configured: []string{"kube-controller-manager cloud-provider=azure", "kube-controller-manager feature-gates=DisableCloudProviders=false"},
			extra:      []string{"kubelet cloud-provider=azure"},
		}},
		{"KUP-071", "a port", start{from: "v1.19.16", etcd: "v3.4.13", to: []string{"v1.20.15"}, configured: []string{"kube-apiserver insecure-port=8080"}}},
		{"KUP-071", "etcd's logger", start{from: "v1.21.14", etcd: "v3.4.13", to: []string{"v1.22.17"}, configured: []string{"etcd logger=capnslog"}}},
		{"KUP-072", "of the kubelets and of the API server", start{
			from: "v1.24.17", etcd: "v3.5.6", to: []string{"v1.25.16"}, configured: []string{"kube-apiserver feature-gates=TTLAfterFinished=true,AllAlpha=false"},
			gates: map[string]bool{"IPv6DualStack": true, "RotateKubeletServerCertificate": true},
		}},
		{"KUP-072", "of kube-proxy", start{from: "v1.24.17", etcd: "v3.5.6", to: []string{"v1.25.16"}, proxy: map[string]bool{"IPv6DualStack": true, "NoSuchGate": true}}},
		{"KUP-073", "locked in the first hop, gone in the second", start{from: "v1.22.17", etcd: "v3.5.6", to: []string{"v1.23.17", "v1.24.17", "v1.25.16"}, gates: map[string]bool{"IPv6DualStack": false}}},
		{"KUP-073", "locked to off", start{from: "v1.35.4", etcd: "v3.6.8", to: []string{"v1.36.3"}, configured: []string{"kube-apiserver feature-gates=GitRepoVolumeDriver=true"}}},
		{"KUP-074", "PodSecurityPolicy", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17", "v1.25.16"}, configured: []string{"kube-apiserver enable-admission-plugins=NodeRestriction,PodSecurityPolicy"}}},
		{"KUP-074", "switched off by name", start{from: "v1.30.14", etcd: "v3.5.15", to: []string{"v1.31.14"}, configured: []string{"kube-apiserver disable-admission-plugins=PersistentVolumeLabel"}}},
		{"KUP-075", "batch/v2alpha1", start{from: "v1.20.15", etcd: "v3.4.13", to: []string{"v1.21.14"}, configured: []string{"kube-apiserver runtime-config=api/all=true,batch/v2alpha1=true"}}},
		{"KUP-076", "an audit policy", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, configured: audit, files: auditPolicy("audit.k8s.io/v1beta1")}},
		{"KUP-076", "a scheduler's", start{
			from: "v1.24.17", etcd: "v3.5.6", to: []string{"v1.25.16", "v1.26.15", "v1.27.16", "v1.28.15"}, configured: []string{"kube-scheduler config=/etc/kubernetes/sched.yaml"},
			files: []cluster.ConfigFile{{Component: "kube-scheduler", Flag: "config", Path: "/etc/kubernetes/sched.yaml", APIVersion: "kubescheduler.config.k8s.io/v1beta2", Kind: "KubeSchedulerConfiguration"}},
		}},
		{"KUP-077", "dockershim", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, runtimeless: true}},
		{"KUP-078", "cachesize 0", start{from: "v1.17.17", etcd: "v3.4.3", to: []string{"v1.18.20"}, configured: encrypts, files: kms("v1", &zero)}},
		{"KUP-079", "kms v1", start{from: "v1.27.16", etcd: "v3.5.10", to: []string{"v1.28.15", "v1.29.15"}, configured: encrypts, files: kms("v1", nil)}},
		{"KUP-080", "experimental flags into 3.7", start{from: "v1.36.3", etcd: "v3.6.11", to: []string{"v1.37.0"}, configured: []string{"etcd experimental-compaction-batch-limit", "etcd auto-compaction-mode"}}},
		{"KUP-080", "the same from afar, and one that 3.6 loses", start{
			from: "v1.33.13", etcd: "v3.5.26", to: []string{"v1.34.4", "v1.35.4", "v1.36.3", "v1.37.0"}, configured: []string{"etcd experimental-compaction-batch-limit", "etcd enable-v2"},
		}},
		{"KUP-081", "named, and gone on", start{from: "v1.34.4", etcd: "v3.6.5", to: []string{"v1.35.4"}, kubeadm: map[string]bool{"WaitForAllControlPlaneComponents": true, "PublicKeysECDSA": true}}},
		{"KUP-081", "stopped on", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, kubeadm: map[string]bool{"IPv6DualStack": true}}},
	}
	var out []ruleCase
	for _, tc := range cases {
		out = append(out, ruleCase{tc.rule, tc.name, tc.start.change})
	}
	return out
}

// TestStartupIsQuiet: what a component takes, what kubeadm takes care of, and
// what was not seen, is no finding.
func TestStartupIsQuiet(t *testing.T) {
	for _, tc := range []struct {
		name   string
		start  start
		change func(*Input)
	}{
		{"nothing special", start{from: "v1.33.13", etcd: "v3.5.26", to: []string{"v1.34.4", "v1.35.4"}}, nil},
		{"flags that kubeadm takes out itself", start{
			from: "v1.25.16", etcd: "v3.5.6", to: []string{"v1.26.15", "v1.27.16"}, kubelets: []string{"kubelet container-runtime=remote", "kubelet pod-infra-container-image"},
		}, nil},
		{"the sandbox image into 1.35", start{from: "v1.34.4", etcd: "v3.6.5", to: []string{"v1.35.4"}, kubelets: []string{"kubelet pod-infra-container-image"}}, nil},
		{"what kubeadm wrote into old manifests", start{
			from: "v1.19.16", etcd: "v3.4.13", to: []string{"v1.20.15", "v1.21.14", "v1.22.17", "v1.23.17", "v1.24.17"},
			manifests: []string{"kube-apiserver insecure-port=0", "kube-controller-manager port=0", "kube-scheduler port=0"},
		}, nil},
		{"and the same with patches", start{
			from: "v1.19.16", etcd: "v3.4.13", to: []string{"v1.20.15"}, patches: "/p",
			manifests: []string{"kube-apiserver insecure-port=0", "kube-controller-manager port=0", "kube-scheduler port=0"},
		}, nil},
		{"etcd's flags by kubeadm", start{
			from: "v1.33.13", etcd: "v3.5.26", to: []string{"v1.34.4"}, patches: "/p",
			manifests: []string{"etcd experimental-initial-corrupt-check", "etcd experimental-watch-progress-notify-interval"},
		}, nil},
		{"flags already lost, which run nevertheless", start{from: "v1.33.13", etcd: "v3.5.26", to: []string{"v1.34.4"}, extra: []string{"kubelet network-plugin=cni"}, gates: map[string]bool{"IPv6DualStack": true}}, nil},
		{"flags lost after the path", start{from: "v1.33.13", etcd: "v3.5.26", to: []string{"v1.34.4"}, extra: []string{"kubelet pod-infra-container-image"}}, nil},
		{"gates at what they are locked to", start{from: "v1.35.4", etcd: "v3.6.11", to: []string{"v1.36.3"}, gates: map[string]bool{"UserNamespacesSupport": true, "GitRepoVolumeDriver": false}}, nil},
		{"a policy that is read", start{
			from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, configured: []string{"kube-apiserver audit-policy-file=/etc/kubernetes/audit.yaml"}, files: auditPolicy("audit.k8s.io/v1"),
		}, nil},
		{"a policy of a flag by hand", start{
			from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, manifests: []string{"kube-apiserver audit-policy-file=/etc/kubernetes/audit.yaml"}, files: auditPolicy("audit.k8s.io/v1beta1"),
		}, nil},
		{"kms v1 switched on", start{
			from: "v1.28.15", etcd: "v3.5.12", to: []string{"v1.29.15"}, files: kms("v1", nil),
			configured: []string{"kube-apiserver encryption-provider-config=/etc/kubernetes/enc.yaml", "kube-apiserver feature-gates=KMSv1=true"},
		}, nil},
		{"kms v2", start{from: "v1.28.15", etcd: "v3.5.12", to: []string{"v1.29.15"}, files: kms("v2", nil), configured: []string{"kube-apiserver encryption-provider-config=/etc/kubernetes/enc.yaml"}}, nil},
		{"a gate by hand that the hop takes away", start{from: "v1.24.17", etcd: "v3.5.6", to: []string{"v1.25.16"}, gates: map[string]bool{"IPv6DualStack": true}}, func(in *Input) {
			for i := range in.Facts.Nodes {
				in.Facts.Nodes[i].Host.HandEdits = []cluster.HandEdit{{Path: kubeletFile, What: "field featureGates.IPv6DualStack is added"}}
			}
		}},
		{"a flag by hand that the hop takes away", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, patches: "/p", manifests: []string{"kube-apiserver target-ram-mb"}}, func(in *Input) {
			for i := range in.Facts.Nodes {
				in.Facts.Nodes[i].Host.HandEdits = []cluster.HandEdit{{Path: "/etc/kubernetes/manifests/kube-apiserver.yaml", What: "flag --target-ram-mb is added"}}
			}
		}},
		{"hosts not seen", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, kubelets: []string{"kubelet network-plugin=cni"}}, func(in *Input) { in.Scan.Startup = nil }},
		{"a kubelet not seen", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, runtimeless: true}, func(in *Input) {
			for _, s := range in.Scan.Startup {
				s.Components = slices.DeleteFunc(s.Components, func(c cluster.Component) bool { return c.Name == "kubelet" })
			}
		}},
		{"a kubelet started in a way of its own", start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, runtimeless: true}, func(in *Input) {
			for _, s := range in.Scan.Startup {
				s.Component("kubelet").Flags = nil
			}
		}},
		{"no path", start{from: "v1.23.17", etcd: "v3.5.6", kubelets: []string{"kubelet network-plugin=cni"}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := clean(t)
			tc.start.change(&in)
			if tc.change != nil {
				tc.change(&in)
			}
			for _, r := range startupRules() {
				if got := r.Check(in); len(got) != 0 {
					t.Errorf("%s:\n%s", r.ID, list(got))
				}
			}
		})
	}
}

// TestStartupOfManyNodes: one cause is one finding.
func TestStartupOfManyNodes(t *testing.T) {
	in := clean(t)
	worker := *in.Facts.Node("w-2")
	for i := range 20 {
		worker.Name = fmt.Sprintf("x-%02d", i)
		in.Facts.Nodes = append(in.Facts.Nodes, worker)
	}
	start{from: "v1.23.17", etcd: "v3.5.6", to: []string{"v1.24.17"}, kubelets: []string{"kubelet network-plugin=cni"}}.change(&in)
	in.Facts.Node("x-03").Kubelet = cluster.MustParseVersion("v1.24.17") // has made the hop already
	got := checkLostFlags(in)
	if len(got) != 1 || !strings.HasSuffix(got[0].Object, "and 18 more") {
		t.Errorf("findings:\n%s", list(got))
	}
}
