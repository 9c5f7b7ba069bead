package roundtrip

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kup-project/kup/pkg/cluster"
)

// source is an excerpt of what the release's own api/openapi-spec and api/discovery say.
func source(t testing.TB, release string) cluster.API {
	t.Helper()
	b, err := os.ReadFile("testdata/" + release + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var out cluster.API
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func real(t testing.TB) *Check {
	t.Helper()
	c, err := New(source(t, "v1.34.4"), source(t, "v1.35.4"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	pods       = cluster.APIResource{Version: "v1", Name: "pods", Kind: "Pod"}
	csiDrivers = cluster.APIResource{Group: "storage.k8s.io", Version: "v1", Name: "csidrivers", Kind: "CSIDriver"}
)

func TestObjectsOf135ReadBy134(t *testing.T) {
	c := real(t)
	for name, tc := range map[string]struct {
		resource cluster.APIResource
		object   string
		want     []string
	}{
		"a field of 1.35": {csiDrivers, `{"metadata":{"name":"d"},"spec":{"attachRequired":true,"serviceAccountTokenInSecrets":true}}`, []string{"spec.serviceAccountTokenInSecrets"}},
		"not chosen":      {csiDrivers, `{"metadata":{"name":"d"},"spec":{"attachRequired":true,"serviceAccountTokenInSecrets":false}}`, nil},
		"fields of a pod of 1.35": {pods, `{"metadata":{"name":"p"},"spec":{"workloadRef":{"name":"w","podGroup":"g"},"volumes":[{"name":"v","projected":{"sources":[
			{"podCertificate":{"keyType":"ED25519","signerName":"a/b","userAnnotations":{"a":"b"}}}]}}]}}`,
			[]string{"spec.volumes[0].projected.sources[0].podCertificate.userAnnotations", "spec.workloadRef"}},
		"maps, lists, quantities, ports by name": {pods, `{"metadata":{"name":"p","labels":{"a/b":"c"},"annotations":{"x":"y"},"creationTimestamp":"2026-01-01T00:00:00Z",
			"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u"}],"finalizers":["a"]},"spec":{"nodeSelector":{"a":"b"},"containers":[{"name":"c",
			"resources":{"limits":{"cpu":"1","memory":1}},"livenessProbe":{"httpGet":{"port":"http"}},"ports":[{"containerPort":80}]}]}}`, nil},
		"status and managedFields are written again":  {pods, `{"metadata":{"name":"p","managedFields":[{"new":"x"}]},"status":{"allocatedResources":{"cpu":"1"},"resources":{}}}`, nil},
		"metadata is judged too":                      {pods, `{"metadata":{"name":"p","ofTomorrow":"x"}}`, []string{"metadata.ofTomorrow"}},
		"a struct that says something by being there": {pods, `{"spec":{"containers":[{"name":"c","ofTomorrow":{}}]}}`, []string{"spec.containers[0].ofTomorrow"}},
	} {
		if got := c.Object(tc.resource, object(t, tc.object)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: lost %v, want %v", name, got, tc.want)
		}
	}
}

func TestResourcesOf135ReadBy134(t *testing.T) {
	got := map[string]string{}
	for _, r := range real(t).Readings() {
		got[r.Resource.APIVersion()+" "+r.Resource.Kind] = r.Why
	}
	for name, want := range map[string]string{
		"v1 Pod":                      "",
		"storage.k8s.io/v1 CSIDriver": "",
		"storage.k8s.io/v1 VolumeAttributesClass":                 "the schema of storage.k8s.io/v1 in v1.34.4 was not recorded",
		"certificates.k8s.io/v1beta1 PodCertificateRequest":       "v1.34.4 serves PodCertificateRequest.certificates.k8s.io as certificates.k8s.io/v1alpha1 only",
		"storagemigration.k8s.io/v1beta1 StorageVersionMigration": "v1.34.4 serves StorageVersionMigration.storagemigration.k8s.io as storagemigration.k8s.io/v1alpha1 only",
	} {
		why, read := got[name]
		if !read || why != want {
			t.Errorf("%s: %q (read: %v), want %q", name, why, read, want)
		}
	}
	if _, read := got["v1 Binding"]; read {
		t.Error("bindings cannot be listed and are read")
	}
}

// made is a schema with everything that API servers' schemas have.
const made = `{"components":{"schemas":{
	"Thing":{"type":"object","x-kubernetes-group-version-kind":[{"group":"t","version":"v1","kind":"Thing"}],"properties":{
		"spec":{"allOf":[{"$ref":"#/components/schemas/Spec"}],"default":{}}}},
	"Spec":{"type":"object","properties":{
		"mode":{"type":"string","enum":["A","B"%s]},
		"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
		"raw":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.runtime.RawExtension"},
		"port":{"type":"string","format":"int-or-string"},
		"any":{"type":"object","additionalProperties":true},
		"none":{"type":"object","additionalProperties":false},
		"marker":{"type":"object"},
		"broken":{"$ref":"#/components/schemas/Absent"},
		"byName":{"type":"object","additionalProperties":{"$ref":"#/components/schemas/Item"}},
		"items":{"type":"array","items":{"default":{},"allOf":[{"$ref":"#/components/schemas/Item"},{"type":"object","properties":{"also":{"type":"string"}}}]}}%s}},
	"Item":{"type":"object","properties":{"name":{"type":"string"}}},
	"io.k8s.apimachinery.pkg.runtime.RawExtension":{"type":"object"}}}}`

var things = cluster.APIResource{Group: "t", Version: "v1", Name: "things", Kind: "Thing", Listable: true}

func thing(t testing.TB) *Check {
	t.Helper()
	side := func(value, field string) cluster.API {
		text := strings.Replace(strings.Replace(made, "%s", value, 1), "%s", field, 1)
		return cluster.API{Version: cluster.MustParseVersion("v1.1.0"), Documents: map[string]json.RawMessage{"apis/t/v1": json.RawMessage(text)}, Resources: []cluster.APIResource{things}}
	}
	c, err := New(side("", ""), side(`,"C"`, `,"new":{"type":"integer","default":7},"struct":{"default":{},"type":"object"}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatSchemasSay(t *testing.T) {
	c := thing(t)
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a value of the newer minor":           {`{"mode":"C"}`, []string{"spec.mode (its value is none that v1.1.0 takes)"}},
		"a value that neither lists":           {`{"mode":"D"}`, nil},
		"no value":                             {`{"mode":""}`, nil},
		"unknown fields that are kept":         {`{"free":{"x":{"y":1}},"raw":{"kind":"Any","a":[1]},"any":{"a":{"b":2}}}`, nil},
		"an int where a string may be":         {`{"port":8080}`, nil},
		"a map's values":                       {`{"byName":{"a":{"name":"n"},"b.c":{"name":"n","x":1}}}`, []string{"spec.byName[b.c].x"}},
		"a list's items, of two parts":         {`{"items":[{"name":"a","also":"b"},{"x":true}]}`, []string{"spec.items[1].x"}},
		"a map that takes nothing":             {`{"none":{"a":1}}`, []string{"spec.none[a]"}},
		"a struct that had no fields":          {`{"marker":{"depth":1}}`, []string{"spec.marker.depth"}},
		"a schema that is not there":           {`{"broken":{"a":1}}`, []string{"spec.broken (the schema of v1.1.0 does not say what it is)"}},
		"the default of the newer minor":       {`{"new":7,"struct":{}}`, nil},
		"not the default of the newer minor":   {`{"new":8,"struct":{"a":1}}`, []string{"spec.new", "spec.struct"}},
		"what neither knows, and says nothing": {`{"other":null,"list":[],"text":"","number":0,"no":false}`, nil},
	} {
		if got := c.Object(things, map[string]any{"spec": object(t, tc.spec)}); !slices.Equal(got, tc.want) {
			t.Errorf("%s: lost %v, want %v", name, got, tc.want)
		}
	}
}

func TestDefinitionsNest(t *testing.T) {
	doc := `{"components":{"schemas":{"D":{"x-kubernetes-group-version-kind":[{"group":"t","version":"v1","kind":"Thing"}],"type":"object","properties":{"schema":{"$ref":"#/components/schemas/` + props + `"}}},
		"` + props + `":{"type":"object","properties":{"type":{"type":"string"},"items":{"$ref":"#/components/schemas/` + propsOr + `Array"}}},"` + propsOr + `Array":{}}}}`
	side := cluster.API{Version: cluster.MustParseVersion("v1.1.0"), Documents: map[string]json.RawMessage{"apis/t/v1": json.RawMessage(doc)}, Resources: []cluster.APIResource{things}}
	c, err := New(side, side)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		`{"schema":{"items":{"type":"string","x":1}}}`:               {"schema.items.x"},
		`{"schema":{"items":[{"type":"string"},{"items":{"x":1}}]}}`: {"schema.items[1].items.x"},
	} {
		if got := c.Object(things, object(t, text)); !slices.Equal(got, want) {
			t.Errorf("%s: lost %v, want %v", text, got, want)
		}
	}
}

func TestADocumentThatIsNoSchema(t *testing.T) {
	broken := cluster.API{Version: cluster.MustParseVersion("v1.1.0"), Documents: map[string]json.RawMessage{"api/v1": json.RawMessage(`{"components":{"schemas":7}}`)}}
	if _, err := New(broken, cluster.API{}); err == nil || !strings.Contains(err.Error(), "api/v1") {
		t.Errorf("error %v does not name the document", err)
	}
}
