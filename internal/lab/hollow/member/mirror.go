package member

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// Bounds of one transaction: etcd's own are 128 operations and 1.5 MB.
	batchOps   = 100
	batchBytes = 512 << 10

	// A proposal on its way to a leader that dies is lost without an answer.
	writeTimeout = 2 * election
	flushTimeout = 5 * time.Second
	retryAfter   = election / 4 // there is no leader, for now
)

var errNotServing = errors.New("etcd has no leader")

// Put has the store hold a value, soon; [Cluster.Delete] removes one. They do not
// wait, and what etcd cannot take at present it gets later. The newest value of a
// key wins; a snapshot or a hash that is asked for afterwards has it.
func (c *Cluster) Put(key string, value []byte) { c.mirror.set(key, value, true) }

// Delete removes a key, soon: see [Cluster.Put].
func (c *Cluster) Delete(key string) { c.mirror.set(key, nil, false) }

// Flush waits until the store holds everything that was put before.
func (c *Cluster) Flush(ctx context.Context) error { return c.mirror.drain(ctx) }

// mirror brings values into the store, many in one transaction.
type mirror struct {
	cluster *Cluster
	wake    chan struct{}
	end     context.CancelFunc
	ended   chan struct{}

	turn sync.Mutex // one drain at a time

	mu      sync.Mutex
	pending map[string]change
}

type change struct {
	value []byte
	keep  bool // otherwise it is deleted
}

func newMirror(c *Cluster) *mirror {
	ctx, end := context.WithCancel(context.Background())
	m := &mirror{cluster: c, wake: make(chan struct{}, 1), end: end, ended: make(chan struct{}), pending: map[string]change{}}
	go m.work(ctx)
	return m
}

// close ends the work; what is still pending is lost.
func (m *mirror) close() {
	m.end()
	<-m.ended
}

func (m *mirror) set(key string, value []byte, keep bool) {
	m.mu.Lock()
	m.pending[key] = change{append([]byte(nil), value...), keep}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// forget drops what is pending.
func (m *mirror) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = map[string]change{}
}

func (m *mirror) work(ctx context.Context) {
	defer close(m.ended)
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-retry.C:
		}
		if err := m.drain(ctx); err != nil {
			retry.Reset(retryAfter)
		}
	}
}

// flush is drain for those who go on all the same: without a leader nothing new
// can have come into the store.
func (m *mirror) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	_ = m.drain(ctx) // the work goes on with what is left
}

// drain writes until nothing is pending.
func (m *mirror) drain(ctx context.Context) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	for {
		batch := m.take()
		if len(batch) == 0 {
			return nil
		}
		if err := m.write(ctx, batch); err != nil {
			m.giveBack(batch)
			return err
		}
	}
}

// take removes a batch from what is pending.
func (m *mirror) take() map[string]change {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := map[string]change{}
	size := 0
	for key, c := range m.pending {
		if size += len(key) + len(c.value); len(batch) > 0 && size > batchBytes {
			break
		}
		batch[key] = c
		delete(m.pending, key)
		if len(batch) == batchOps {
			break
		}
	}
	return batch
}

// giveBack keeps what was not written, where nothing newer came.
func (m *mirror) giveBack(batch map[string]change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, c := range batch {
		if _, newer := m.pending[key]; !newer {
			m.pending[key] = c
		}
	}
}

func (m *mirror) write(ctx context.Context, batch map[string]change) error {
	e, ok := m.cluster.serving()
	if !ok {
		return errNotServing
	}
	txn := &pb.TxnRequest{}
	for key, c := range batch {
		op := &pb.RequestOp{}
		if c.keep {
			op.Request = &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: c.value}}
		} else {
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}
		}
		txn.Success = append(txn.Success, op)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := e.Server.Txn(ctx, txn)
	return err
}

// serving gives a member that answers and sees a leader.
func (c *Cluster) serving() (*embed.Etcd, bool) {
	for _, m := range c.members {
		if e := m.server(); e != nil && !m.gate.closed() && e.Server.Leader() != 0 {
			return e, true
		}
	}
	return nil, false
}
