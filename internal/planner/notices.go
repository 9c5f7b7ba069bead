package planner

import (
	"fmt"
	"net"
	"strings"

	"github.com/kup-project/kup/internal/catalog"
	"github.com/kup-project/kup/pkg/plan"
)

// notice adds a sentence about this hop.
func (h *hopBuilder) notice(consent bool, format string, args ...any) {
	h.notices = append(h.notices, plan.Notice{Consent: consent, Hop: h.to.Line().String(), Text: fmt.Sprintf(format, args...)})
}

// tell adds what the operator must know about the hop beyond its steps.
func (h *hopBuilder) tell() {
	apply := h.minor.Apply(h.to, h.options)
	switch {
	case apply.Does(catalog.PartAddons):
		h.notice(false, "kubeadm %s moves CoreDNS and kube-proxy inside `upgrade apply`, not in a stage of their own", h.to.Line())
	case apply.Does(catalog.PartAddonsWhenLast):
		h.notice(false, "kubeadm %s moves CoreDNS and kube-proxy with the last control plane, not in a stage of their own", h.to.Line())
	}
	if apply.Does(catalog.PartKubeletConfig) {
		h.notice(false, "kubeadm %s writes the new kubelet configuration of control planes before their drain: a kubelet that restarts by itself in between reads it with the old binary", h.to.Line())
	}
	if h.to != h.minor.Seen() {
		h.notice(false, "what this kup knows of %s was read from %s: if %s brings other images of etcd, CoreDNS or pause, kubeadm pulls them itself", h.to.Line(), h.minor.Seen(), h.to)
	}
	if h.options.Patches != "" && !h.minor.HasOption("patches") {
		h.notice(false, "kubeadm %s knows no patches: %s is not used in this hop", h.to.Line(), h.options.Patches)
	}
}

// general are the notices about the plan as a whole.
func (b *builder) general() []plan.Notice {
	var out []plan.Notice
	add := func(consent bool, format string, args ...any) {
		out = append(out, plan.Notice{Consent: consent, Text: fmt.Sprintf(format, args...)})
	}
	cps, members := b.state.controlPlanes(), b.state.members()
	switch {
	case len(cps) == 1 && len(b.state.external) > 0:
		add(true, "there is one control plane: the API is down while its API server restarts, about a minute in every hop; workloads keep running")
	case len(cps) == 1:
		add(true, "there is one control plane: the API is down while its API server and its etcd restart, about a minute each in every hop; workloads keep running")
	case len(members) > 0 && len(members) < 3:
		add(true, "there are %d etcd members: quorum does not survive the loss of one, so the API is down while each member restarts, about a minute each in every hop; workloads keep running", len(members))
	}
	if b.policy.Snapshots.Encrypted && len(members) > 0 {
		add(false, "snapshots are encrypted: a rollback that restores one (kup rollback --scope data) needs the identity that opens it, --identity FILE")
	}
	if n := len(b.state.external); n > 0 && n < 3 {
		add(true, "there are %d external etcd members: quorum does not survive the loss of one, so the API is down while a member restarts; workloads keep running", n)
	}
	if len(cps) > 1 {
		if on := b.endpointOnNode(); on != "" {
			add(true, "the control-plane endpoint %s is on %s itself: the API is down for everybody while that node's API server restarts", b.facts.Kubeadm.Endpoint, on)
		} else if len(b.policy.LoadBalancer.Drain) == 0 {
			add(false, "no load balancer commands are configured: clients of an API server lose their connection once when it restarts")
		}
	}
	if !b.policy.CertificateRenewal {
		add(false, "certificates are not renewed: kubeadm.certificateRenewal is false")
	}
	for _, n := range b.state.nodes {
		if n.Cordoned {
			add(false, "%s is cordoned and stays so: run `kubectl uncordon %s` if that is a leftover", n.Name, n.Name)
		}
	}
	for _, u := range b.facts.Unchecked {
		add(false, "not checked: %s", u)
	}
	return out
}

// endpointOnNode names the control plane whose own address is the cluster's
// endpoint; empty when something stands before the API servers.
func (b *builder) endpointOnNode() string {
	host, _, err := net.SplitHostPort(b.facts.Kubeadm.Endpoint)
	if err != nil {
		host = b.facts.Kubeadm.Endpoint
	}
	for _, n := range b.state.controlPlanes() {
		if host != "" && (strings.EqualFold(host, n.Name) || host == n.Address) {
			return n.Name
		}
	}
	return ""
}
