package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

func kubeadmRules() []Rule {
	const certs = "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/"
	return []Rule{
		{"KUP-030", "the cluster was made by kubeadm", Block, "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/", checkKubeadm},
		{"KUP-031", "no file that kubeadm rewrites was edited by hand", Block, "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/", checkHandEdits},
		{"KUP-032", "the patches directory is on every control plane", Block, "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches", checkPatches},
		{"KUP-033", "kubeadm of every hop reads patches", Block, "kubernetes CHANGELOG-1.19: --experimental-patches", checkPatchesKnown},
		{"KUP-034", "the keys of the CAs are on the control planes when certificates are to be renewed", Block, certs + "#external-ca-mode", checkExternalCA},
		{"KUP-035", "no certificate has expired", Block, certs, checkExpired},
		{"KUP-036", "no certificate expires soon", Warn, certs, checkExpiring},
		{"KUP-037", "kubeadm of the first hop reads the cluster's configuration", Block, "https://kubernetes.io/docs/reference/config-api/", checkConfigAPI},
	}
}

func checkKubeadm(in Input) []Finding {
	const fix = "kup upgrades kubeadm clusters only"
	if in.Facts.Kubeadm.ConfigDigest == "" {
		return []Finding{{Object: "ConfigMap kube-system/kubeadm-config", Why: "it does not exist or cannot be read", Fix: fix}}
	}
	var out []Finding
	for _, n := range in.nodes() {
		if n.Role != cluster.ControlPlane {
			continue
		}
		for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			if n.Static(component) == nil {
				out = append(out, Finding{Object: "node " + n.Name, Why: component + " does not run there as a static pod", Fix: fix})
			}
		}
	}
	return out
}

func checkHandEdits(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if n.Host == nil {
			continue
		}
		for _, e := range n.Host.HandEdits {
			config, anew := "kubeadm-config", "kubeadm upgrade node phase control-plane, one control plane after the other"
			if e.Path == kubeletFile {
				config, anew = "kubelet-config", "kubeadm upgrade node phase kubelet-config && systemctl restart kubelet"
			}
			out = append(out, Finding{
				Object: e.Path + " on " + n.Name, Why: "kubeadm would overwrite a change made by hand: " + e.What,
				Fix: fmt.Sprintf("carry the change into kubeadm's configuration (kubectl -n kube-system edit configmap %s) or into a patch (kubeadm.patches in kup.yaml), or undo it; where it is the configuration that was changed since, have the file written anew: %s", config, anew),
			})
		}
	}
	return out
}

func checkPatches(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if in.PatchesDir != "" && n.Role == cluster.ControlPlane && n.Host != nil && !n.Host.PatchesPresent {
			out = append(out, Finding{Object: "node " + n.Name, Why: in.PatchesDir + " does not exist there", Fix: "copy it to the node, or unset kubeadm.patches in kup.yaml: kubeadm stops where it is missing"})
		}
	}
	return out
}

func checkPatchesKnown(in Input) []Finding {
	var out []Finding
	for _, h := range in.hops() {
		if m, known := in.Catalog.Minor(h.to.Line()); known && in.PatchesDir != "" && !m.HasOption("patches") {
			out = append(out, Finding{Hop: h.name, Why: fmt.Sprintf("kubeadm %s has no patches, so that what they carry would be lost", h.name), Fix: "carry the changes in kubeadm's configuration until a newer minor is reached"})
		}
	}
	return out
}

func checkExternalCA(in Input) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if in.CertificateRenewal && n.Role == cluster.ControlPlane && n.Host != nil && n.Host.ExternalCA {
			out = append(out, Finding{Object: "node " + n.Name, Why: "a CA there has no key, and kubeadm cannot renew what that CA signed", Fix: "set kubeadm.certificateRenewal: false in kup.yaml and renew the certificates where the CA is"})
		}
	}
	return out
}

func checkExpired(in Input) []Finding { return expiring(in, time.Time{}, in.Now, "expired on") }

func checkExpiring(in Input) []Finding { return expiring(in, in.Now, in.Now.Add(soon), "expires on") }

// expiring names, node by node, the certificates that end after from and not
// after to.
func expiring(in Input, from, to time.Time, verb string) []Finding {
	var out []Finding
	for _, n := range in.nodes() {
		if n.Host == nil {
			continue
		}
		for _, c := range n.Host.Certificates {
			if !c.NotAfter.After(from) || c.NotAfter.After(to) {
				continue
			}
			fix := "kubeadm certs renew " + c.Name + ", then restart what uses it"
			if c.External {
				fix = "renew it where its CA is"
			}
			out = append(out, Finding{Object: "certificate " + c.Name + " on " + n.Name, Why: verb + " " + c.NotAfter.UTC().Format(time.DateOnly), Fix: fix})
		}
	}
	return out
}

func checkConfigAPI(in Input) []Finding {
	_, version, _ := strings.Cut(in.Facts.Kubeadm.APIVersion, "/")
	hops := in.hops()
	if version == "" || len(hops) == 0 {
		return nil
	}
	m, known := in.Catalog.Minor(hops[0].to.Line())
	if !known || m.ReadsConfig(version) {
		return nil
	}
	apis := m.ConfigAPIs()
	slices.Sort(apis)
	return []Finding{{
		Hop: hops[0].name, Object: "ConfigMap kube-system/kubeadm-config",
		Why: fmt.Sprintf("it is %s, and kubeadm %s reads %s", version, hops[0].name, strings.Join(apis, " and ")),
		Fix: fmt.Sprintf("rewrite it with kubeadm %s at the present minor: kubeadm upgrade apply %s", hops[0].from.Line(), hops[0].from),
	}}
}
