package etcd

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// FuzzChunks: what gRPC's own codec reads in a message, this one does, in whatever pieces
// it arrives, and nothing of the message before it.
func FuzzChunks(f *testing.F) {
	full, err := proto.Marshal(&pb.SnapshotResponse{
		Header: &pb.ResponseHeader{Revision: 7}, RemainingBytes: 1 << 40, Blob: []byte("page"), Version: "3.6.5",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full, 3)
	f.Add([]byte{}, 0)
	f.Add(append(bytes.Clone(full), full...), 20)
	f.Add(full[:len(full)-1], 1)
	f.Fuzz(func(t *testing.T, message []byte, cut int) {
		cut = max(0, min(cut, len(message)))
		data := mem.BufferSlice{mem.SliceBuffer(message[:cut]), mem.SliceBuffer(message[cut:])}
		c := newChunks()
		var got, want pb.SnapshotResponse
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(full)}, &got); err != nil || string(got.Blob) != "page" {
			t.Fatalf("%v %q", err, got.Blob)
		}
		wantErr, err := c.CodecV2.Unmarshal(data, &want), c.Unmarshal(data, &got)
		if wantErr == nil && (err != nil || got.GetRemainingBytes() != want.GetRemainingBytes() || !bytes.Equal(got.GetBlob(), want.GetBlob())) {
			t.Errorf("%v: %d left, blob %q; gRPC reads %d and %q", err, got.GetRemainingBytes(), got.GetBlob(), want.GetRemainingBytes(), want.GetBlob())
		}
	})
}
