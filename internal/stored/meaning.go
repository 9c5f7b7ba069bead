package stored

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields in protobuf: of k8s.io/apimachinery/pkg/runtime.Unknown, of
// metav1.ObjectMeta, and of objects, whose metadata comes first, spec second and
// status third.
const (
	unknownRaw = 2

	objectMeta   = 1
	objectSpec   = 2
	objectStatus = 3

	metaUID             = 5
	metaResourceVersion = 6
	metaDeletion        = 9
	metaAnnotations     = 12
	metaOwners          = 13
	metaManagedFields   = 17

	ownerKind       = 1
	ownerController = 6

	podNode  = 10 // of PodSpec.nodeName
	podPhase = 1  // of PodStatus

	claimVolume = 3 // of PersistentVolumeClaimSpec.volumeName

	mirrorAnnotation = "kubernetes.io/config.mirror"
)

// reported are the kinds whose third field is what controllers and kubelets observe.
var reported = map[string]bool{
	"Pod": true, "Node": true, "Namespace": true, "Service": true, "PersistentVolume": true,
	"PersistentVolumeClaim": true, "ReplicationController": true, "ResourceQuota": true,
	"Deployment": true, "ReplicaSet": true, "StatefulSet": true, "DaemonSet": true,
	"Job": true, "CronJob": true, "PodDisruptionBudget": true, "HorizontalPodAutoscaler": true,
	"Ingress": true, "FlowSchema": true, "PriorityLevelConfiguration": true,
	"CertificateSigningRequest": true, "VolumeAttachment": true, "ResourceClaim": true,
	"ValidatingAdmissionPolicy": true, "ServiceCIDR": true,
}

// meaning is the digest of what somebody asked for: the object without its status and
// without who wrote which field when. Values in another form count as a whole.
func meaning(m typeMeta, value []byte) [sha256.Size]byte {
	switch {
	case bytes.HasPrefix(value, protobufMark):
		raw, err := field(value[len(protobufMark):], unknownRaw)
		if err != nil {
			break
		}
		status := 0
		if reported[m.Kind] {
			status = objectStatus
		}
		said, err := without(raw, objectMeta, func(meta []byte) ([]byte, error) {
			return without(meta, 0, nil, metaResourceVersion, metaManagedFields)
		}, status)
		if err == nil {
			return sha256.Sum256(said)
		}
	case !bytes.HasPrefix(value, cborMark):
		if said, err := saidInJSON(value); err == nil {
			return sha256.Sum256(said)
		}
	}
	return sha256.Sum256(value)
}

// without copies a message without the numbered fields; what the field inner holds is
// replaced by what change makes of it.
func without(message []byte, inner protowire.Number, change func([]byte) ([]byte, error), numbers ...int) ([]byte, error) {
	out := make([]byte, 0, len(message))
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		this := message[:size]
		message = message[size:]
		switch {
		case contains(numbers, int(number)):
		case number == inner && kind == protowire.BytesType:
			_, _, tag := protowire.ConsumeTag(this)
			content, _ := protowire.ConsumeBytes(this[tag:])
			changed, err := change(content)
			if err != nil {
				return nil, err
			}
			out = protowire.AppendBytes(protowire.AppendTag(out, number, kind), changed)
		default:
			out = append(out, this...)
		}
	}
	return out, nil
}

func contains(numbers []int, n int) bool {
	for _, m := range numbers {
		if m == n {
			return true
		}
	}
	return false
}

func saidInJSON(value []byte) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(value, &object); err != nil {
		return nil, err
	}
	delete(object, "status")
	if meta, ok := object["metadata"].(map[string]any); ok {
		delete(meta, "managedFields")
		delete(meta, "resourceVersion")
	}
	return json.Marshal(object)
}

// podOf reads a pod in protobuf's envelope.
func podOf(envelope []byte) (*Pod, error) {
	pod := &Pod{}
	var p parts
	raw := p.one(envelope, unknownRaw)
	meta, spec, status := p.one(raw, objectMeta), p.one(raw, objectSpec), p.one(raw, objectStatus)
	pod.UID, pod.Node, pod.Phase = string(p.one(meta, metaUID)), string(p.one(spec, podNode)), string(p.one(status, podPhase))
	pod.Leaving = p.one(meta, metaDeletion) != nil
	for _, entry := range p.all(meta, metaAnnotations) {
		pod.Static = pod.Static || string(p.one(entry, 1)) == mirrorAnnotation
	}
	for _, owner := range p.all(meta, metaOwners) {
		if p.flag(owner, ownerController) {
			pod.Owner = string(p.one(owner, ownerKind))
		}
	}
	if p.err == nil && pod.UID == "" {
		p.err = fmt.Errorf("a pod without a uid")
	}
	return pod, p.err
}

func volumeOf(envelope []byte) (string, error) {
	var p parts
	return string(p.one(p.one(p.one(envelope, unknownRaw), objectSpec), claimVolume)), p.err
}

// parts reads parts of messages and keeps the first error.
type parts struct{ err error }

func (p *parts) one(message []byte, number protowire.Number) []byte {
	value, err := field(message, number)
	if p.err == nil {
		p.err = err
	}
	return value
}

func (p *parts) all(message []byte, wanted protowire.Number) [][]byte {
	var out [][]byte
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			p.err = protowire.ParseError(size)
			return nil
		}
		if number == wanted && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			content, _ := protowire.ConsumeBytes(message[tag:])
			out = append(out, content)
		}
		message = message[size:]
	}
	return out
}

func (p *parts) flag(message []byte, wanted protowire.Number) bool {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			p.err = protowire.ParseError(size)
			return false
		}
		if number == wanted && kind == protowire.VarintType {
			_, _, tag := protowire.ConsumeTag(message)
			v, _ := protowire.ConsumeVarint(message[tag:])
			return v != 0
		}
		message = message[size:]
	}
	return false
}

// detailOther reads a pod or a claim that is stored as JSON or CBOR, as API servers
// with --storage-media-type do.
func (o *Object) detailOther(value []byte) error {
	if o.Path != PodPath && o.Path != claimPath {
		return nil
	}
	var object struct {
		Metadata struct {
			UID               string            `json:"uid"`
			DeletionTimestamp any               `json:"deletionTimestamp"`
			Annotations       map[string]string `json:"annotations"`
			OwnerReferences   []struct {
				Kind       string `json:"kind"`
				Controller bool   `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
		Spec struct {
			NodeName   string `json:"nodeName"`
			VolumeName string `json:"volumeName"`
		} `json:"spec"`
		Status struct {
			Phase string `json:"phase"`
		} `json:"status"`
	}
	decode := json.Unmarshal
	if bytes.HasPrefix(value, cborMark) {
		decode = cbor.Unmarshal
	}
	if err := decode(value, &object); err != nil {
		return err
	}
	if o.Path == claimPath {
		o.Volume = object.Spec.VolumeName
		return nil
	}
	o.Pod = &Pod{UID: object.Metadata.UID, Node: object.Spec.NodeName, Phase: object.Status.Phase, Leaving: object.Metadata.DeletionTimestamp != nil}
	_, o.Pod.Static = object.Metadata.Annotations[mirrorAnnotation]
	for _, owner := range object.Metadata.OwnerReferences {
		if owner.Controller {
			o.Pod.Owner = owner.Kind
		}
	}
	if strings.TrimSpace(o.Pod.UID) == "" {
		return fmt.Errorf("a pod without a uid")
	}
	return nil
}
