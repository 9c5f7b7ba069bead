package kube

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// podList is a list of pods in protobuf, with every field that pods have.
func podList(tb testing.TB, names ...string) []byte {
	tb.Helper()
	list := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "12"}}
	for _, name := range names {
		var p corev1.Pod
		filled(reflect.ValueOf(&p).Elem(), 0)
		p.Name = name
		list.Items = append(list.Items, p)
	}
	var b bytes.Buffer
	if err := scheme.Codecs.EncoderForVersion(leanCodec(), corev1.SchemeGroupVersion).Encode(list, &b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// names are those of the pods in a list that is read piece by piece.
func names(from io.Reader) (out []string, err error) {
	err = eachItem(from, func(item []byte) error {
		n, err := leanPod.shorten(item)
		if err != nil {
			return err
		}
		var p corev1.Pod
		err = p.Unmarshal(item[:n])
		out = append(out, p.Name)
		return err
	})
	return out, err
}

// TestEachItemEndsWhereTheListDoes: of a list that is cut anywhere no reader says that it
// was whole.
func TestEachItemEndsWhereTheListDoes(t *testing.T) {
	whole := podList(t, "a", "b")
	got, err := names(iotest.OneByteReader(bytes.NewReader(whole)))
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("%q %v", got, err)
	}
	if got, err := names(bytes.NewReader(podList(t))); err != nil || len(got) > 0 {
		t.Errorf("an empty list: %q %v", got, err)
	}
	// What stands behind the list in its envelope are two fields that say nothing.
	ends := bytes.LastIndexByte(whole, 0x1a)
	for cut := range ends {
		if err := eachItem(bytes.NewReader(whole[:cut]), func([]byte) error { return nil }); err == nil {
			t.Fatalf("cut after %d of %d bytes: it counts as whole", cut, len(whole))
		}
	}
	page := &corev1.PodList{ListMeta: metav1.ListMeta{Continue: "next"}}
	var b bytes.Buffer
	if err := scheme.Codecs.EncoderForVersion(leanCodec(), corev1.SchemeGroupVersion).Encode(page, &b); err != nil {
		t.Fatal(err)
	}
	if _, err := names(&b); err == nil || !strings.Contains(err.Error(), "one page") {
		t.Errorf("a page: %v", err)
	}
}

// FuzzEachItem: whatever comes, it is what the reader of whole lists makes of it, or an
// error.
func FuzzEachItem(f *testing.F) {
	f.Add(podList(f, "a"))
	f.Add(podList(f))
	f.Add([]byte("k8s\x00\x12\x00"))
	f.Add([]byte("k8s\x00\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := names(bytes.NewReader(data))
		if err != nil {
			return
		}
		var list corev1.PodList
		if _, _, err := leanCodec().Decode(bytes.Clone(data), nil, &list); err != nil {
			return // the envelope is of something else, or its end is damaged
		}
		var want []string
		for i := range list.Items {
			want = append(want, list.Items[i].Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
