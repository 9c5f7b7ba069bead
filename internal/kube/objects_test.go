package kube

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
	"sigs.k8s.io/yaml"
)

var updateObjects = flag.Bool("update-objects", false, "write the golden file of the objects anew")

// objectServer models an API server from a file: by path, the items of a list, or
// one object.
type objectServer struct {
	answers  map[string]any
	page     int  // items in one answer
	combined bool // answers discovery with all groups at once
	forgets  bool // has compacted the revision of a list's first page when asked for the second
	mutex    sync.Mutex
	asked    []string
}

func newObjectServer(t *testing.T, file string) *objectServer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	s := &objectServer{page: 2}
	if err := yaml.Unmarshal(raw, &s.answers); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *objectServer) connect(t *testing.T) *Client {
	t.Helper()
	c, err := Connect(t.Context(), kubeconfig(t, server(t, s.answer)), "")
	if err != nil {
		t.Fatal(err)
	}
	s.asked = nil
	return c
}

func (s *objectServer) answer(w http.ResponseWriter, r *http.Request) bool {
	s.mutex.Lock()
	s.asked = append(s.asked, r.URL.Path)
	s.mutex.Unlock()
	answer, found := s.answers[r.URL.Path]
	if r.URL.Path == "/apis" && s.combined {
		answer, found = s.answers["/apis combined"]
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	if r.URL.Path == "/api" && s.combined {
		answer = map[string]any{"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2"}
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	}
	if !found {
		return false
	}
	if status, ok := answer.(float64); ok {
		w.WriteHeader(int(status))
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":"Forbidden"}`, int(status))
		return true
	}
	if items, ok := answer.([]any); ok {
		if s.forgets && r.URL.Query().Get("continue") != "" {
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired"}`)
			return true
		}
		answer = list(r, items, s.page)
	}
	json.NewEncoder(w).Encode(answer)
	return true
}

// listKinds are those that are read in full, by resource.
var listKinds = map[string]string{
	"daemonsets": "DaemonSet", "deployments": "Deployment", "statefulsets": "StatefulSet", "cronjobs": "CronJob",
	"secrets": "Secret", "configmaps": "ConfigMap", "endpointslices": "EndpointSlice", "customresourcedefinitions": "CustomResourceDefinition",
	"mutatingwebhookconfigurations": "MutatingWebhookConfiguration", "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
}

// list gives one page: what the caller asked for is a bound. Without a bound it
// gives all.
func list(r *http.Request, items []any, page int) map[string]any {
	apiVersion := strings.Join(strings.Split(strings.Trim(r.URL.Path, "/"), "/")[1:3], "/")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		apiVersion = "v1"
	}
	out := map[string]any{"kind": listKinds[path.Base(r.URL.Path)] + "List", "apiVersion": apiVersion}
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
		out = map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
	}
	start := 0
	fmt.Sscanf(r.URL.Query().Get("continue"), "from-%d", &start)
	end := min(start+page, len(items))
	if r.URL.Query().Get("limit") == "" {
		end = len(items)
	}
	meta := map[string]any{}
	if end < len(items) {
		meta["continue"] = fmt.Sprintf("from-%d", end)
	}
	out["metadata"], out["items"] = meta, items[start:end]
	return out
}

func TestObjects(t *testing.T) {
	for name, set := range map[string]func(*objectServer){
		"discovery by group":     func(*objectServer) {},
		"combined discovery":     func(s *objectServer) { s.combined = true },
		"lists that start again": func(s *objectServer) { s.page, s.forgets = 1, true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newObjectServer(t, "objects.yaml")
			set(s)
			s.answers["/api/v1/secrets"] = []any{
				map[string]any{"metadata": map[string]any{"namespace": "shop", "name": "sh.helm.release.v1.web.v1"}, "data": map[string]any{"release": packRelease(t, 1, "networking.k8s.io/v1beta1")}},
				map[string]any{"metadata": map[string]any{"namespace": "shop", "name": "sh.helm.release.v1.web.v2"}, "data": map[string]any{"release": packRelease(t, 2, "extensions/v1beta1")}},
				map[string]any{"metadata": map[string]any{"namespace": "shop", "name": "broken"}, "data": map[string]any{"release": "bm90IGhlbG0="}},
			}
			got, err := s.connect(t).Objects(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("hunter2")) {
				t.Error("a secret was kept")
			}
			golden := filepath.Join("testdata", "objects.golden.yaml")
			if *updateObjects {
				if err := os.WriteFile(golden, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(want, text) {
				t.Errorf("the objects differ from %s; they are:\n%s", golden, text)
			}
			if n := len(s.asked); n > objectRequests {
				t.Errorf("%d requests", n)
			}
			for _, at := range s.asked {
				if path.Base(at) == "pods" || path.Base(at) == "endpointslices" && at != "/apis/discovery.k8s.io/v1/namespaces/policy/endpointslices" {
					t.Errorf("asked for %s", at)
				}
			}
		})
	}
}

// packRelease is what Helm stores, in the base64 of a Secret.
func packRelease(t *testing.T, revision int, apiVersion string) string {
	t.Helper()
	manifest := "---\n# Source: web/templates/ingress.yaml\napiVersion: " + apiVersion + "\nkind: Ingress\nmetadata:\n  name: web\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n---\n{{ not yaml\n"
	raw, err := json.Marshal(map[string]any{
		"name": "web", "namespace": "shop", "version": revision, "manifest": manifest, "config": map[string]any{"password": "hunter2"},
		"chart": map[string]any{"metadata": map[string]any{"name": "web", "version": "1.2.3"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(raw)
	z.Close()
	inner := base64.StdEncoding.EncodeToString(packed.Bytes())
	return base64.StdEncoding.EncodeToString([]byte(inner))
}

func TestObjectsWithoutRights(t *testing.T) {
	s := newObjectServer(t, "objects.yaml")
	for _, at := range []string{"/api/v1/secrets", "/apis/networking.k8s.io/v1/ingresses"} {
		s.answers[at] = float64(http.StatusForbidden) // refusals are not believed at once, so each takes its time
	}
	got, err := s.connect(t).Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Unchecked) != 2 || !strings.HasPrefix(got.Unchecked[0], "Helm's releases could not be read in full") || !strings.Contains(got.Unchecked[1], "ingresses") {
		t.Errorf("%q", got.Unchecked)
	}
	if len(got.PodSecurityPolicies) == 0 || len(got.Webhooks) == 0 {
		t.Error("what is not refused was not read")
	}
}

func TestObjectsStopAtTheirBound(t *testing.T) {
	s := newObjectServer(t, "objects.yaml")
	var many []any
	for i := range 3 * objectRequests {
		many = append(many, map[string]any{"metadata": map[string]any{"namespace": "shop", "name": fmt.Sprintf("web-%d", i)}})
	}
	s.answers["/apis/networking.k8s.io/v1/ingresses"] = many
	got, err := s.connect(t).Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.asked) > objectRequests {
		t.Errorf("%d requests, at most %d are allowed", len(s.asked), objectRequests)
	}
	if !slices.ContainsFunc(got.Unchecked, func(u string) bool { return strings.Contains(u, errSpent.Error()) }) {
		t.Errorf("nothing says that not all was read: %q", got.Unchecked)
	}
	if got.Corefile == nil || len(got.Webhooks) == 0 || len(got.Templates) == 0 {
		t.Error("what is read in full must come before the records")
	}
}

func TestPlugins(t *testing.T) {
	const corefile = `# everything
.:53 example.org:53 {
    errors # and its comment
    health {
       lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       ttl 30
    }
    hosts {
       10.0.0.1 db.example.org # "quoted {"
       fallthrough
    }
    forward . "/etc/resolv .conf" {$UPSTREAM} {
       max_concurrent 1000
    }
    log
}
internal:53 {
    log { class error
    }
    errors
}
`
	want := []cluster.Plugin{
		{Name: "errors"}, {Name: "forward", Options: []string{"max_concurrent"}}, {Name: "health", Options: []string{"lameduck"}},
		{Name: "hosts", Options: []string{"10.0.0.1", "fallthrough"}}, {Name: "kubernetes", Options: []string{"pods", "ttl"}}, {Name: "log"},
	}
	got := plugins(corefile)
	if a, b := fmt.Sprint(got), fmt.Sprint(want); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestUnpackReleaseRefuses(t *testing.T) {
	zip := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
		return []byte(base64.StdEncoding.EncodeToString(b.Bytes()))
	}
	whole := zip(`{"name":"web","version":1}`)
	for name, packed := range map[string][]byte{
		"empty": nil, "not base64": []byte("!"), "not gzip": []byte(base64.StdEncoding.EncodeToString([]byte("\x1f\x8bx"))),
		"cut": whole[:len(whole)/2/4*4], "not JSON": zip("hunter2"), "too large": zip(`"` + strings.Repeat(" ", maxRelease) + `"`),
	} {
		if r, err := unpackRelease(packed); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := unpackRelease([]byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"old","version":3}`)))); err != nil || r.Revision != 3 {
		t.Errorf("a release that is not compressed: %+v %v", r, err)
	}
}

// TestRecordedCoversTheCatalog: every resource with a version that goes is either
// read, or left out for a reason.
func TestRecordedCoversTheCatalog(t *testing.T) {
	raw, err := os.ReadFile("../catalog/data/removed_apis.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var data struct {
		APIs []struct {
			Group    string `json:"group"`
			Resource string `json:"resource"`
		} `json:"apis"`
	}
	if err := yaml.Unmarshal(raw, &data); err != nil {
		t.Fatal(err)
	}
	const inFull, byKubernetes, request, short = "read in full elsewhere", "written by Kubernetes or its nodes", "a request that is not kept", "lives for minutes"
	leftOut := map[string]string{
		"daemonsets": inFull, "deployments": inFull, "statefulsets": inFull, "cronjobs": inFull, "customresourcedefinitions": inFull,
		"mutatingwebhookconfigurations": inFull, "validatingwebhookconfigurations": inFull,
		"endpointslices": byKubernetes, "leases": byKubernetes, "leasecandidates": byKubernetes, "csinodes": byKubernetes, "csistoragecapacities": byKubernetes,
		"volumeattachments": byKubernetes, "replicasets": byKubernetes, "controllerrevisions": byKubernetes, "ipaddresses": byKubernetes, "resourceslices": byKubernetes,
		"podschedulings": byKubernetes, "podschedulingcontexts": byKubernetes,
		"tokenreviews": request, "subjectaccessreviews": request, "selfsubjectaccessreviews": request, "selfsubjectrulesreviews": request,
		"localsubjectaccessreviews": request, "selfsubjectreviews": request,
		"events": short, "certificatesigningrequests": short, "podcertificaterequests": short,
	}
	read := map[string]bool{}
	for _, r := range recorded {
		read[r.Resource] = true
	}
	for _, api := range data.APIs {
		if _, out := leftOut[api.Resource]; api.Resource != "" && !read[api.Resource] && !out {
			t.Errorf("%s of %q is neither read nor left out for a reason", api.Resource, api.Group)
		}
	}
}
