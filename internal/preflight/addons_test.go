package preflight

import "github.com/kup-project/kup/pkg/cluster"

func withImages(images ...string) func(*Input) {
	return func(in *Input) {
		in.Path = path("v1.34.4", "v1.35.4")
		in.Scan.Objects = &cluster.Objects{Templates: []cluster.Template{{Kind: "Deployment", Namespace: "ops", Name: "addon", Desired: 1, Images: images}}}
	}
}

func withCoreDNS(image string, plugins ...cluster.Plugin) func(*Input) {
	return func(in *Input) {
		in.Path = path("v1.34.4", "v1.35.4")
		in.Scan.Objects = &cluster.Objects{Corefile: &cluster.Corefile{Image: image, Plugins: plugins}}
	}
}

func addonCases() []ruleCase {
	const coredns = "registry.k8s.io/coredns/coredns:"
	return []ruleCase{
		{"KUP-160", "two add-ons and one that is fine", withImages("calico/node:v3.29.1", "registry.k8s.io/ingress-nginx/controller:v1.14.1", "registry.k8s.io/metrics-server/metrics-server:v0.7.2")},
		{"KUP-160", "no beginning is known", withImages("registry.k8s.io/csi-vsphere/driver:v3.4.0")},
		{"KUP-160", "minors like those of Kubernetes", withImages("registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.1", "registry.k8s.io/provider-aws/cloud-controller-manager:v1.33.1")},
		{"KUP-161", "versions nobody told", withImages("calico/node:v3.30.2", "calico/node@sha256:abc", "quay.io/cilium/cilium:v1.99.0")},
		{"KUP-162", "a plugin kubeadm does not know", withCoreDNS(coredns+"v1.12.0", cluster.Plugin{Name: "template"}, cluster.Plugin{Name: "cache", Options: []string{"keepttl", "refresh"}})},
		{"KUP-162", "newer than what kubeadm brings", withCoreDNS(coredns + "v1.12.4")},
		{"KUP-162", "not a release", withCoreDNS("mirror.example:5000/coredns:v1.11.3-acme.1")},
		{"KUP-162", "looked at although it stays, before 1.27", func(in *Input) {
			at(in, "v1.23.17", "v3.5.6")
			in.Path, in.Facts.Kubeadm.APIVersion = path("v1.24.17"), "kubeadm.k8s.io/v1beta3"
			in.Scan.Objects = &cluster.Objects{Corefile: &cluster.Corefile{Image: coredns + "v1.8.6", Plugins: []cluster.Plugin{{Name: "template"}}}}
		}},
		{"KUP-163", "userspace", func(in *Input) {
			at(in, "v1.25.16", "v3.5.6")
			in.Path, in.Facts.Kubeadm.APIVersion = path("v1.26.15"), "kubeadm.k8s.io/v1beta3"
			in.Scan.Objects = &cluster.Objects{ProxyMode: "userspace"}
		}},
		{"KUP-164", "ipvs", func(in *Input) {
			in.Path = path("v1.34.4", "v1.35.4")
			in.Scan.Objects = &cluster.Objects{ProxyMode: "ipvs"}
		}},
	}
}
