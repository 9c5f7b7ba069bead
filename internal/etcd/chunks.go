package etcd

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// chunks decodes the messages of one snapshot's stream into a single buffer: a blob is
// good until the next one is received. gRPC's own codec clears, fills and copies a new
// one for each of them, which is a fifth of what it costs to receive a store.
type chunks struct {
	encoding.CodecV2 // what requests are encoded with
	buffer           []byte
}

func newChunks() *chunks { return &chunks{CodecV2: encoding.GetCodecV2("proto")} }

// Unmarshal implements encoding.CodecV2.
func (c *chunks) Unmarshal(data mem.BufferSlice, into any) error {
	r, isSnapshot := into.(*pb.SnapshotResponse)
	if !isSnapshot {
		return c.CodecV2.Unmarshal(data, into)
	}
	if n := data.Len(); n > cap(c.buffer) {
		c.buffer = make([]byte, n)
	}
	message := c.buffer[:data.CopyTo(c.buffer[:cap(c.buffer)])]
	r.Reset()
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		switch value := message[tag : tag+size]; {
		case number == remainingField && kind == protowire.VarintType:
			r.RemainingBytes, _ = protowire.ConsumeVarint(value)
		case number == blobField && kind == protowire.BytesType:
			r.Blob, _ = protowire.ConsumeBytes(value)
		}
		message = message[tag+size:]
	}
	return nil
}

// The fields of a SnapshotResponse that are read.
// Source: go.etcd.io/etcd/api/v3/etcdserverpb/rpc.proto
const (
	remainingField = 2
	blobField      = 3
)
