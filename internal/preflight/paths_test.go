package preflight

import (
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// TestPaths: what is found over long paths, on clusters that look their age. The
// findings of every hop are in testdata/path-*.txt.
func TestPaths(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Input)
	}{
		{"1.16-1.20", agedSince116},
		{"1.31-1.37", agedSince131},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := clean(t)
			tc.change(&in)
			found := Check(in)
			hops := map[string]bool{}
			for _, f := range found {
				hops[f.Hop] = true
			}
			for _, v := range in.Path {
				if !hops[v.Line().String()] {
					t.Errorf("nothing is found at the hop to %s, which has something planted", v.Line())
				}
			}
			golden(t, "testdata/path-"+tc.name+".txt", list(found))
		})
	}
}

// agedSince116 is a cluster at 1.16 on Docker, with the settings of its time.
func agedSince116(in *Input) {
	s := start{
		from: "v1.16.15", etcd: "v3.3.15", to: []string{"v1.17.17", "v1.18.20", "v1.19.16", "v1.20.15"}, runtimeless: true,
		configured: []string{
			"kube-apiserver basic-auth-file=/etc/kubernetes/users.csv", "kube-apiserver enable-admission-plugins=NodeRestriction,PodPreset",
			"kube-apiserver feature-gates=PodPriority=true",
		},
		kubelets: []string{"kubelet network-plugin=cni"},
		extra:    []string{"kubelet feature-gates=MountContainers=true"},
		files: []cluster.ConfigFile{{
			Component: "kube-apiserver", Flag: "encryption-provider-config", Path: "/etc/kubernetes/encryption.yaml",
			APIVersion: "apiserver.config.k8s.io/v1", Kind: "EncryptionConfiguration",
			Providers: []cluster.EncryptionProvider{{Name: "kms", APIVersion: "v1", CacheSize: new(int)}},
		}},
	}
	s.change(in)
	in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta2"
	in.Scan.Objects = &cluster.Objects{Written: []cluster.Written{
		{APIVersion: "apps/v1beta2", Kind: "Deployment", Namespace: "shop", Name: "web", Applied: true},
		{APIVersion: "settings.k8s.io/v1alpha1", Kind: "PodPreset", Namespace: "shop", Name: "proxy", Applied: true},
	}}
}

// agedSince131 is a cluster at 1.31 on its way over two changes of etcd's minor,
// cgroup v1 and the kubelet's last cAdvisor flags.
func agedSince131(in *Input) {
	s := start{
		from: "v1.31.14", etcd: "v3.5.24", to: []string{"v1.32.13", "v1.33.13", "v1.34.4", "v1.35.4", "v1.36.3", "v1.37.0"},
		configured: []string{
			"kube-apiserver feature-gates=APIListChunking=true,KMSv2=true", "kube-apiserver cloud-provider=external",
			"etcd experimental-initial-corrupt-check=true",
		},
		kubelets: []string{"kubelet pod-infra-container-image=registry.k8s.io/pause:3.10"},
		extra:    []string{"kubelet register-schedulable=true", "kubelet housekeeping-interval=10s", "kubelet containerd=/run/containerd/containerd.sock"},
		gates:    map[string]bool{"PodIndexLabel": true, "WatchFromStorageWithoutResourceVersion": false},
	}
	s.change(in)
	in.Facts.Kubeadm.APIVersion = "kubeadm.k8s.io/v1beta3"
	lookedAt(in)
	in.Scan.HostStates["w-1"].Cgroup = 1
	stored(in, storedAs("storageversionmigrations", "storagemigration.k8s.io", "v1alpha1", "StorageVersionMigration", 2, "a", "b"),
		storedAs("cronjobs", "batch", "v1beta1", "CronJob", 1, "shop/report"))
	in.Scan.Objects = &cluster.Objects{Releases: []cluster.Release{{Namespace: "shop", Name: "web", Revision: 3, Chart: "web-1.2.3", Objects: []cluster.Manifest{
		{APIVersion: "flowcontrol.apiserver.k8s.io/v1beta3", Kind: "FlowSchema", Name: "web"},
	}}}}
}
