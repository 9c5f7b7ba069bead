package shell

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// synchronised makes writers safe for the commands of a pipeline, which write at
// the same time. The two may be one.
func synchronised(stdout, stderr io.Writer) (out, err io.Writer) {
	if safe(stdout) && safe(stderr) {
		return stdout, stderr
	}
	mu := new(sync.Mutex)
	wrap := func(w io.Writer) io.Writer {
		if safe(w) {
			return w
		}
		return &lockedWriter{mu, w}
	}
	return wrap(stdout), wrap(stderr)
}

func safe(w io.Writer) bool {
	switch w.(type) {
	case *lockedWriter, *os.File, *handlerFile:
		return true
	}
	return w == io.Discard
}

type lockedWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// interruptible gives a reader whose Read returns when ctx ends. What blocks
// below it is left alone until it returns by itself.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	switch r := r.(type) {
	case *bytes.Reader, *strings.Reader, *bytes.Buffer:
		return r
	case *os.File:
		return &pipeReader{ctx, r}
	case *pipeReader:
		return &pipeReader{ctx, r.file}
	case *patientReader:
		return &patientReader{ctx, r.shared}
	}
	return &patientReader{ctx, &sharedReader{from: r}}
}

// pipeReader reads from an operating system's pipe.
type pipeReader struct {
	ctx  context.Context // a reader is for one command
	file *os.File
}

func (r *pipeReader) Read(b []byte) (int, error) {
	told := make(chan struct{})
	stop := context.AfterFunc(r.ctx, func() {
		_ = r.file.SetReadDeadline(time.Now())
		close(told)
	})
	n, err := r.file.Read(b)
	if stop() {
		return n, err
	}
	<-told
	_ = r.file.SetReadDeadline(time.Time{}) // others may still read
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// patientReader reads what may block on a goroutine of its own.
type patientReader struct {
	ctx    context.Context // a reader is for one command
	shared *sharedReader
}

// sharedReader is what commands that inherit an input share.
type sharedReader struct {
	from io.Reader

	mu      sync.Mutex
	pending chan chunk // of a read that goes on
	left    []byte     // read, and not asked for yet
	err     error      // what follows it
}

type chunk struct {
	data []byte
	err  error
}

func (r *patientReader) Read(b []byte) (int, error) {
	s := r.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 && s.err == nil && len(b) > 0 {
		s.begin(len(b))
		select {
		case c := <-s.pending:
			s.pending, s.left, s.err = nil, c.data, c.err
		case <-r.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(b, s.left)
	if s.left = s.left[n:]; len(s.left) == 0 {
		return n, s.err
	}
	return n, nil
}

// begin begins to read unless an earlier read still goes on.
func (s *sharedReader) begin(size int) {
	if s.pending != nil {
		return
	}
	pending := make(chan chunk, 1)
	s.pending = pending
	go func() {
		data := make([]byte, size)
		n, err := s.from.Read(data)
		pending <- chunk{data[:n], err}
	}()
}
