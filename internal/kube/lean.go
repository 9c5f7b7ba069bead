package kube

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// newLean gives a client for lists of pods and nodes whose items lack what kup never
// reads and what is most of them: managed fields, environments, mounts, probes, the
// states of containers, images on nodes. Of 50,000 pods that is a gigabyte that need not
// be made into objects. What it gives must not be written back.
func newLean(config *rest.Config) (corev1client.CoreV1Interface, error) {
	c := rest.CopyConfig(config)
	c.GroupVersion, c.APIPath = &corev1.SchemeGroupVersion, "/api"
	c.NegotiatedSerializer = leanCodecs{rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion()}
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, err
	}
	return corev1client.New(client), nil
}

// leanCodecs are those of every client, but for what is left out of protobuf. Servers
// answer pods and nodes in protobuf, which is asked for first; JSON is read in full.
type leanCodecs struct{ runtime.NegotiatedSerializer }

func (c leanCodecs) SupportedMediaTypes() []runtime.SerializerInfo {
	types := c.NegotiatedSerializer.SupportedMediaTypes()
	out := make([]runtime.SerializerInfo, len(types))
	for i, t := range types {
		if t.MediaType == runtime.ContentTypeProtobuf {
			t.Serializer = leanSerializer{t.Serializer}
		}
		out[i] = t
	}
	return out
}

type leanSerializer struct{ runtime.Serializer }

// Decode implements runtime.Decoder. It writes over the data, which nobody needs after it:
// they are an answer that was read for it.
func (s leanSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	var items *message
	switch into.(type) {
	case *corev1.PodList:
		items = leanPods
	case *corev1.NodeList:
		items = leanNodes
	}
	if body, isProtobuf := bytes.CutPrefix(data, protobufMark); isProtobuf && items != nil {
		n, err := items.shorten(body)
		if err != nil {
			return nil, nil, fmt.Errorf("a %T in protobuf: %w", into, err)
		}
		data = data[:len(protobufMark)+n]
	}
	return s.Serializer.Decode(data, defaults, into)
}

// protobufMark stands before the envelope of an object in protobuf, a runtime.Unknown.
// Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go
var protobufMark = []byte{'k', '8', 's', 0}

// message tells which fields of a protobuf message are left out, and of which others
// some are, by number. What it does not know stays.
type message struct {
	out   [knownFields]bool
	below [knownFields]*message
}

const knownFields = 64

func without(numbers ...int) *message {
	m := &message{}
	for _, n := range numbers {
		m.out[n] = true
	}
	return m
}

func (m *message) with(number int, below *message) *message {
	m.below[number] = below
	return m
}

// listOf is the envelope (field 2 of runtime.Unknown) of a list (field 2 of every one) of
// such items.
func listOf(item *message) *message { return without().with(2, without().with(2, item)) }

// The numbers are those of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto. A field keeps its number for ever.
var (
	leanMeta = without(17) // managedFields

	// command, args, workingDir, env, volumeMounts, livenessProbe, readinessProbe, lifecycle,
	// terminationMessagePath, imagePullPolicy, securityContext, envFrom,
	// terminationMessagePolicy, volumeDevices, startupProbe, resizePolicy
	leanContainer = without(3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23)

	// secret, downwardAPI, configMap, projected
	leanVolume = without().with(2, without(6, 16, 19, 26))

	// securityContext, hostAliases, dnsConfig, ephemeralContainers
	leanPodSpec = without(14, 23, 26, 34).with(1, leanVolume).with(2, leanContainer).with(20, leanContainer)

	// containerStatuses, initContainerStatuses, podIPs, ephemeralContainerStatuses,
	// resourceClaimStatuses, hostIPs
	leanPodStatus = without(8, 10, 12, 13, 15, 16)

	// images, volumesInUse, volumesAttached
	leanNodeStatus = without(8, 9, 10)

	leanPod   = without().with(1, leanMeta).with(2, leanPodSpec).with(3, leanPodStatus)
	leanPods  = listOf(leanPod)
	leanNodes = listOf(without().with(1, leanMeta).with(3, leanNodeStatus))
)

// shorten moves what is left of a message to its beginning and gives how long that is.
func (m *message) shorten(in []byte) (int, error) {
	left, kept := 0, 0 // bytes that are left, and those of in that are among them or out
	keep := func(from, to int) { left, kept = left+copy(in[left:], in[from:to]), to }
	for at := 0; at < len(in); {
		number, kind, tag := protowire.ConsumeTag(in[at:])
		if tag < 0 {
			return 0, protowire.ParseError(tag)
		}
		content := at + tag
		size := protowire.ConsumeFieldValue(number, kind, in[content:])
		if size < 0 {
			return 0, protowire.ParseError(size)
		}
		end := content + size
		switch {
		case number >= knownFields:
		case m.out[number]:
			keep(kept, at)
			kept = end
		case m.below[number] != nil && kind == protowire.BytesType:
			length := size - len(valueOf(in[content:end])) // bytes that tell it
			keep(kept, content+length)
			n, err := m.below[number].shorten(in[content+length : end])
			if err != nil {
				return 0, err
			}
			putLength(in[left-length:left], n)
			keep(kept, kept+n)
			kept = end
		}
		at = end
	}
	keep(kept, len(in))
	return left, nil
}

func valueOf(field []byte) []byte {
	value, _ := protowire.ConsumeBytes(field)
	return value
}

// putLength writes a varint that fills its place: it need not be as short as it can be.
func putLength(place []byte, n int) {
	for i := range place {
		place[i] = byte(n>>(7*i))&0x7f | 0x80
	}
	place[len(place)-1] &= 0x7f
}
