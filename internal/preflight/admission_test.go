package preflight

import "github.com/kup-project/kup/pkg/cluster"

// from123 is a cluster at v1.23.17 on its way over 1.24 and 1.25.
func from123(change func(*cluster.Objects)) func(*Input) {
	return func(in *Input) {
		at(in, "v1.23.17", "v3.5.6")
		in.Path, in.Facts.Kubeadm.APIVersion = path("v1.24.17", "v1.25.16"), "kubeadm.k8s.io/v1beta3"
		in.Scan.Objects = &cluster.Objects{}
		change(in.Scan.Objects)
	}
}

func withWebhook(change func(*cluster.WebhookReach)) func(*Input) {
	return func(in *Input) {
		w := cluster.WebhookReach{
			Configuration: "policy", Kind: "Validating", Name: "v.policy.io", FailClosed: true, TimeoutSeconds: 10,
			Backend: &cluster.Backend{Service: "policy/webhook", Ready: 1, Nodes: []string{"w-1"}},
		}
		change(&w)
		in.Scan.Objects = &cluster.Objects{Webhooks: []cluster.WebhookReach{w}}
	}
}

func admissionCases() []ruleCase {
	workloads := []cluster.Template{
		{Kind: "CronJob", Namespace: "ops", Name: "backup", NeedsMaster: true, ToleratesOnlyMaster: true},
		{Kind: "DaemonSet", Namespace: "ops", Name: "exporter", Desired: 3, ToleratesOnlyMaster: true},
		{Kind: "Deployment", Namespace: "kube-system", Name: "coredns", Desired: 2, NeedsMaster: true, ToleratesOnlyMaster: true},
		{Kind: "Deployment", Namespace: "ops", Name: "dashboard", Desired: 1, NeedsMaster: true},
		{Kind: "Deployment", Namespace: "ops", Name: "asleep", NeedsMaster: true},
	}
	return []ruleCase{
		{"KUP-150", "one endpoint, its own pods too", withWebhook(func(w *cluster.WebhookReach) { w.Pods, w.OwnPods = true, true })},
		{"KUP-150", "two on one node, everything", withWebhook(func(w *cluster.WebhookReach) {
			w.Backend.Ready, w.Pods, w.Nodes, w.Leases, w.Conditional = 2, true, true, true, true
		})},
		{"KUP-151", "kube-system", withWebhook(func(w *cluster.WebhookReach) {
			w.Backend.Ready, w.Backend.Nodes, w.Pods, w.SystemPods = 2, []string{"w-1", "w-2"}, true, true
		})},
		{"KUP-152", "slow on leases", withWebhook(func(w *cluster.WebhookReach) {
			w.Backend, w.FailClosed, w.Leases, w.TimeoutSeconds = nil, false, true, 30
		})},
		{"KUP-153", "policies, once", from123(func(o *cluster.Objects) {
			o.PodSecurityPolicies = []string{"privileged", "restricted"}
			o.Written = []cluster.Written{{APIVersion: "policy/v1beta1", Kind: podSecurityPolicy, Name: "restricted", Applied: true}}
		})},
		{"KUP-154", "workloads on control planes", from123(func(o *cluster.Objects) { o.Templates = workloads })},
		{"KUP-155", "an exporter", from123(func(o *cluster.Objects) { o.Templates = workloads[1:2] })},
	}
}
