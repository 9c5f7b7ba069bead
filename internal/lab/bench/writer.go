package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kup-project/kup/internal/lab/hollow/apiserver"
)

var resourceLeases = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

// folders are where API servers keep objects in etcd, by kind: the prefix of
// https://github.com/kubernetes/kubernetes/tree/v1.33.0/pkg/registry.
var folders = map[string]string{
	"Namespace": "namespaces", "Node": "minions", "Lease": "leases",
	"Pod": "pods", "Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets",
	"ControllerRevision": "controllerrevisions", "PodDisruptionBudget": "poddisruptionbudgets",
	"Service": "services/specs", "EndpointSlice": "endpointslices", "ConfigMap": "configmaps", "Secret": "secrets", "ServiceAccount": "serviceaccounts",
	"PersistentVolume": "persistentvolumes", "PersistentVolumeClaim": "persistentvolumeclaims", "StorageClass": "storageclasses", "CSIDriver": "csidrivers",
}

// object is what the writer takes.
type object interface {
	runtime.Object
	metav1.Object
}

const (
	// A transaction's size, in objects and in bytes.
	txnObjects = 500
	txnBytes   = 4 << 20
	// writersAtOnce is how many transactions are on their way.
	writersAtOnce = 4
)

// writer puts objects into etcd as API servers store them: in protobuf, under their
// keys. It is used by one goroutine.
type writer struct {
	commit func(context.Context, []clientv3.Op) error
	codec  runtime.Serializer
	now    metav1.Time
	group  *errgroup.Group
	ctx    context.Context // of the group

	batch   []clientv3.Op
	size    int
	objects int
	bytes   atomic.Int64
}

func newWriter(ctx context.Context, commit func(context.Context, []clientv3.Op) error) *writer {
	w := &writer{commit: commit, codec: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), now: metav1.NewTime(time.Now().UTC().Truncate(time.Second))}
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.SetLimit(writersAtOnce)
	return w
}

// put writes an object that this package made.
func (w *writer) put(o object) error {
	if o.GetUID() == "" {
		o.SetUID(uuid.NewUUID())
	}
	o.SetCreationTimestamp(w.now)
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		return err
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	folder, known := folders[kinds[0].Kind]
	if !known {
		return fmt.Errorf("where %s is stored is not known", kinds[0].Kind)
	}
	return w.store("/registry/"+folder+"/"+strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"), o)
}

// take writes what is in a host's store; what all hosts have there alike only when
// shared is wanted.
func (w *writer) take(s *apiserver.Store, shared bool) error {
	var mu sync.Mutex // the host's kubelet goes on writing
	var failed error
	over := false
	s.Mirror(func(key string, value []byte) {
		mu.Lock()
		defer mu.Unlock()
		common := strings.HasPrefix(key, "/registry/namespaces/") || strings.HasPrefix(key, "/registry/configmaps/")
		if over || failed != nil || common && !shared {
			return
		}
		failed = w.takeOne(key, value)
	})
	// A store has one mirror for good; from here on it writes nowhere.
	mu.Lock()
	defer mu.Unlock()
	over = true
	return failed
}

func (w *writer) takeOne(key string, value []byte) error {
	o, _, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	meta, ok := o.(object)
	if !ok {
		return fmt.Errorf("%s: it has no metadata", key)
	}
	meta.SetResourceVersion("") // that of etcd counts
	return w.store(key, o)
}

func (w *writer) store(key string, o runtime.Object) error {
	var value bytes.Buffer
	if err := w.codec.Encode(o, &value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	w.batch = append(w.batch, clientv3.OpPut(key, value.String()))
	w.size += value.Len()
	w.objects++
	if len(w.batch) >= txnObjects || w.size >= txnBytes {
		w.flush()
	}
	return w.ctx.Err()
}

func (w *writer) flush() {
	batch, size := w.batch, w.size
	w.batch, w.size = nil, 0
	if len(batch) == 0 {
		return
	}
	w.group.Go(func() error {
		w.bytes.Add(int64(size))
		return w.commit(w.ctx, batch)
	})
}

// close writes the rest and waits.
func (w *writer) close() error {
	w.flush()
	if err := w.group.Wait(); err != nil {
		return fmt.Errorf("fill etcd: %w", err)
	}
	return nil
}
