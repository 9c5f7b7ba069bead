package preflight

import (
	"fmt"

	"github.com/kup-project/kup/pkg/cluster"
)

func workloadRules() []Rule {
	const admission = "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/"
	return []Rule{
		{"KUP-050", "every disruption budget allows a disruption", Warn, "https://kubernetes.io/docs/tasks/run-application/configure-pdb/", checkBudgets},
		{"KUP-051", "every fail-closed webhook has a backend", Block, admission, checkWebhooks},
		{"KUP-052", "every aggregated API is available", Warn, "https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/", checkAPIServices},
		{"KUP-053", "nobody asks for an API version that a hop removes", Warn, "https://kubernetes.io/docs/reference/using-api/deprecation-guide/", checkDeprecated},
	}
}

// checkBudgets speaks where no drain could be simulated: KUP-130 and KUP-131 say
// which of these budgets stop which drain.
func checkBudgets(in Input) []Finding {
	if in.Scan.Placement != nil && in.Waves != nil {
		return nil
	}
	var out []Finding
	for _, b := range in.Facts.Budgets {
		if b.DisruptionsAllowed == 0 && b.ExpectedPods > 0 {
			out = append(out, Finding{
				Object: fmt.Sprintf("PodDisruptionBudget %s/%s", b.Namespace, b.Name),
				Why:    fmt.Sprintf("it allows no disruption (%d of %d pods must stay): a drain waits on it until it times out", b.DesiredHealthy, b.ExpectedPods),
				Fix:    "add a replica, or lower what the budget asks for",
			})
		}
	}
	return out
}

func checkWebhooks(in Input) []Finding {
	var out []Finding
	for _, w := range in.Facts.Webhooks {
		if w.FailClosed && w.Service != "" && w.Endpoints == 0 {
			out = append(out, Finding{
				Object: fmt.Sprintf("%sWebhookConfiguration %s", w.Kind, w.Configuration),
				Why:    fmt.Sprintf("the webhook %s refuses when it does not answer, and its Service %s has no ready endpoint", w.Name, w.Service),
				Fix:    "bring its backend up, or delete the configuration",
			})
		}
	}
	return out
}

func checkAPIServices(in Input) []Finding {
	var out []Finding
	for _, a := range in.Facts.APIServices {
		if !a.Available {
			out = append(out, Finding{Object: "APIService " + a.Name, Why: "it is not available: " + a.Reason, Fix: "bring its backend up: namespaces cannot be deleted and discovery is slow without it"})
		}
	}
	return out
}

func checkDeprecated(in Input) []Finding {
	var out []Finding
	for _, r := range in.Facts.DeprecatedRequests {
		// The garbage collector lists every resource there is, and so does kup: policies
		// are asked for in every cluster. Those that exist are KUP-153's.
		if r.Group == "policy" && r.Resource == "podsecuritypolicies" && in.Scan.Objects != nil {
			continue
		}
		removed, replacement := removal(in, r)
		if removed == (cluster.Minor{}) {
			continue
		}
		for _, h := range in.hops() {
			if h.from.Line().Less(removed) && !h.to.Line().Less(removed) {
				fix := "find the client (audit log, user agent) and move it"
				if replacement != "" {
					fix += " to " + replacement
				}
				out = append(out, Finding{Hop: h.name, Object: apiName(r), Why: fmt.Sprintf("clients ask for it, and it is gone in %s", removed), Fix: fix})
			}
		}
	}
	return out
}

// removal says when the API goes and what replaces it: by the API server's own
// word, else by the catalog's.
func removal(in Input, r cluster.DeprecatedRequest) (cluster.Minor, string) {
	row, known := in.Catalog.RemovedAPI(r.Group, r.Version, r.Resource)
	if m, err := cluster.ParseMinor(r.RemovedRelease); err == nil {
		return m, row.Replacement
	}
	if !known {
		return cluster.Minor{}, ""
	}
	return row.In, row.Replacement
}

func apiName(r cluster.DeprecatedRequest) string {
	if r.Group == "" {
		return r.Resource + "." + r.Version
	}
	return r.Resource + "." + r.Version + "." + r.Group
}
