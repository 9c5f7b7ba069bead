package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

// relayScript joins its standard input and output to $1:$2, with whichever of
// the usual programs the node has. bash is there on every distribution that
// kubeadm supports.
const relayScript = `if command -v socat >/dev/null 2>&1; then exec socat - "TCP:$1:$2"; fi
if command -v nc >/dev/null 2>&1; then exec nc "$1" "$2"; fi
if command -v bash >/dev/null 2>&1; then
  exec bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit 1; cat <&3 & cat >&3; kill $! 2>/dev/null' relay "$1" "$2"
fi
echo "no socat, nc or bash on this node" >&2
exit 127`

var errNoStream = errors.New("this connection cannot stream through a command on the node")

// relay reaches the member through a command on the node instead of a forwarded
// port. It needs no root: the port is open to every local user, the certificate
// is what opens the door.
func (a Access) relay(ctx context.Context) (net.Conn, error) {
	streamer, ok := a.Host.(Streamer)
	if !ok {
		return nil, errNoStream
	}
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil {
		return nil, err
	}
	stream, err := streamer.Stream(ctx, remote.Command{Argv: []string{"/bin/sh", "-c", relayScript, "sh", host, port}})
	if err != nil {
		return nil, err
	}
	return relayConn{stream, relayAddr(a.Address)}, nil
}

// relayConn is a stream as a connection. It has no deadlines: gRPC closes a
// connection that has outlived its own.
type relayConn struct {
	io.ReadWriteCloser
	remote relayAddr
}

var _ net.Conn = relayConn{}

func (c relayConn) LocalAddr() net.Addr              { return relayAddr("relay") }
func (c relayConn) RemoteAddr() net.Addr             { return c.remote }
func (c relayConn) SetDeadline(time.Time) error      { return nil }
func (c relayConn) SetReadDeadline(time.Time) error  { return nil }
func (c relayConn) SetWriteDeadline(time.Time) error { return nil }

type relayAddr string

func (a relayAddr) Network() string { return "tcp" }
func (a relayAddr) String() string  { return string(a) }
