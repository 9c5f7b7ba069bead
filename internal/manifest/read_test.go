package manifest

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kup-project/kup/pkg/cluster"
)

func TestRead(t *testing.T) {
	files := fstest.MapFS{
		"a/web.yaml": {Data: []byte(`# the shop
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
  name: web
  namespace: shop
--- # next
apiVersion: v1
kind: Service
metadata: {name: web}
---
{{- if .Values.more }}
a: b
{{- end }}
---
apiVersion: batch/v1beta1
kind: CronJob
metadata: {name: 7}
`)},
		"b.json":     {Data: []byte("{\n \"apiVersion\": \"policy/v1beta1\",\n \"kind\": \"PodSecurityPolicy\",\n \"metadata\": {\"name\": \"p\"}\n}")},
		"list.yml":   {Data: []byte("apiVersion: v1\nkind: List\nitems:\n  - apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: d}\n  - {apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: i}}\n")},
		"typed.yaml": {Data: []byte("apiVersion: rbac.authorization.k8s.io/v1beta1\nkind: RoleList\nitems:\n- metadata: {name: r}\n")},

		"values.yaml":      {Data: []byte("replicas: 3\nkind: 5\n")},
		"empty.yaml":       {Data: nil},
		"scalar.yaml":      {Data: []byte("hello\n")},
		"broken.yaml":      {Data: []byte("a: [\n")},
		"notes.txt":        {Data: []byte("apiVersion: v1\nkind: Secret\n")},
		".git/config.yaml": {Data: []byte("apiVersion: v1\nkind: Secret\n")},
		"large.yaml":       {Data: []byte(strings.Repeat("#", maxFile+1))},
	}
	got, err := Read(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []cluster.Manifest{
		{APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress", Namespace: "shop", Name: "web", File: "a/web.yaml", Line: 2},
		{APIVersion: "v1", Kind: "Service", Name: "web", File: "a/web.yaml", Line: 8},
		{APIVersion: "batch/v1beta1", Kind: "CronJob", Name: "7", File: "a/web.yaml", Line: 16},
		{APIVersion: "policy/v1beta1", Kind: "PodSecurityPolicy", Name: "p", File: "b.json", Line: 1},
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "d", File: "list.yml", Line: 4},
		{APIVersion: "extensions/v1beta1", Kind: "Ingress", Name: "i", File: "list.yml", Line: 7},
		{APIVersion: "rbac.authorization.k8s.io/v1beta1", Kind: "Role", Name: "r", File: "typed.yaml", Line: 4},
	}
	if !reflect.DeepEqual(got.Objects, want) {
		t.Errorf("got  %+v\nwant %+v", got.Objects, want)
	}
	if len(got.Unreadable) != 3 || got.Unreadable[0] != "a/web.yaml (a template)" || !strings.HasPrefix(got.Unreadable[1], "broken.yaml (the document from line 1: ") || !strings.HasPrefix(got.Unreadable[2], "large.yaml (larger") {
		t.Errorf("unreadable: %q", got.Unreadable)
	}
}

type noTree struct{}

func (noTree) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

func TestReadWithoutATree(t *testing.T) {
	if _, err := Read(noTree{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--manifests") {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n---\n", "{{ a }}", "a: &a [*a]\n", "kind: X\napiVersion: &v v1\nmetadata: *v\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := Read(fstest.MapFS{"f.yaml": {Data: content}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Objects {
			if m.APIVersion == "" || m.Kind == "" || m.Line < 1 || m.Line > strings.Count(string(content), "\n")+1 {
				t.Errorf("%+v", m)
			}
		}
	})
}
