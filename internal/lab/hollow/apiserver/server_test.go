package apiserver_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
	"github.com/kup-project/kup/internal/lab/hollow/machine"
)

// machines start and stop the servers, and their programs use the store.
var (
	_ machine.APIServer = (*apiserver.Server)(nil)
	_ machine.Objects   = (*apiserver.Store)(nil)
)

func TestRestartAsAnotherRelease(t *testing.T) {
	l := start(t)
	address := l.server.Addr()
	if v, err := l.client.Discovery().ServerVersion(); err != nil || v.GitVersion != "v1.34.4" {
		t.Errorf("%v %v", v, err)
	}
	if err := l.server.Start(t.Context(), "v1.35.0"); err != nil || l.server.Version() != "v1.34.4" {
		t.Errorf("one that runs was started: %s %v", l.server.Version(), err)
	}
	for range 3 {
		if err := l.server.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.server.Stop(t.Context()); err != nil || l.server.Running() {
			t.Errorf("stopped twice: %v", err)
		}
		if _, err := l.client.Discovery().ServerVersion(); err == nil {
			t.Error("a server that is stopped answers")
		}
		if err := l.server.Start(t.Context(), "v1.35.0"); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := l.client.Discovery().ServerVersion(); err != nil || v.GitVersion != "v1.35.0" || l.server.Addr() != address {
		t.Errorf("%v %v at %s", v, err, l.server.Addr())
	}
	other := apiserver.NewServer(apiserver.Config{Store: l.store, Address: address, TLS: l.ca.serverTLS(t)})
	if err := other.Start(t.Context(), "v1.35.0"); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("the address is in use: %v", err)
	}
}

// A request that is being answered when the server is told to end is answered; one
// that takes too long, or meets a power cut, is not.
func TestRequestsAtTheEnd(t *testing.T) {
	for _, tc := range []struct {
		name     string
		end      func(context.Context, *apiserver.Server)
		answered bool
	}{
		{"stop", func(ctx context.Context, s *apiserver.Server) { _ = s.Stop(ctx) }, true},
		{"kill", func(_ context.Context, s *apiserver.Server) { s.Kill() }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked, goOn := make(chan struct{}), make(chan struct{})
			l := start(t, func(c *apiserver.Config) {
				c.Before = func(r *http.Request) error {
					if r.Method != http.MethodPatch {
						return nil
					}
					close(asked)
					select {
					case <-goOn:
					case <-r.Context().Done():
					}
					return nil
				}
			})
			must[*corev1.Node](t)(l.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w-1"}}, metav1.CreateOptions{}))
			answer := make(chan error)
			go func() {
				_, err := l.client.CoreV1().Nodes().Patch(t.Context(), "w-1", types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
				answer <- err
			}()
			<-asked
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tc.end(t.Context(), l.server)
			}()
			wait(t, func() string {
				if l.server.Running() {
					return "it runs"
				}
				return ""
			})
			if tc.answered {
				close(goOn)
			}
			if err := <-answer; (err == nil) != tc.answered {
				t.Errorf("%v", err)
			}
			<-ended
		})
	}
}

func TestReadiness(t *testing.T) {
	l := start(t)
	ask := func(path string) (int, string) {
		t.Helper()
		var code int
		raw, err := l.client.RESTClient().Get().RequestURI(path).Do(t.Context()).StatusCode(&code).Raw()
		if code == 0 {
			t.Fatal(err)
		}
		return code, string(raw)
	}
	if code, text := ask("/readyz?verbose"); code != 200 || !strings.Contains(text, "[+]etcd ok\n") || !strings.HasSuffix(text, "readyz check passed\n") {
		t.Errorf("%d %s", code, text)
	}
	l.server.SetFailing(map[string]string{"etcd": "no leader"})
	if code, text := ask("/readyz?verbose"); code != 500 || !strings.Contains(text, "[-]etcd failed: reason withheld\n") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := ask("/readyz?exclude=etcd"); code != 200 || text != "ok" {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := ask("/livez"); code != 200 {
		t.Errorf("%d: it lives", code)
	}
	l.server.SetFailing(nil)
	if code, text := ask("/readyz"); code != 200 || text != "ok" {
		t.Errorf("%d %s", code, text)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	l := start(t)
	must[*corev1.Pod](t)(apiserver.Create(l.store, podsResource, pod("default", "p", "w-1")))
	for _, tc := range []struct {
		method, path, accept, kind, body string
		code                             int
	}{
		{"GET", "/api/v1/things", "", "", "", 404},
		{"GET", "/apis/apps/v1beta1/deployments", "", "", "", 404},
		{"GET", "/nowhere", "", "", "", 404},
		{"GET", "/api/v1/namespaces/default/pods/p/log", "", "", "", 500},
		{"GET", "/api/v1/namespaces/default/pods/p/colour", "", "", "", 404},
		{"POST", "/api/v1/pods", "", "application/json", "{}", 404},
		{"POST", "/api/v1/namespaces/default/pods/p", "", "application/json", "{}", 405},
		{"POST", "/api/v1/namespaces/default/configmaps", "", "text/plain", "{}", 415},
		{"POST", "/api/v1/namespaces/default/configmaps", "", "application/json", "{", 400},
		{"POST", "/api/v1/namespaces/default/configmaps", "", "application/json", `{"kind":"Secret","apiVersion":"v1"}`, 400},
		{"POST", "/api/v1/namespaces/default/configmaps", "", "application/json", `{}`, 422},
		{"PUT", "/api/v1/namespaces/default/pods/p", "", "application/json", `{"metadata":"none"}`, 400},
		{"PATCH", "/api/v1/namespaces/default/pods/p", "", "application/merge-patch+json", `{"metadata":[]}`, 400},
		{"PATCH", "/api/v1/namespaces/default/pods/p", "", "application/cbor", "{}", 415},
		{"PUT", "/api/v1/namespaces/default/pods/p", "", "application/json", `{"metadata":{"name":"q"}}`, 400},
		{"PUT", "/api/v1/namespaces/default/pods/q", "", "application/json", `{"metadata":{"name":"q"}}`, 404},
		{"DELETE", "/api/v1/pods", "", "", "", 405},
		{"GET", "/api/v1/pods", "application/vnd.kubernetes.protobuf", "", "", 406},
		{"GET", "/api/v1/pods", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "", "", 200},
		{"GET", "/api/v1/pods?resourceVersion=999999", "", "", "", 504},
		{"GET", "/api/v1/pods?resourceVersion=x", "", "", "", 400},
		{"GET", "/api/v1/pods?continue=x&limit=1", "", "", "", 400},
		{"GET", "/api/v1/pods?labelSelector=a%20b", "", "", "", 400},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", "application/json", "{}", 201},
	} {
		r := l.client.RESTClient().Verb(tc.method).RequestURI(tc.path).Body([]byte(tc.body)).MaxRetries(0)
		if tc.accept != "" {
			r = r.SetHeader("Accept", tc.accept)
		}
		if tc.kind != "" {
			r = r.SetHeader("Content-Type", tc.kind)
		}
		var code int
		raw, err := r.Do(t.Context()).StatusCode(&code).Raw()
		if code != tc.code || code >= 400 && (err == nil || !strings.Contains(string(raw), `"kind":"Status"`)) {
			t.Errorf("%s %s: %d, want %d: %s %v", tc.method, tc.path, code, tc.code, raw, err)
		}
	}
}

func TestWhoAmI(t *testing.T) {
	l := start(t)
	text := string(must[[]byte](t)(l.client.RESTClient().Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews").
		SetHeader("Content-Type", "application/json").Body([]byte("{}")).DoRaw(t.Context())))
	if !strings.Contains(text, `"username":"kubernetes-admin"`) || !strings.Contains(text, "kubeadm:cluster-admins") {
		t.Error(text)
	}
}

func TestServersShareTheirStore(t *testing.T) {
	l := start(t)
	other := apiserver.NewServer(apiserver.Config{Store: l.store, TLS: l.ca.serverTLS(t)})
	if err := other.Start(t.Context(), "v1.35.0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Kill)
	config := *l.config
	config.Host = "https://" + other.Addr()
	client := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(&config))
	made := must[*corev1.Namespace](t)(l.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}))
	seen := must[*corev1.Namespace](t)(client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{}))
	if seen.UID != made.UID || seen.Labels[corev1.LabelMetadataName] != "shop" || !slices.Equal(seen.Spec.Finalizers, []corev1.FinalizerName{corev1.FinalizerKubernetes}) {
		t.Errorf("%+v", seen)
	}
}
