package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

const podSecurityPolicy = "PodSecurityPolicy"

// heartbeat is how long a kubelet waits for the API server to take its status
// and lease: nodeStatusUpdateFrequency, by default ten seconds.
// Source: kubernetes v1.34.4 cmd/kubelet/app/server.go, heartbeatClientConfig.
const heartbeat = 10

func admissionRules() []Rule {
	const practices = "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/"
	return []Rule{
		{"KUP-150", "no fail-closed webhook is answered from a single node", Warn, practices + "#ha-deployment", checkSingleNode},
		{"KUP-151", "fail-closed webhooks leave kube-system alone", Info, practices + "#dont-catch-all-cluster-components", checkSystemPods},
		{"KUP-152", "webhooks on nodes and leases answer faster than kubelets give up", Warn, practices + "#timeout-latency", checkHeartbeats},
		{"KUP-153", "no PodSecurityPolicy is left when they go", Warn, "https://kubernetes.io/docs/tasks/configure-pod-container/migrate-from-psp/", checkPodSecurityPolicies},
		{"KUP-154", "no workload selects control planes by a label that goes", Block, "https://github.com/kubernetes/enhancements/tree/master/keps/sig-cluster-lifecycle/kubeadm/2067-rename-master-label-taint", checkOldLabel},
		{"KUP-155", "no workload tolerates only the taint that goes", Warn, "https://github.com/kubernetes/enhancements/tree/master/keps/sig-cluster-lifecycle/kubeadm/2067-rename-master-label-taint", checkOldTaint},
	}
}

func (in Input) webhooks() []cluster.WebhookReach {
	if in.Scan.Objects == nil {
		return nil
	}
	return in.Scan.Objects.Webhooks
}

func webhookName(w cluster.WebhookReach) string {
	return fmt.Sprintf("%sWebhookConfiguration %s", w.Kind, w.Configuration)
}

// onOneNode gives the node that all ready endpoints of a fail-closed webhook run
// on, if there is one and the run drains it. One without any is KUP-051's.
func (in Input) onOneNode(w cluster.WebhookReach) (string, bool) {
	if !w.FailClosed || w.Backend == nil || w.Backend.Unknown || w.Backend.Ready == 0 || len(w.Backend.Nodes) != 1 {
		return "", false
	}
	node := w.Backend.Nodes[0]
	drained := in.Waves == nil || slices.ContainsFunc(in.Waves, func(wave []string) bool { return slices.Contains(wave, node) })
	return node, drained && (w.Pods || w.Nodes || w.Leases)
}

func checkSingleNode(in Input) []Finding {
	if len(in.Path) == 0 {
		return nil
	}
	var out []Finding
	for _, w := range in.webhooks() {
		node, single := in.onOneNode(w)
		if !single {
			continue
		}
		endpoints := "the only ready endpoint"
		if n := w.Backend.Ready; n > 1 {
			endpoints = fmt.Sprintf("all %d ready endpoints", n)
		}
		why := fmt.Sprintf("the webhook %s refuses when it does not answer, and %s of its Service %s runs on %s: while that is drained, %s", w.Name, endpoints, w.Backend.Service, node, refused(w))
		if w.Backend.Ready > 1 {
			why = strings.Replace(why, " runs on ", " run on ", 1)
		}
		out = append(out, Finding{
			Object: webhookName(w), Why: why,
			Fix: fmt.Sprintf("run two replicas on different nodes (podAntiAffinity by kubernetes.io/hostname) with a PodDisruptionBudget of minAvailable: 1; who is behind it: kubectl get endpoints -n %s -o wide", strings.Replace(w.Backend.Service, "/", " ", 1)),
		})
	}
	return out
}

// refused says what fails while the webhook does not answer.
func refused(w cluster.WebhookReach) string {
	var what []string
	if w.Pods {
		pods := "no pod it is asked about can be created"
		if w.OwnPods {
			pods += ", its own replacement included"
		}
		what = append(what, pods)
	}
	if w.Nodes {
		what = append(what, "changes of nodes are refused")
	}
	if w.Leases {
		what = append(what, "kubelets cannot renew their leases, and nodes become NotReady")
	}
	text := strings.Join(what, "; ")
	if w.Conditional {
		text += " (less what its objectSelector or matchConditions leave out)"
	}
	return text
}

func checkSystemPods(in Input) []Finding {
	if len(in.Path) == 0 {
		return nil
	}
	var out []Finding
	for _, w := range in.webhooks() {
		if !w.FailClosed || !w.SystemPods || w.Conditional || w.Backend == nil {
			continue
		}
		if _, single := in.onOneNode(w); single {
			continue
		}
		f := Finding{
			Object: webhookName(w),
			Why:    fmt.Sprintf("the webhook %s is asked about pods of kube-system and refuses when it does not answer: should Service %s be away in the middle of a hop, neither the control plane's mirror pods nor those of the network can be created", w.Name, w.Backend.Service),
			Fix:    "exempt it in its namespaceSelector: {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]} (before 1.21 with a label of your own)",
		}
		if !slices.ContainsFunc(out, func(g Finding) bool { return g.Object == f.Object }) {
			out = append(out, f)
		}
	}
	return out
}

func checkHeartbeats(in Input) []Finding {
	if len(in.Path) == 0 {
		return nil
	}
	var out []Finding
	for _, w := range in.webhooks() {
		if !w.Nodes && !w.Leases || w.Conditional || w.TimeoutSeconds < heartbeat {
			continue
		}
		what := "nodes"
		if w.Leases {
			what = "the leases of kubelets"
		}
		out = append(out, Finding{
			Object: webhookName(w),
			Why:    fmt.Sprintf("the webhook %s is asked about %s and may take %d s, and kubelets give up after %d s: when its backend hangs, as behind a node that restarts, nodes become NotReady", w.Name, what, w.TimeoutSeconds, heartbeat),
			Fix:    "leave nodes and leases out of its rules, or set timeoutSeconds to 5 or less",
		})
	}
	return out
}

func checkPodSecurityPolicies(in Input) []Finding {
	if in.Scan.Objects == nil || len(in.Scan.Objects.PodSecurityPolicies) == 0 {
		return nil
	}
	h, row, goes := in.removedOnPath("policy/v1beta1", podSecurityPolicy)
	if !goes {
		return nil
	}
	return []Finding{{
		Hop: h.name, Object: podSecurityPolicy + " " + few(in.Scan.Objects.PodSecurityPolicies),
		Why: fmt.Sprintf("%s has neither the API nor the admission plugin: what they forbid is allowed from then on, and they can no longer be read or deleted", row.In),
		Fix: "put Pod Security admission or a policy engine in their place (kubectl label namespace NAME pod-security.kubernetes.io/enforce=baseline), switch the plugin off on every running API server (kup explain KUP-153), and only then kubectl delete psp --all: with the plugin on and no policy no pod is admitted",
	}}
}

// templates are those that a run leaves to their owners: kubeadm itself writes
// CoreDNS anew.
func (in Input) templates() []cluster.Template {
	if in.Scan.Objects == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(in.Scan.Objects.Templates), func(t cluster.Template) bool {
		return t.Namespace == "kube-system" && t.Name == "coredns"
	})
}

func templateName(t cluster.Template) string {
	return t.Kind + " " + objectName(t.Namespace, t.Name)
}

func checkOldLabel(in Input) []Finding {
	var out []Finding
	for _, row := range in.Catalog.ControlPlaneNames() {
		for _, h := range in.hops() {
			if !h.crosses(row.Label) {
				continue
			}
			for _, t := range in.templates() {
				if !t.NeedsMaster || t.Kind != "CronJob" && t.Desired == 0 {
					continue
				}
				f := Finding{
					Hop: h.name, Object: templateName(t),
					Why: fmt.Sprintf("its pods only run where the label %s is, which kubeadm takes off in this hop: they find no node any more", row.Old),
					Fix: fmt.Sprintf("select on %s, which kubeadm sets since 1.20: kubectl -n %s edit %s %s", row.New, t.Namespace, strings.ToLower(t.Kind), t.Name),
				}
				if t.Kind == "CronJob" {
					f.Severity = Warn
				}
				out = append(out, f)
			}
		}
	}
	return out
}

func checkOldTaint(in Input) []Finding {
	var out []Finding
	for _, row := range in.Catalog.ControlPlaneNames() {
		for _, h := range in.hops() {
			if !h.crosses(row.Taint) {
				continue
			}
			for _, t := range in.templates() {
				if !t.ToleratesOnlyMaster {
					continue
				}
				out = append(out, Finding{
					Hop: h.name, Object: templateName(t),
					Why: fmt.Sprintf("it tolerates the taint %s, and not %s, which kubeadm adds to control planes in this hop: new pods of it no longer run there", row.Old, row.New),
					Fix: fmt.Sprintf("if it is to run on control planes, tolerate both: kubectl -n %s patch %s %s --type=json -p '%s'", t.Namespace, strings.ToLower(t.Kind), t.Name, tolerationPatch(t, row.New)),
				})
			}
		}
	}
	return out
}

func tolerationPatch(t cluster.Template, taint string) string {
	path := "/spec/template/spec/tolerations/-"
	if t.Kind == "CronJob" {
		path = "/spec/jobTemplate" + path
	}
	return fmt.Sprintf(`[{"op":"add","path":"%s","value":{"key":"%s","effect":"NoSchedule","operator":"Exists"}}]`, path, taint)
}
