package fetch

import (
	"context"
	"io"
	"sync/atomic"
)

// body is the body of an answer. Whoever reads it to its end gives the connection back.
type body struct {
	io.ReadCloser
	line *Line
	ctx  context.Context
	stop func() bool // lets go of ctx
	keep bool        // the connection is good for another request
	conn atomic.Pointer[conn]
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if err != io.EOF && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
		b.end(err)
	}
	return n, err
}

// Close implements io.Closer. A body that was not read to its end takes its connection with it:
// nobody knows how much more would come.
func (b *body) Close() error {
	b.end(io.ErrClosedPipe)
	return nil
}

// end is for the first of those that are done with the connection.
func (b *body) end(err error) {
	c := b.conn.Swap(nil)
	if c == nil {
		return
	}
	// What comes behind an answer belongs to no request.
	good := b.stop() && b.keep && (err == nil || err == io.EOF) && c.in.Buffered() == 0
	if good {
		b.line.keep(c)
	} else {
		c.hangUp()
	}
}
