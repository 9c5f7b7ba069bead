package member

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

const (
	heartbeat = 100 * time.Millisecond
	election  = time.Second
	// Small, so that a hop's writes go through what a long life does: snapshots,
	// and a member that was away too long for the log.
	entriesPerSnapshot = 2000
	entriesKept        = 500
	segmentBytes       = 4 << 20

	hostPKI      = "/etc/kubernetes/pki/etcd"
	clusterToken = "etcd-cluster" // etcd's own, which kubeadm leaves
)

// shrinkLog makes etcd's log segments small: it writes each of them, 64 MB,
// before it uses it. The library has this as a variable of the package.
var shrinkLog = sync.OnceFunc(func() { wal.SegmentSizeBytes = segmentBytes })

// config is that of etcd as kubeadm's manifest has it, without what needs a disk
// or a second process.
func (m *Member) config() *embed.Config {
	c := embed.NewConfig()
	c.Name, c.Dir = m.node.Name, m.data()
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic)))
	c.UnsafeNoFsync = true
	c.EnableGRPCGateway = false
	c.TickMs, c.ElectionMs = uint(heartbeat.Milliseconds()), uint(election.Milliseconds())
	c.SnapshotCount, c.SnapshotCatchUpEntries = entriesPerSnapshot, entriesKept

	peer, client := listenURL(m.node.IP, peerPort), listenURL(m.node.IP, clientPort)
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ClientTLSInfo, c.PeerTLSInfo = m.tls("server"), m.tls("peer")

	var initial []string
	for _, other := range m.cluster.members {
		initial = append(initial, other.node.Name+"="+peerURL(other.node.IP))
	}
	c.InitialCluster, c.InitialClusterToken = strings.Join(initial, ","), clusterToken
	m.mu.Lock()
	if m.joins != "" {
		c.InitialCluster, c.ClusterState = m.joins, embed.ClusterStateFlagExisting
	}
	m.mu.Unlock()
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(m.unary), grpc.ChainStreamInterceptor(m.stream),
	}
	return c
}

func listenURL(ip, port string) url.URL { return url.URL{Scheme: "https", Host: hostPort(ip, port)} }

func hostPort(ip, port string) string { return net.JoinHostPort(ip, port) }

func (m *Member) tls(name string) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: filepath.Join(m.pki(), name+".crt"), KeyFile: filepath.Join(m.pki(), name+".key"),
		TrustedCAFile: filepath.Join(m.pki(), "ca.crt"), ClientCertAuth: true,
	}
}

// copyCertificates puts what etcd reads into a directory of this machine. Each
// file is replaced whole: etcd reads them when it likes.
func copyCertificates(from Files, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"} {
		content, err := from.ReadFile(hostPKI + "/" + name)
		if err != nil {
			return fmt.Errorf("certificates: %w", err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", content, 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}

// unary holds requests back while the member hangs, and makes its answers those
// of its version.
func (m *Member) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := m.gate.pass(ctx); err != nil {
		return nil, err
	}
	switch req.(type) {
	case *pb.HashKVRequest, *pb.HashRequest:
		m.cluster.mirror.flush(ctx)
	}
	resp, err := handler(ctx, req)
	if s, ok := resp.(*pb.StatusResponse); ok && err == nil {
		m.claim(s)
	}
	if gone := m.gate.pass(ctx); gone != nil { // it began to hang meanwhile
		return nil, gone
	}
	return resp, err
}

// claim rewrites a status: below 3.6 there was no more in it.
func (m *Member) claim(s *pb.StatusResponse) {
	m.mu.Lock()
	runs := m.runs
	m.mu.Unlock()
	s.Version = runs.Bare()
	if runs.Line().Less(modernLine) {
		s.StorageVersion, s.DbSizeQuota, s.DowngradeInfo = "", 0, nil
		return
	}
	s.StorageVersion = ""
	if reached := m.cluster.Reached(); !reached.Less(modernLine) {
		s.StorageVersion = reached.String() + ".0"
	}
}

// stream does the same for snapshots and watches; what began goes on.
func (m *Member) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := m.gate.pass(stream.Context()); err != nil {
		return err
	}
	if info.FullMethod == pb.Maintenance_Snapshot_FullMethodName {
		m.cluster.mirror.flush(stream.Context())
	}
	return handler(srv, stream)
}
