package kube

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

const plainConfig = `apiServer:
  extraArgs:
  - name: token-auth-file
    value: hunter2
apiVersion: kubeadm.k8s.io/v1beta4
etcd:
  local:
    dataDir: /var/lib/etcd
    extraArgs:
    - name: imageTag
      value: "0x10"
kubernetesVersion: v1.33.13 # by hand
`

func TestWithEtcdTag(t *testing.T) {
	pinned := strings.Replace(plainConfig, "    dataDir", "    imageTag: 3.5.33-0\n    dataDir", 1)
	for name, tc := range map[string]struct{ config, tag, want string }{
		"set":             {plainConfig, "3.5.33-0", pinned},
		"remove":          {pinned, "", plainConfig},
		"change":          {pinned, "3.6.11-0", strings.Replace(pinned, "3.5.33-0", "3.6.11-0", 1)},
		"in the middle":   {"etcd:\n  local:\n    dataDir: /d\n    imageTag: \"3.5.33-0\"\n    serverCertSANs: [a]\n", "", "etcd:\n  local:\n    dataDir: /d\n    serverCertSANs: [a]\n"},
		"at the end":      {"etcd:\n  local:\n    dataDir: /d\n    imageTag: 3.5.33-0", "", "etcd:\n  local:\n    dataDir: /d\n"},
		"no etcd":         {"kubernetesVersion: v1.33.13\n", "3.5.33-0", ""},
		"external":        {"etcd:\n  external:\n    endpoints: [a]\n", "3.5.33-0", ""},
		"nothing local":   {"etcd:\n  local: {}\n", "3.5.33-0", ""},
		"on one line":     {"etcd: {local: {dataDir: /d}}\n", "3.5.33-0", ""},
		"one line tagged": {"etcd: {local: {dataDir: /d, imageTag: 3.5.33-0}}\n", "", ""},
		"not YAML":        {"secret: [", "3.5.33-0", ""},
		"empty":           {"", "3.5.33-0", ""},
	} {
		got, err := withEtcdTag(tc.config, tc.tag)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v quotes the configuration", name, err)
		}
	}
}

// FuzzWithEtcdTag: what is set and removed leaves the configuration as it was, and
// nobody's configuration is damaged.
func FuzzWithEtcdTag(f *testing.F) {
	for _, s := range []string{plainConfig, "etcd:\n local:\n  a: 1", "etcd:\n  local: &x\n    a: 1\nb: *x\n", "etcd:\n  local:\n    ? a\n    : 1\n", "{etcd: {local: {a: b}}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, config string) {
		if is, err := etcdTag(config); err != nil || is.value != "" {
			return
		}
		set, err := withEtcdTag(config, "3.5.33-0")
		if err != nil {
			return
		}
		back, err := withEtcdTag(set, "")
		if err != nil || back != config {
			t.Errorf("%q became %q and then %q, %v", config, set, back, err)
		}
	})
}

func kubeadmConfig(config string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"},
		Data:       map[string]string{"ClusterConfiguration": config, "other": "kept"},
	}
}

func TestReplaceEtcdImageTag(t *testing.T) {
	c, set := fakeClient(kubeadmConfig(plainConfig))
	conflicts := 2
	set.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		if conflicts--; conflicts < 0 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "kubeadm-config", errors.New("changed"))
	})
	before, _, err := c.kubeadm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3.5.33-0", "3.5.33-0", "", ""} {
		expected := "3.5.33-0"
		if want != "" {
			expected = ""
		}
		if err := c.ReplaceEtcdImageTag(t.Context(), expected, want); err != nil {
			t.Fatal(err)
		}
		now, _, err := c.kubeadm(t.Context())
		if tag, tagErr := c.EtcdImageTag(t.Context()); tag != want || now.EtcdImageTag != want || errors.Join(err, tagErr) != nil {
			t.Errorf("the tag is %q, want %q: %v, %v", tag, want, err, tagErr)
		}
		if (now.ConfigDigest == before.ConfigDigest) != (want == "") {
			t.Errorf("with the tag %q the digest is %s, before it was %s", want, now.ConfigDigest, before.ConfigDigest)
		}
	}
	var other *TagError
	if err := c.ReplaceEtcdImageTag(t.Context(), "3.5.26-0", "3.5.33-0"); !errors.As(err, &other) || other.Got != "" {
		t.Errorf("got %v", err)
	}
	absent, _ := fakeClient()
	if err := absent.ReplaceEtcdImageTag(t.Context(), "", "3.5.33-0"); err == nil || !strings.Contains(err.Error(), "ConfigMap kube-system/kubeadm-config: ") {
		t.Errorf("without a configuration: %v", err)
	}
}
