package gate

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	"github.com/kup-project/kup/pkg/plan"
)

var (
	v33   = cluster.MustParseVersion("v1.33.13")
	v34   = cluster.MustParseVersion("v1.34.4")
	errIO = errors.New("connection refused")
)

// fake is everything that gates ask.
type fake struct {
	servers     map[string]APIServer
	node        cluster.Node
	members     []cluster.Member
	alarms      []string
	alarmsErr   error
	equal       plan.Verdict
	was         map[string][]cluster.Certificate
	is          map[string][]cluster.Certificate
	workWas     []cluster.Workload
	workIs      []cluster.Workload
	webhooks    []cluster.Webhook
	services    []cluster.APIService
	err         error // of everything
	baselineErr error
}

func (f *fake) APIServers(context.Context) (map[string]APIServer, error) { return f.servers, f.err }
func (f *fake) Node(context.Context, string) (cluster.Node, error)       { return f.node, f.err }
func (f *fake) Members(context.Context) ([]cluster.Member, error)        { return f.members, f.err }
func (f *fake) Alarms(context.Context) ([]string, error)                 { return f.alarms, f.alarmsErr }
func (f *fake) DataEqual(context.Context) plan.Verdict                   { return f.equal }
func (f *fake) Webhooks(context.Context) ([]cluster.Webhook, error)      { return f.webhooks, f.err }
func (f *fake) APIServices(context.Context) ([]cluster.APIService, error) {
	return f.services, f.err
}
func (f *fake) Certificates(_ context.Context, node string) ([]cluster.Certificate, error) {
	return f.is[node], f.err
}
func (f *fake) Workloads(context.Context) ([]cluster.Workload, error) { return f.workIs, f.err }

type fakeBaselines struct{ *fake }

func (f fakeBaselines) Workloads(string) ([]cluster.Workload, error) { return f.workWas, f.baselineErr }
func (f fakeBaselines) Certificates(string) (map[string][]cluster.Certificate, error) {
	return f.was, f.baselineErr
}

type fakeServer struct {
	version    cluster.Version
	ready, err error
}

func (s fakeServer) Ready(context.Context) error                      { return s.ready }
func (s fakeServer) Version(context.Context) (cluster.Version, error) { return s.version, s.err }

func newSet(f *fake) *Set {
	return New(Deps{
		APIServers: f, Nodes: f, Etcd: f, Certificates: f, Baselines: fakeBaselines{f}, Workloads: f, Admission: f,
		EtcdCertificates: []string{"etcd-server", "etcd-peer", "etcd-healthcheck-client"},
		Facts: &cluster.Facts{
			Webhooks:    []cluster.Webhook{{Configuration: "old", Name: "w", FailClosed: true, Service: "a/b"}},
			APIServices: []cluster.APIService{{Name: "v1.broken"}},
			Etcd:        cluster.Etcd{Members: []cluster.Member{stored("cp-9", 0, 0, 1000)}},
		},
	})
}

func servers(a, b, c fakeServer) *fake {
	return &fake{servers: map[string]APIServer{"cp-1": a, "cp-2": b, "cp-3": c}}
}

func controlPlane(v cluster.Version, ready bool) cluster.Node {
	n := cluster.Node{Name: "cp-1", InAPI: true, Ready: ready, Kubelet: v}
	for _, c := range components {
		n.StaticPods = append(n.StaticPods, cluster.StaticPod{Component: c, Version: v, Ready: ready})
	}
	return n
}

func etcdNode(version string, ready bool) cluster.Node {
	return cluster.Node{Name: "cp-1", InAPI: true, StaticPods: []cluster.StaticPod{{Component: "etcd", Version: cluster.MustParseVersion(version), Ready: ready}}}
}

func member(name, version string) cluster.Member {
	return cluster.Member{Name: name, Node: name, Version: cluster.MustParseVersion(version), Healthy: true}
}

// stored is a member whose store and quota have sizes.
func stored(name string, size, quota, started int64) cluster.Member {
	m := member(name, "3.6.5")
	m.ID, m.DBSize, m.Quota, m.ManifestQuota = name, size, quota, started
	return m
}

func sick(m cluster.Member, problem string) cluster.Member {
	m.Healthy, m.Problem = false, problem
	return m
}

func learner(m cluster.Member) cluster.Member {
	m.Learner = true
	return m
}

func certs(year int, names ...string) []cluster.Certificate {
	var out []cluster.Certificate
	for _, n := range names {
		out = append(out, cluster.Certificate{Name: n, NotAfter: time.Date(year, 5, 1, 0, 0, 0, 0, time.UTC)})
	}
	return out
}

func on(node string, lists ...[]cluster.Certificate) map[string][]cluster.Certificate {
	var all []cluster.Certificate
	for _, l := range lists {
		all = append(all, l...)
	}
	return map[string][]cluster.Certificate{node: all}
}

func TestGates(t *testing.T) {
	ok := fakeServer{version: v34}
	down := fakeServer{version: v33, ready: errIO, err: errIO}
	web := cluster.Workload{Kind: "Deployment", Namespace: "shop", Name: "web", Desired: 3, Ready: 3}
	dns := cluster.Workload{Kind: "Deployment", Namespace: "kube-system", Name: "coredns", Desired: 2, Ready: 2}
	rolling := func(w cluster.Workload) cluster.Workload { w.RollingOut = true; return w }
	two := web
	two.Ready = 2
	scaled := web
	scaled.Desired, scaled.Ready = 1, 1
	hook := cluster.Webhook{Configuration: "policy", Name: "pods", FailClosed: true, Service: "sys/policy", Endpoints: 1}
	deafHook := hook
	deafHook.Endpoints = 0
	external := certs(2026, "apiserver")
	external[0].External = true

	tests := []struct {
		name   string
		gate   plan.GateID
		fake   *fake
		state  plan.State
		reason string
	}{
		{"all ready", "apiservers-ready", servers(ok, ok, ok), plan.Holds, ""},
		{"one down", "apiservers-ready", servers(ok, ok, down), plan.NotYet, "the API server of cp-3 is not ready: connection refused"},
		{"list fails", "apiservers-ready", &fake{err: errIO}, plan.CannotTell, "which API servers there are"},
		{"none known", "apiservers-ready", &fake{}, plan.CannotTell, "no API server is known"},
		{"others ready", "others-ready:cp-3", servers(ok, ok, down), plan.Holds, ""},
		{"another down", "others-ready:cp-3", servers(down, ok, ok), plan.NotYet, "the API server of cp-1"},
		{"no others", "others-ready:cp-1", &fake{servers: map[string]APIServer{"cp-1": down}}, plan.Holds, ""},
		{"all there", "apiservers-at:@1.34", servers(ok, ok, ok), plan.Holds, ""},
		{"one behind", "apiservers-at:@1.34", servers(ok, fakeServer{version: v33}, down), plan.NotYet, "the API server of cp-2 is at v1.33.13"},
		{"one silent", "apiservers-at:@1.34", servers(ok, ok, down), plan.CannotTell, "cp-3 does not tell its version"},

		{"static pods", "static-pods:cp-1@v1.34.4", &fake{node: controlPlane(v34, true)}, plan.Holds, ""},
		{"static pods old", "static-pods:cp-1@v1.34.4", &fake{node: controlPlane(v33, true)}, plan.NotYet, "kube-apiserver of cp-1 runs v1.33.13, not v1.34.4"},
		{"static pods starting", "static-pods:cp-1@v1.34.4", &fake{node: controlPlane(v34, false)}, plan.NotYet, "is not ready"},
		{"static pods absent", "static-pods:cp-1@v1.34.4", &fake{node: cluster.Node{Name: "cp-1", InAPI: true}}, plan.NotYet, "has no pod"},
		{"static pods by digest", "static-pods:cp-1@v1.34.4", &fake{node: controlPlane(cluster.Version{}, true)}, plan.CannotTell, "tells no version"},
		{"static pods of no node", "static-pods:cp-1@v1.34.4", &fake{node: cluster.Node{Name: "cp-1"}}, plan.Never, "not in the cluster"},

		{"node", "node-ready:w-1@v1.34.4", &fake{node: cluster.Node{Name: "w-1", InAPI: true, Ready: true, Kubelet: v34}}, plan.Holds, ""},
		{"node old", "node-ready:w-1@v1.34.4", &fake{node: cluster.Node{Name: "w-1", InAPI: true, Ready: true, Kubelet: v33}}, plan.NotYet, "Ready with kubelet v1.33.13"},
		{"node any version", "node-ready:w-1", &fake{node: cluster.Node{Name: "w-1", InAPI: true, Ready: true, Kubelet: v33}}, plan.Holds, ""},
		{"node not ready", "node-ready:w-1", &fake{node: cluster.Node{Name: "w-1", InAPI: true}}, plan.NotYet, "node w-1 is not Ready"},
		{"node gone", "node-ready:w-1", &fake{node: cluster.Node{Name: "w-1"}}, plan.Never, "not in the cluster"},
		{"node unknown", "node-ready:w-1", &fake{err: errIO}, plan.CannotTell, "node w-1: connection refused"},

		{"etcd", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.5.24"), member("cp-3", "3.5.24")}}, plan.Holds, ""},
		{"etcd single", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5")}}, plan.Holds, ""},
		{"etcd one sick", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.6.5"), sick(member("cp-3", "3.6.5"), "sees no leader")}}, plan.NotYet, "etcd member cp-3 is not healthy: sees no leader"},
		{"etcd two sick", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), sick(member("cp-2", "3.6.5"), "x"), sick(member("cp-3", "3.6.5"), "y")}}, plan.NotYet, "quorum is lost"},
		{"etcd one of two", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), sick(member("cp-2", "3.6.5"), "x")}}, plan.NotYet, "quorum is lost"},
		{"etcd learner", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), learner(member("cp-2", "3.6.5"))}}, plan.NotYet, "is a learner"},
		{"etcd no members", "etcd-healthy", &fake{}, plan.CannotTell, "no member"},
		{"etcd alarm", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5")}, alarms: []string{"cp-1: NOSPACE"}}, plan.NotYet, "NOSPACE"},
		{"quorum of three", "etcd-quorum:cp-1", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.6.5"), member("cp-3", "3.6.5")}}, plan.Holds, ""},
		{"quorum, itself sick", "etcd-quorum:cp-1", &fake{members: []cluster.Member{sick(member("cp-1", "3.6.5"), "x"), member("cp-2", "3.6.5"), member("cp-3", "3.6.5")}}, plan.Holds, ""},
		{"quorum, another sick", "etcd-quorum:cp-1", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), sick(member("cp-2", "3.6.5"), "x"), member("cp-3", "3.6.5")}}, plan.NotYet, "without the member of cp-1, 1 of etcd's 3 voting members are left, and 2 are needed; not healthy: cp-2"},
		{"quorum of four", "etcd-quorum:cp-1", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.6.5"), member("cp-3", "3.6.5"), member("cp-4", "3.6.5")}}, plan.Holds, ""},
		{"quorum of five, one sick", "etcd-quorum:cp-1", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.6.5"), member("cp-3", "3.6.5"), member("cp-4", "3.6.5"), sick(member("cp-5", "3.6.5"), "x")}}, plan.Holds, ""},
		{"quorum, a learner counts for nothing", "etcd-quorum:cp-1", &fake{members: []cluster.Member{member("cp-1", "3.6.5"), member("cp-2", "3.6.5"), learner(member("cp-3", "3.6.5"))}}, plan.NotYet, "1 of etcd's 2"},
		{"quorum unknown", "etcd-quorum:cp-1", &fake{err: errIO}, plan.CannotTell, "members"},
		{"quota told", "etcd-below-quota", &fake{members: []cluster.Member{stored("cp-1", 80, 100, 0)}}, plan.Holds, ""},
		{"quota told, full", "etcd-below-quota", &fake{members: []cluster.Member{stored("cp-1", 10, 100, 0), stored("cp-2", 81, 100, 1000)}}, plan.Never, "etcd member cp-2 takes 81% of its quota; compact and defragment"},
		{"quota of the manifest", "etcd-below-quota", &fake{members: []cluster.Member{stored("cp-9", 900, 0, 0)}}, plan.Never, "etcd member cp-9 takes 90%"},
		{"quota not known", "etcd-below-quota", &fake{members: []cluster.Member{stored("cp-1", 1<<40, 0, 0)}}, plan.Holds, ""},
		{"quota, nobody answers", "etcd-below-quota", &fake{err: errIO}, plan.CannotTell, "members"},
		{"etcd corrupt", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5")}, alarms: []string{"cp-1: CORRUPT"}}, plan.Never, "CORRUPT"},
		{"etcd alarms unknown", "etcd-healthy", &fake{members: []cluster.Member{member("cp-1", "3.6.5")}, alarmsErr: errIO}, plan.CannotTell, "alarms"},
		{"etcd unknown", "etcd-healthy", &fake{err: errIO}, plan.CannotTell, "members"},
		{"data equal", "etcd-data-equal", &fake{equal: plan.Verdict{State: plan.Holds}}, plan.Holds, ""},
		{"member", "etcd-member:cp-1@v3.6.5", &fake{members: []cluster.Member{member("cp-1", "3.6.6")}, node: etcdNode("3.6.6", true)}, plan.Holds, ""},
		{"member old", "etcd-member:cp-1@v3.6.5", &fake{members: []cluster.Member{member("cp-1", "3.5.24")}}, plan.NotYet, "runs v3.5.24, not v3.6.5"},
		{"member sick", "etcd-member:cp-1@v3.6.5", &fake{members: []cluster.Member{sick(member("cp-1", "3.6.5"), "is 2000 raft entries behind")}}, plan.NotYet, "2000 raft entries"},
		{"member elsewhere", "etcd-member:cp-1@v3.6.5", &fake{members: []cluster.Member{member("cp-2", "3.6.5")}}, plan.NotYet, "no member on cp-1"},
		{"member's pod", "etcd-member:cp-1@v3.6.5", &fake{members: []cluster.Member{member("cp-1", "3.6.5")}, node: etcdNode("3.6.5", false)}, plan.NotYet, "etcd of cp-1 runs v3.6.5 and is not ready"},

		{"certificates", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "apiserver", "ca", "etcd-peer")), is: on("cp-1", certs(2027, "apiserver"), certs(2026, "ca", "etcd-peer"))}, plan.Holds, ""},
		{"certificates left", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "apiserver")), is: on("cp-1", certs(2026, "apiserver"))}, plan.Never, "certificate apiserver of cp-1 was not renewed: it still expires on 2026-05-01"},
		{"certificates missing", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "apiserver"))}, plan.NotYet, "cannot be found"},
		{"certificates external", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", external), is: on("cp-1", external)}, plan.Holds, ""},
		{"certificates of etcd", "etcd-certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "apiserver", "etcd-peer")), is: on("cp-1", certs(2026, "apiserver"), certs(2027, "etcd-peer"))}, plan.Holds, ""},
		{"certificates of etcd left", "etcd-certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "etcd-server")), is: on("cp-1", certs(2026, "etcd-server"))}, plan.Never, "kubeadm certs renew etcd-server"},
		{"certificates of a node without baseline", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-2", certs(2026, "apiserver")), is: on("cp-1", certs(2027, "apiserver"))}, plan.CannotTell, "certificates of cp-1 before hop 1.34"},
		{"certificates of no node", "certificates-renewed:@1.34", &fake{}, plan.CannotTell, "before hop 1.34"},
		{"certificates of all", "certificates-renewed:@1.34", &fake{was: on("cp-1", certs(2026, "etcd-server")), is: on("cp-1", certs(2026, "etcd-server"))}, plan.Never, "etcd-server of cp-1"},
		{"certificates unknown", "certificates-renewed:cp-1@1.34", &fake{was: on("cp-1", certs(2026, "apiserver")), err: errIO}, plan.CannotTell, "certificates of cp-1"},
		{"certificates without baseline", "certificates-renewed:cp-1@1.34", &fake{baselineErr: fs.ErrNotExist}, plan.CannotTell, "before hop 1.34"},

		{"workloads", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{two}, workIs: []cluster.Workload{web}}, plan.Holds, ""},
		{"workloads short", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{web}, workIs: []cluster.Workload{two}}, plan.NotYet, "Deployment shop/web has 2 of 3 pods ready"},
		{"workloads rolled out by their owner", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{web}, workIs: []cluster.Workload{rolling(web)}}, plan.Holds, ""},
		{"add-on rolling out", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{dns}, workIs: []cluster.Workload{rolling(dns)}}, plan.NotYet, "Deployment kube-system/coredns is still being rolled out"},
		{"add-on that was rolling out before", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{rolling(dns)}, workIs: []cluster.Workload{rolling(dns)}}, plan.Holds, ""},
		{"workloads scaled down", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{web}, workIs: []cluster.Workload{scaled}}, plan.Holds, ""},
		{"workloads deleted", "workloads-at-baseline:@1.34", &fake{workWas: []cluster.Workload{web}}, plan.Holds, ""},
		{"workloads unknown", "workloads-at-baseline:@1.34", &fake{err: errIO}, plan.CannotTell, "connection refused"},

		{"admission", "admission-available", &fake{webhooks: []cluster.Webhook{hook}, services: []cluster.APIService{{Name: "v1.metrics", Available: true}}}, plan.Holds, ""},
		{"webhook deaf", "admission-available", &fake{webhooks: []cluster.Webhook{deafHook}}, plan.NotYet, "webhook pods of policy has no ready endpoint behind sys/policy"},
		{"webhook deaf before", "admission-available", &fake{webhooks: []cluster.Webhook{{Configuration: "old", Name: "w", FailClosed: true, Service: "a/b"}}}, plan.Holds, ""},
		{"webhook open", "admission-available", &fake{webhooks: []cluster.Webhook{{Name: "w", Service: "a/b"}}}, plan.Holds, ""},
		{"api down", "admission-available", &fake{services: []cluster.APIService{{Name: "v1.metrics", Reason: "MissingEndpoints"}}}, plan.NotYet, "v1.metrics is not available: MissingEndpoints"},
		{"api down before", "admission-available", &fake{services: []cluster.APIService{{Name: "v1.broken"}}}, plan.Holds, ""},
		{"admission unknown", "admission-available", &fake{err: errIO}, plan.CannotTell, "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := newSet(tt.fake).Gate(tt.gate)
			if err != nil {
				t.Fatal(err)
			}
			got := g.Check(t.Context())
			if got.State != tt.state || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got %s: %q", got.State, got.Reason)
			}
			if (got.State == plan.Holds) != (got.Reason == "") {
				t.Errorf("%s with reason %q", got.State, got.Reason)
			}
			if strings.Contains(got.Reason, "%!") || g.Describe() == "" {
				t.Errorf("%q, %q", g.Describe(), got.Reason)
			}
		})
	}
}

func TestPolicies(t *testing.T) {
	s := newSet(&fake{})
	polled, err := s.Gate("apiservers-ready")
	if err != nil {
		t.Fatal(err)
	}
	if want := (plan.GatePolicy{Sustain: 10 * time.Second, Every: 2 * time.Second, Timeout: 10 * time.Minute}); polled.Policy() != want {
		t.Errorf("got %+v", polled.Policy())
	}
	once, err := s.Gate("etcd-data-equal")
	if err != nil {
		t.Fatal(err)
	}
	if want := (plan.GatePolicy{Timeout: 10 * time.Minute}); once.Policy() != want {
		t.Errorf("got %+v", once.Policy())
	}
	mine := New(Deps{Policy: plan.GatePolicy{Sustain: time.Minute, Timeout: time.Hour}})
	g, _ := mine.Gate("apiservers-ready")
	if want := (plan.GatePolicy{Sustain: time.Minute, Every: 2 * time.Second, Timeout: time.Hour}); g.Policy() != want {
		t.Errorf("got %+v", g.Policy())
	}
}

func TestUnknownGates(t *testing.T) {
	for _, id := range []plan.GateID{"", "sun-shines", "node-ready", "apiservers-at:@soon", "static-pods:cp-1", "etcd-healthy:cp-1"} {
		if _, err := newSet(&fake{}).Gate(id); err == nil {
			t.Errorf("%q is a gate", id)
		}
	}
}

type hanging struct{}

func (hanging) Ready(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (hanging) Version(ctx context.Context) (cluster.Version, error) {
	<-ctx.Done()
	return cluster.Version{}, context.Cause(ctx)
}

// An instance that does not answer costs a bounded time and one verdict.
func TestCheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{servers: map[string]APIServer{"cp-1": hanging{}, "cp-2": hanging{}, "cp-3": fakeServer{}}}
		g, err := newSet(f).Gate("apiservers-ready")
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		v := g.Check(t.Context())
		if v.State != plan.NotYet || !strings.Contains(v.Reason, "cp-1") {
			t.Errorf("got %+v", v)
		}
		if took := time.Since(from); took != checkTimeout {
			t.Errorf("took %s", took)
		}
	})
}
