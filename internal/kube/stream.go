package kube

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// podsAtOnce hands over every pod of the cluster, each lean, from one answer that is read
// piece by piece. The API server gives it out of the cache in which it holds all pods
// (resourceVersion 0), as every controller that starts asks for them: no page has to be
// read from etcd, and nobody has all pods in memory for it. The cache may be behind by
// the moment that a watch takes.
// Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
//
// A server that gives no protobuf, and an answer that breaks off, are errors; take has
// then had some of the pods.
func podsAtOnce(ctx context.Context, core rest.Interface, take func(*corev1.Pod) error) (err error) {
	body, err := core.Get().Resource("pods").VersionedParams(&metav1.ListOptions{ResourceVersion: "0"}, scheme.ParameterCodec).
		SetHeader("Accept", runtime.ContentTypeProtobuf).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return eachItem(body, func(item []byte) error {
		n, err := leanPod.shorten(item)
		if err != nil {
			return err
		}
		var pod corev1.Pod
		if err := pod.Unmarshal(item[:n]); err != nil {
			return err
		}
		return take(&pod)
	})
}

// maxItem is more than any object has: etcd takes requests of 1.5 MiB, unless told otherwise.
const maxItem = 64 << 20

// eachItem reads a list in protobuf and hands over its items, whose bytes are good until
// the next. A list that ends with a page is an error: it was not asked for pages.
func eachItem(from io.Reader, take func([]byte) error) error {
	in := &pieces{Reader: bufio.NewReaderSize(from, 64<<10)}
	mark := make([]byte, len(protobufMark))
	if _, err := io.ReadFull(in, mark); err != nil || !bytes.Equal(mark, protobufMark) {
		return errors.Join(errors.New("the answer is not in protobuf"), err)
	}
	// The envelope, a runtime.Unknown, has the list as field 2, a list its items as
	// field 2 and its metadata as field 1.
	found := false
	err := in.fields(toTheEnd, func(number protowire.Number, size int64) error {
		if number != 2 {
			return in.skip(size)
		}
		if found {
			return errors.New("the answer is two lists")
		}
		found = true
		return in.fields(size, func(number protowire.Number, size int64) error {
			if number != 1 && number != 2 {
				return in.skip(size)
			}
			content, err := in.next(size)
			if err != nil {
				return err
			}
			if number == 2 {
				return take(content)
			}
			var meta metav1.ListMeta
			if err := meta.Unmarshal(content); err != nil {
				return err
			}
			if meta.Continue != "" {
				return errors.New("the answer is one page of several")
			}
			return nil
		})
	})
	if err == nil && !found {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("a list in protobuf, after %d bytes: %w", in.read, err)
	}
	return nil
}

// pieces reads a message of protobuf whose fields have lengths, as those of API lists do.
type pieces struct {
	*bufio.Reader
	read int64
	item []byte // of the last next
}

// ReadByte implements io.ByteReader.
func (p *pieces) ReadByte() (byte, error) {
	b, err := p.Reader.ReadByte()
	if err == nil {
		p.read++
	}
	return b, err
}

// toTheEnd is the size of a message that ends where the answer does.
const toTheEnd = math.MaxInt64

// fields calls field for each of a message that is so many bytes long.
func (p *pieces) fields(size int64, field func(protowire.Number, int64) error) error {
	for began := p.read; p.read-began < size; {
		tag, err := binary.ReadUvarint(p)
		if errors.Is(err, io.EOF) && size == toTheEnd {
			return nil
		}
		if err != nil {
			return unexpected(err)
		}
		number, kind := protowire.DecodeTag(tag)
		if kind != protowire.BytesType {
			return fmt.Errorf("field %d is of type %d", number, kind)
		}
		length, err := binary.ReadUvarint(p)
		if err != nil {
			return unexpected(err)
		}
		if length > uint64(max(0, size-(p.read-began))) {
			return fmt.Errorf("field %d is longer than what it is in", number)
		}
		if err := field(number, int64(length)); err != nil { //nolint:gosec // at most size
			return err
		}
	}
	return nil
}

// next gives the next bytes, which are good until it is called again.
func (p *pieces) next(size int64) ([]byte, error) {
	if size > maxItem {
		return nil, fmt.Errorf("an object of %d bytes", size)
	}
	if int64(cap(p.item)) < size {
		p.item = make([]byte, size+size/2)
	}
	p.item = p.item[:size]
	n, err := io.ReadFull(p.Reader, p.item)
	p.read += int64(n)
	return p.item, unexpected(err)
}

func (p *pieces) skip(size int64) error {
	n, err := io.CopyN(io.Discard, p.Reader, size)
	p.read += n
	return unexpected(err)
}

// unexpected is an end where there must be more.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
