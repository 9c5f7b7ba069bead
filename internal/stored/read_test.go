package stored

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kup-project/kup/pkg/cluster"
)

var update = flag.Bool("update", false, "write the golden file anew")

// store is etcd's own storage, without a server.
type store struct {
	t       testing.TB
	backend backend.Backend
	kv      mvcc.KV
}

func newStore(t testing.TB) *store {
	t.Helper()
	c := backend.DefaultBackendConfig(zap.NewNop())
	c.Path, c.UnsafeNoFsync = filepath.Join(t.TempDir(), "db"), true
	b := backend.New(c)
	s := &store{t: t, backend: b, kv: mvcc.NewStore(zap.NewNop(), b, &lease.FakeLessor{}, mvcc.StoreConfig{})}
	t.Cleanup(func() { s.kv.Close(); s.backend.Close() })
	return s
}

func (s *store) put(key string, value []byte) { s.kv.Put([]byte(key), value, lease.NoLease) }

func (s *store) drop(key string) { s.kv.DeleteRange([]byte(key), nil) }

func (s *store) compact() {
	s.t.Helper()
	done, err := s.kv.Compact(traceutil.Get(context.Background()), s.kv.Rev())
	if err != nil {
		s.t.Fatal(err)
	}
	<-done
}

// snapshot writes the file that etcd's maintenance API would send.
func (s *store) snapshot() string {
	s.t.Helper()
	s.kv.Commit()
	path := filepath.Join(s.t.TempDir(), "snapshot.db")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	shot := s.backend.Snapshot()
	defer shot.Close()
	if _, err := shot.WriteTo(f); err != nil {
		s.t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	if _, err := f.Write(sum[:]); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// encode gives the object as an API server stores it.
func encode(t testing.TB, s runtime.Serializer, version schema.GroupVersion, o runtime.Object) []byte {
	t.Helper()
	var b strings.Builder
	if err := scheme.Codecs.EncoderForVersion(s, version).Encode(o, &b); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func inProtobuf(t testing.TB, version schema.GroupVersion, o runtime.Object) []byte {
	return encode(t, protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), version, o)
}

func inJSON(t testing.TB, version schema.GroupVersion, o runtime.Object) []byte {
	return encode(t, json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{}), version, o)
}

const definitionJSON = `{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"widgets.shop.example"},
"spec":{"group":"shop.example","names":{"plural":"widgets","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true},{"name":"v1beta1","served":false,"storage":false}]},
"status":{"storedVersions":["v1beta1","v1"]}}`

// fill writes what a control plane writes, and more.
func fill(s *store) {
	core, t := corev1.SchemeGroupVersion, s.t
	cronJob := func(version schema.GroupVersion) []byte {
		if version == batchv1.SchemeGroupVersion {
			return inProtobuf(t, version, &batchv1.CronJob{})
		}
		return inProtobuf(t, version, &batchv1beta1.CronJob{})
	}
	s.put("compact_rev_key", []byte("1234")) // the API server's own, outside its prefix
	s.put("/registry/cronjobs/shop/old", cronJob(batchv1beta1.SchemeGroupVersion))
	s.put("/registry/cronjobs/shop/rewritten", cronJob(batchv1beta1.SchemeGroupVersion))
	s.put("/registry/cronjobs/shop/deleted", cronJob(batchv1beta1.SchemeGroupVersion))
	s.put("/registry/cronjobs/shop/again", cronJob(batchv1beta1.SchemeGroupVersion))
	s.drop("/registry/cronjobs/shop/again")
	s.compact()
	s.put("/registry/cronjobs/shop/rewritten", cronJob(batchv1.SchemeGroupVersion))
	s.drop("/registry/cronjobs/shop/deleted")
	s.put("/registry/cronjobs/shop/again", cronJob(batchv1.SchemeGroupVersion))

	s.put("/registry/minions/cp-1", inProtobuf(t, core, &corev1.Node{}))
	s.put("/registry/services/specs/default/kubernetes", inProtobuf(t, core, &corev1.Service{}))
	endpoints := &corev1.Endpoints{} //nolint:staticcheck // what API servers store
	s.put("/registry/services/endpoints/default/kubernetes", inProtobuf(t, core, endpoints))
	s.put("/registry/masterleases/10.0.0.1", inProtobuf(t, core, endpoints))
	s.put("/registry/peerserverleases/apiserver-x", inJSON(t, core, endpoints))
	s.put("/registry/ranges/serviceips", inProtobuf(t, core, &corev1.RangeAllocation{}))
	s.put("/registry/events/shop/a.1", inProtobuf(t, core, &corev1.Event{}))
	s.put("/registry/events/shop/b.1", inProtobuf(t, eventsv1.SchemeGroupVersion, &eventsv1.Event{}))
	for i := range 7 {
		s.put(fmt.Sprintf("/registry/pods/shop/web-%d", i), inProtobuf(t, core, &corev1.Pod{}))
	}
	for i := range 3 { // not compacted: newest is the one that counts
		s.put("/registry/leases/kube-system/kup", []byte(fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v%d","kind":"Lease"}`, i)))
	}
	s.put("/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.shop.example", []byte(definitionJSON))
	s.put("/registry/apiextensions.k8s.io/customresourcedefinitions/olds.shop.example", []byte(
		`{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","metadata":{"name":"olds.shop.example"},"spec":{"group":"shop.example","version":"v1","names":{"plural":"olds","kind":"Old"}}}`))
	s.put("/registry/apiregistration.k8s.io/apiservices/v1.apps", []byte(`{"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1","spec":{"group":"apps"}}`))
	s.put("/registry/apiregistration.k8s.io/apiservices/v1beta1.metrics.k8s.io", []byte(
		`{"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1","spec":{"group":"metrics.k8s.io","service":{"name":"metrics-server"}}}`))
	s.put("/registry/shop.example/widgets/shop/a", []byte(`{"apiVersion":"shop.example/v1beta1","kind":"Widget","spec":{"kind":"other"}}`))
	s.put("/registry/shop.example/widgets/shop/b", []byte(`{"spec":{"apiVersion":"other"},"apiVersion":"shop.example/v1","kind":"Widget"}`))
	s.put("/registry/shop.example/widgets/shop/c", inCBOR(t, map[string]any{"apiVersion": "shop.example/v1", "kind": "Widget", "spec": map[string]any{"size": 1}}))
	s.put("/registry/secrets/shop/token", []byte("k8s:enc:aescbc:v1:key1:\x01\x02"))
	s.put("/registry/configmaps/shop/broken", []byte("not an object"))
	s.put("/registry/configmaps/shop/nameless", []byte(`{"metadata":{}}`))
	s.put("/registry/configmaps/shop/cut", []byte("k8s\x00\x0a\x7f"))
	s.put("/other/pods/shop/elsewhere", inProtobuf(t, core, &corev1.Pod{}))
	s.put("/registryx/pods/shop/elsewhere", inProtobuf(t, core, &corev1.Pod{}))
}

func inCBOR(t testing.TB, v any) []byte {
	raw, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0xd9, 0xd9, 0xf7}, raw...)
}

func TestRead(t *testing.T) {
	s := newStore(t)
	fill(s)
	file := s.snapshot()
	before := digest(t, file)
	got, err := Read(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, file) != before {
		t.Error("reading changed the snapshot")
	}
	golden(t, "testdata/read.txt", list(got))

	again, err := Read(t.Context(), file, "registry/") // as an operator may write it
	if err != nil || list(again) != list(got) {
		t.Errorf("another spelling of the prefix reads differently: %v\n%s", err, list(again))
	}
	other, err := Read(t.Context(), file, "/other")
	if err != nil || len(other.Kinds) != 1 || other.Prefix != "/other/" {
		t.Errorf("under /other: %v\n%s", err, list(other))
	}
}

func digest(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func list(s cluster.Stored) string {
	var b strings.Builder
	fmt.Fprintf(&b, "prefix %s, aggregated %v\n", s.Prefix, s.Aggregated)
	for _, k := range s.Kinds {
		fmt.Fprintf(&b, "%-45s %-32s %-25s %d %v\n", k.Path, k.APIVersion(), k.Kind, k.Count, k.Examples)
	}
	for _, p := range s.Encrypted {
		fmt.Fprintf(&b, "encrypted %s %d %v\n", p.Path, p.Count, p.Examples)
	}
	for _, p := range s.Unreadable {
		fmt.Fprintf(&b, "unreadable %s %d %v\n", p.Path, p.Count, p.Examples)
	}
	for _, d := range s.Definitions {
		fmt.Fprintf(&b, "definition %+v, storage %s\n", d, d.Storage())
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	fill(s)
	file := s.snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, file, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestReadRefusesWhatIsNoSnapshot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	fill(s)
	paths := []string{file, filepath.Join(dir, "absent")}
	for pages := range int64(6) {
		cut := s.snapshot()
		if err := os.Truncate(cut, pages<<12); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, cut)
	}
	for _, path := range paths {
		if _, err := Read(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// BenchmarkRead tells speed and memory for 20,000 objects of 4 KiB, each written
// three times since the last compaction.
func BenchmarkRead(b *testing.B) {
	s := newStore(b)
	value := inProtobuf(b, corev1.SchemeGroupVersion, &corev1.ConfigMap{Data: map[string]string{"a": strings.Repeat("x", 4096)}})
	for range 3 {
		for i := range 20000 {
			s.put(fmt.Sprintf("/registry/configmaps/ns-%d/object-%d", i%100, i), value)
		}
	}
	file := s.snapshot()
	b.SetBytes(3 * 20000 * int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(b.Context(), file, ""); err != nil {
			b.Fatal(err)
		}
	}
}
