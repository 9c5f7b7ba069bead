package stored

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// The marks in front of a stored value.
var (
	// k8s.io/apimachinery pkg/runtime/serializer/protobuf: protoEncodingPrefix.
	protobufMark = []byte("k8s\x00")
	// k8s.io/apiserver pkg/server/options/encryptionconfig: every provider's prefix
	// begins so, and the provider's name follows.
	encryptedMark = []byte("k8s:enc:")
	// k8s.io/apimachinery pkg/runtime/serializer/cbor/direct: selfDescribedCBOR.
	cborMark = []byte{0xd9, 0xd9, 0xf7}
)

var errForm = errors.New("it is in no form that an API server stores")

// typeMeta is how an object names its own version and kind.
type typeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// split gives the group, empty for core, and the version.
func (m typeMeta) split() (group, version string) {
	group, version, found := strings.Cut(m.APIVersion, "/")
	if !found {
		return "", group
	}
	return group, version
}

func encrypted(value []byte) bool { return bytes.HasPrefix(value, encryptedMark) }

// identify reads no more of a value than it takes to know its version and kind.
func identify(value []byte) (typeMeta, error) {
	var m typeMeta
	var err error
	switch {
	case bytes.HasPrefix(value, protobufMark):
		m, err = fromProtobuf(value[len(protobufMark):])
	case bytes.HasPrefix(value, cborMark):
		err = cbor.Unmarshal(value, &m)
	default:
		m, err = fromJSON(value)
	}
	if err != nil {
		return typeMeta{}, err
	}
	if m.APIVersion == "" || m.Kind == "" {
		return typeMeta{}, fmt.Errorf("%w: it names no version and kind", errForm)
	}
	return m, nil
}

// fromProtobuf reads the envelope, k8s.io/apimachinery/pkg/runtime.Unknown: its
// field 1 is a TypeMeta, whose fields 1 and 2 are apiVersion and kind.
func fromProtobuf(envelope []byte) (typeMeta, error) {
	var m typeMeta
	inner, err := field(envelope, 1)
	if err != nil {
		return m, err
	}
	version, err := field(inner, 1)
	if err != nil {
		return m, err
	}
	kind, err := field(inner, 2)
	m.APIVersion, m.Kind = string(version), string(kind)
	return m, err
}

// field gives a message's first field of that number, which must hold bytes;
// none when there is no such field.
func field(message []byte, number protowire.Number) ([]byte, error) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		message = message[size:]
		if n == number && kind == protowire.BytesType {
			value, size := protowire.ConsumeBytes(message)
			if size < 0 {
				return nil, protowire.ParseError(size)
			}
			return value, nil
		}
		if size = protowire.ConsumeFieldValue(n, kind, message); size < 0 {
			return nil, protowire.ParseError(size)
		}
		message = message[size:]
	}
	return nil, nil
}

// fromJSON stops as soon as both names were seen: they stand in front of all
// that API servers write, and what follows can be megabytes.
func fromJSON(value []byte) (typeMeta, error) {
	var m typeMeta
	d := json.NewDecoder(bytes.NewReader(value))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return m, errForm
	}
	for d.More() && (m.APIVersion == "" || m.Kind == "") {
		name, err := d.Token()
		if err != nil {
			return m, fmt.Errorf("%w: %w", errForm, err)
		}
		var into any = new(json.RawMessage)
		switch name {
		case "apiVersion":
			into = &m.APIVersion
		case "kind":
			into = &m.Kind
		}
		if err := d.Decode(into); err != nil {
			return m, fmt.Errorf("%w: %w", errForm, err)
		}
	}
	return m, nil
}
