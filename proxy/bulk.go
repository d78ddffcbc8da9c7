package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// buffers lends what bodies are copied through. It implements httputil.BufferPool.
type buffers struct{}

const bufferSize = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[bufferSize]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[bufferSize]byte)(b)) }

// A body whose length is known to be long goes through a larger buffer. Most of what one costs
// are the system calls, of which there are a quarter then. As many bodies as there are buffers
// of this kind have one at a time, 8 MiB together: a thousand slow downloads are none the faster
// for them.
//
// How long a transfer may stand still is told from single reads and writes. Where those take long
// they are small ones, and where the operator is impatient all of them are.
const (
	long      = 1 << 20   // the length from which a body has one
	longSize  = 128 << 10 // of a buffer
	longLends = 64
	patient   = 30 * time.Second
)

func isPatient(most time.Duration) bool { return most <= 0 || most >= patient }

// isSlow reports whether a part that began then took long for whoever is patient.
func isSlow(began time.Time) bool { return time.Since(began) > patient/8 }

type longBuffer [longSize]byte

var (
	longPool = sync.Pool{New: func() any { return new(longBuffer) }}
	longLent atomic.Int32
)

// lendLong returns a large buffer, or nil where all of them are in use.
func lendLong() *longBuffer {
	if longLent.Add(1) > longLends {
		longLent.Add(-1)
		return nil
	}
	return longPool.Get().(*longBuffer)
}

func returnLong(b *longBuffer) {
	longPool.Put(b)
	longLent.Add(-1)
}

// lender is a carriage that lends the buffer for its answer. It implements httputil.BufferPool.
type lender carriage

func (l *lender) Get() []byte {
	if l.long {
		if b := lendLong(); b != nil {
			return b[:]
		}
	}
	return buffers{}.Get()
}

func (l *lender) Put(b []byte) {
	if len(b) == longSize {
		returnLong((*longBuffer)(b))
		return
	}
	buffers{}.Put(b)
}

// upConn is a connection to a target. It takes long bodies through a large buffer, where
// net/http has it take them: those that go up by HTTP/1.1 without TLS.
type upConn struct{ net.Conn }

// dialing is a way to open connections, as http.Transport has it.
type dialing func(ctx context.Context, network, address string) (net.Conn, error)

// up has the connections be upConns.
func (dial dialing) up(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return upConn{c}, nil
}

// SyscallConn implements syscall.Conn.
func (c upConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite ends what is said to the target, as a tunnel does whose client has no more to say.
func (c upConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom implements io.ReaderFrom.
func (c upConn) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok && l.N >= long { // as net/http has a body whose length it knows
		if b := lendLong(); b != nil {
			defer returnLong(b)
			return c.copyLong(l, b)
		}
	}
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// copyLong copies r, by less at a time while the target takes it slowly.
func (c upConn) copyLong(r io.Reader, b *longBuffer) (sent int64, err error) {
	for size := longSize; ; {
		n, err := r.Read(b[:size])
		if n > 0 {
			began := time.Now()
			wrote, err := c.Write(b[:n])
			sent += int64(wrote)
			if err != nil {
				return sent, err
			}
			if size = longSize; isSlow(began) {
				size = bufferSize
			}
		}
		if err == io.EOF {
			return sent, nil
		} else if err != nil {
			return sent, err
		}
	}
}
