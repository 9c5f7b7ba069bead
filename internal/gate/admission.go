package gate

import (
	"context"
	"slices"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

// Admission is what may refuse every request when it is down.
type Admission interface {
	Webhooks(ctx context.Context) ([]cluster.Webhook, error)
	APIServices(ctx context.Context) ([]cluster.APIService, error)
}

func (d *Deps) admissionAvailable(ctx context.Context) plan.Verdict {
	webhooks, err := d.Admission.Webhooks(ctx)
	if err != nil {
		return cannotTell("the webhooks: %v", err)
	}
	services, err := d.Admission.APIServices(ctx)
	if err != nil {
		return cannotTell("the aggregated APIs: %v", err)
	}
	before := d.Facts
	if before == nil {
		before = &cluster.Facts{}
	}
	return admission(before, webhooks, services)
}

// admission wants every fail-closed webhook to have a ready endpoint and every
// aggregated API to be available, except those that were not when the plan was
// made.
func admission(before *cluster.Facts, webhooks []cluster.Webhook, services []cluster.APIService) plan.Verdict {
	for _, w := range webhooks {
		was := slices.ContainsFunc(before.Webhooks, func(b cluster.Webhook) bool {
			return b.Configuration == w.Configuration && b.Name == w.Name && deaf(b)
		})
		if deaf(w) && !was {
			return notYet("webhook %s of %s has no ready endpoint behind %s, and requests fail without it", w.Name, w.Configuration, w.Service)
		}
	}
	for _, s := range services {
		was := slices.ContainsFunc(before.APIServices, func(b cluster.APIService) bool { return b.Name == s.Name && !b.Available })
		if !s.Available && !was {
			return notYet("aggregated API %s is not available: %s", s.Name, s.Reason)
		}
	}
	return holds()
}

// deaf is a webhook that refuses requests because nobody answers. One outside
// the cluster has no service and cannot be judged.
func deaf(w cluster.Webhook) bool { return w.FailClosed && w.Service != "" && w.Endpoints == 0 }
