package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// upload is the body of a request on its way up.
type upload struct {
	io.ReadCloser
	c     *carriage
	out   *http.Request
	left  int64        // of a body that has to end after so much; 0: its end is known with its last byte, or nobody said
	state atomic.Int32 // uploadFresh, uploadBegun or uploadRevoked
}

const (
	uploadFresh   = iota
	uploadBegun   // somebody has read of it, so nobody else gets it whole
	uploadRevoked // it goes up by another way
)

func (c *carriage) newUpload(out *http.Request) *upload {
	u := &upload{ReadCloser: out.Body, c: c, out: out}
	if c.in.ProtoMajor != 1 && c.in.ContentLength > 0 {
		u.left = c.in.ContentLength
	}
	return u
}

// revoke takes the body back, to send it by another way. It fails if anything
// was read.
func (b *upload) revoke() bool { return b.state.CompareAndSwap(uploadFresh, uploadRevoked) }

// Close implements io.Closer. A transport that cannot connect closes the body,
// which is still good for another one.
func (b *upload) Close() error {
	b.c.taken.end()
	if b.state.Load() != uploadBegun {
		return nil
	}
	return b.ReadCloser.Close()
}

// Read implements io.Reader.
func (b *upload) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(uploadFresh, uploadBegun) && b.state.Load() == uploadRevoked {
		return 0, errors.New("this body goes up by another way")
	}
	b.c.taken.end()
	b.c.sent.begin()
	n, err := b.read(p)
	b.c.sent.end()
	switch err {
	case nil:
		b.c.taken.begin()
	case io.EOF: // the client's trailers are known now, and the transport writes its own next
		for name := range b.out.Trailer {
			b.out.Trailer[name] = b.c.in.Trailer[name]
		}
	default:
		b.c.bodyErr.CompareAndSwap(nil, &err)
	}
	return n, err
}

// read keeps the last byte back until the frames have said that the body ends there. With a
// length in HTTP/2 both tell its end, and one that goes on is malformed: it must not reach the
// app as a whole request (RFC 9113 section 8.1.1), which a transport that sends what it has
// would make of it.
func (b *upload) read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left == 0 || n == 0 {
		return n, err
	}
	if b.left -= int64(n); b.left > 0 || err == io.EOF {
		return n, err
	}
	if err == nil {
		var more [1]byte
		if _, err = io.ReadFull(b.ReadCloser, more[:]); err == io.EOF {
			return n, err
		}
	}
	if err == nil {
		err = errors.New("the body goes on after its length")
	}
	return n - 1, err
}
