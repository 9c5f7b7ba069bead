package etcd

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

const (
	callTimeout = 10 * time.Second // of a question that costs the member nothing
	hashTimeout = 10 * time.Minute // a hash reads the whole store
)

// member is one member's client. It is made on first use and made anew, with
// the certificates read again from the node, when the member cannot be reached
// through it: members restart and renew their certificates during an upgrade.
type member struct {
	access Access

	mu      sync.Mutex
	client  *clientv3.Client
	dialErr error // of the last attempt; gRPC would keep only its text
}

// call asks the member, once more with a new client when the old one is stale.
func (m *member) call(ctx context.Context, op string, timeout time.Duration, f func(context.Context, *clientv3.Client) error) error {
	for {
		c, fresh, err := m.get(ctx)
		if err != nil {
			return &MemberError{Node: m.access.Node, Op: op, Err: err}
		}
		if err = ready(ctx, c); err == nil {
			err = within(ctx, timeout, func(ctx context.Context) error { return f(ctx, c) })
		}
		if err == nil {
			return nil
		}
		if !unreachable(err) {
			return &MemberError{Node: m.access.Node, Op: op, Err: err}
		}
		dialErr := m.drop(c)
		if fresh || ctx.Err() != nil {
			if dialErr != nil && ctx.Err() == nil {
				err = dialErr
			}
			return &MemberError{Node: m.access.Node, Op: op, Err: err}
		}
	}
}

// ready finds out whether the connection works. clientv3 waits on a broken one
// for as long as it may and then knows no reason; this question fails at once.
func ready(ctx context.Context, c *clientv3.Client) error {
	conn := c.ActiveConnection()
	if conn.GetState() == connectivity.Ready {
		return nil
	}
	return within(ctx, callTimeout, func(ctx context.Context) error {
		_, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		return err
	})
}

// get gives the client and tells whether it was made just now.
func (m *member) get(ctx context.Context) (c *clientv3.Client, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != nil {
		return m.client, false, nil
	}
	identity, err := m.access.identity(ctx)
	if err != nil {
		return nil, true, err
	}
	m.dialErr = nil
	c, err = clientv3.New(clientv3.Config{
		// The context of the client's life, not of one call.
		Context:              context.WithoutCancel(ctx),
		Endpoints:            []string{"https://" + m.access.Address},
		TLS:                  identity,
		DialTimeout:          callTimeout,
		DialKeepAliveTime:    20 * time.Second,
		DialKeepAliveTimeout: 20 * time.Second,
		MaxUnaryRetries:      1, // call repeats with a new client instead
		Logger:               zap.NewNop(),
		DialOptions:          []grpc.DialOption{grpc.WithContextDialer(m.dial)},
	})
	if err != nil {
		return nil, true, err
	}
	m.client = c
	return c, true, nil
}

func (m *member) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := m.access.connect(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialErr = err
	if err != nil {
		return nil, err
	}
	return buffered{conn, bufio.NewReaderSize(conn, readAhead)}, nil
}

// readAhead is how much is read from a node at once: every read of a forwarded
// connection is acknowledged to the node.
const readAhead = 128 << 10

// buffered is a connection that is read in large pieces.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// drop forgets a client that does not serve any more and tells why it did not.
func (m *member) drop(c *clientv3.Client) error {
	m.mu.Lock()
	dialErr := m.dialErr
	if m.client == c {
		m.client = nil
	}
	m.mu.Unlock()
	_ = c.Close() // it is broken already
	return dialErr
}

func (m *member) close() error {
	m.mu.Lock()
	c := m.client
	m.client = nil
	m.mu.Unlock()
	if c == nil {
		return nil
	}
	if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return &MemberError{Node: m.access.Node, Op: "close", Err: err}
	}
	return nil
}

// status asks this member about itself.
func (m *member) status(ctx context.Context) (*pb.StatusResponse, error) {
	var out *pb.StatusResponse
	err := m.call(ctx, "status", callTimeout, func(ctx context.Context, c *clientv3.Client) (err error) {
		out, err = pb.NewMaintenanceClient(c.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
		return err
	})
	return out, err
}

// hash asks this member for its hash of all it holds up to a revision.
func (m *member) hash(ctx context.Context, revision int64) (Point, error) {
	var out Point
	err := m.call(ctx, "HashKV", hashTimeout, func(ctx context.Context, c *clientv3.Client) error {
		// Over this client's one connection: clientv3's own HashKV dials anew.
		r, err := pb.NewMaintenanceClient(c.ActiveConnection()).HashKV(ctx, &pb.HashKVRequest{Revision: revision})
		if err != nil {
			return err
		}
		out = Point{Revision: revision, CompactRevision: r.GetCompactRevision(), Hash: r.GetHash()}
		return nil
	})
	return out, err
}

func within(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}

// unreachable tells whether an error says that the connection, not the request,
// was at fault.
func unreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unauthenticated:
		return true
	default:
		return false
	}
}
