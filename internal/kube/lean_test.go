package kube

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// filled sets every field there is, of lists and maps two entries.
func filled(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.Unix(1795276581, 0)))
		return
	case metav1.MicroTime:
		v.Set(reflect.ValueOf(metav1.NewMicroTime(time.Unix(1795276581, 0))))
		return
	case resource.Quantity:
		v.Set(reflect.ValueOf(resource.MustParse("17Mi")))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the kinds that API types have
	case reflect.Pointer:
		if depth > 12 { // a type that holds itself
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			filled(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		filled(v.Index(0), depth+1)
		filled(v.Index(1), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		filled(key, depth+1)
		filled(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64, reflect.Int:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(1)
	}
}

func leanCodec() leanSerializer {
	return leanSerializer{protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}
}

// read encodes an object as an API server does, and reads it leanly.
func read[T runtime.Object](t *testing.T, full T, into T) T {
	t.Helper()
	var b bytes.Buffer
	codec := leanCodec()
	if err := scheme.Codecs.EncoderForVersion(codec, corev1.SchemeGroupVersion).Encode(full, &b); err != nil {
		t.Fatal(err)
	}
	if _, _, err := codec.Decode(b.Bytes(), nil, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestLeanPods: exactly those fields are gone that are meant.
func TestLeanPods(t *testing.T) {
	full := &corev1.PodList{Items: make([]corev1.Pod, 2)}
	full.Continue = "next"
	for i := range full.Items {
		filled(reflect.ValueOf(&full.Items[i]).Elem(), 0)
		full.Items[i].TypeMeta = metav1.TypeMeta{} // not in lists of protobuf
	}
	got := read(t, full.DeepCopy(), &corev1.PodList{})
	for i := range full.Items {
		p := &full.Items[i]
		p.ManagedFields = nil
		s := &p.Spec
		s.SecurityContext, s.HostAliases, s.DNSConfig, s.EphemeralContainers = nil, nil, nil, nil
		for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
			for i := range list {
				c := &list[i]
				*c = corev1.Container{
					Name: c.Name, Image: c.Image, Ports: c.Ports, Resources: c.Resources, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules,
					Stdin: c.Stdin, StdinOnce: c.StdinOnce, TTY: c.TTY,
				}
			}
		}
		for i := range s.Volumes {
			v := &s.Volumes[i]
			v.Secret, v.DownwardAPI, v.ConfigMap, v.Projected = nil, nil, nil, nil
		}
		st := &p.Status
		st.ContainerStatuses, st.InitContainerStatuses, st.EphemeralContainerStatuses = nil, nil, nil
		st.PodIPs, st.ResourceClaimStatuses, st.HostIPs = nil, nil, nil
	}
	full.TypeMeta = got.TypeMeta
	if diff := cmp.Diff(full, got); diff != "" {
		t.Error(diff)
	}
}

func TestLeanNodes(t *testing.T) {
	full := &corev1.NodeList{Items: make([]corev1.Node, 2)}
	for i := range full.Items {
		filled(reflect.ValueOf(&full.Items[i]).Elem(), 0)
		full.Items[i].TypeMeta = metav1.TypeMeta{}
	}
	got := read(t, full.DeepCopy(), &corev1.NodeList{})
	for i := range full.Items {
		n := &full.Items[i]
		n.ManagedFields = nil
		n.Status.Images, n.Status.VolumesInUse, n.Status.VolumesAttached = nil, nil, nil
	}
	full.TypeMeta = got.TypeMeta
	if diff := cmp.Diff(full, got); diff != "" {
		t.Error(diff)
	}
}

// TestLeanLeavesOthersAlone: lists that are not of pods or nodes, and answers that are
// none, are read as ever.
func TestLeanLeavesOthersAlone(t *testing.T) {
	full := &corev1.ConfigMapList{Items: make([]corev1.ConfigMap, 1)}
	filled(reflect.ValueOf(&full.Items[0]).Elem(), 0)
	full.Items[0].TypeMeta = metav1.TypeMeta{}
	got := read(t, full, &corev1.ConfigMapList{})
	full.TypeMeta = got.TypeMeta
	if diff := cmp.Diff(full, got); diff != "" {
		t.Error(diff)
	}
	for _, data := range []string{"", "k8s\x00", "k8s\x00\xff", "{}"} {
		if _, _, err := leanCodec().Decode([]byte(data), nil, &corev1.PodList{}); err == nil {
			t.Errorf("%q is no list of pods, and no error", data)
		}
	}
}

// FuzzLean: what can be read can be read leanly, and nothing else.
func FuzzLean(f *testing.F) {
	list := &corev1.PodList{Items: make([]corev1.Pod, 1)}
	filled(reflect.ValueOf(&list.Items[0]).Elem(), 0)
	var b bytes.Buffer
	if err := scheme.Codecs.EncoderForVersion(leanCodec(), corev1.SchemeGroupVersion).Encode(list, &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		codec := leanCodec()
		var full, lean corev1.PodList
		_, _, fullErr := codec.Serializer.Decode(data, nil, &full)
		_, _, leanErr := codec.Decode(bytes.Clone(data), nil, &lean)
		if fullErr != nil {
			return
		}
		if leanErr != nil || len(full.Items) != len(lean.Items) {
			t.Fatalf("only the lean reader fails: %v", leanErr)
		}
		for i := range full.Items {
			if full.Items[i].Name != lean.Items[i].Name || full.Items[i].Spec.NodeName != lean.Items[i].Spec.NodeName {
				t.Errorf("pod %d differs", i)
			}
		}
	})
}
