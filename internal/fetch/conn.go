package fetch

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"
)

// unlimited is what may be read of a body.
const unlimited = 1<<63 - 1

// conn is a connection. One request at a time has it.
type conn struct {
	net.Conn
	in    *bufio.Reader
	left  int64 // how much may be read yet
	broke error // what a read failed for
	era   int   // see Line
	until time.Time
	since time.Time // it is idle
	pulse pulse
}

func newConn(nc net.Conn, era int) (*conn, error) {
	c := &conn{Conn: nc, era: era}
	if err := c.pulse.of(nc); err != nil {
		nc.Close()
		return nil, err
	}
	c.in = bufio.NewReader(c)
	return c, nil
}

// Read implements io.Reader, for c.in.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.broke = errTooLong
		return 0, c.broke
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	if err != nil {
		c.broke = err
	}
	return n, err
}

func (c *conn) hangUp() { _ = c.Close() }

// bound sets the time until which there has to be an answer. To set it costs a good part of a
// microsecond, so it is set to a little later than it has to be, and stands for the requests
// meanwhile.
func (c *conn) bound(after time.Duration) error {
	if after <= 0 {
		c.unbound()
		return nil
	}
	now := time.Now()
	if latest := now.Add(after + after/16); c.until.Before(now.Add(after)) || c.until.After(latest) {
		c.until = latest
		return c.SetDeadline(latest)
	}
	return nil
}

func (c *conn) unbound() {
	if !c.until.IsZero() {
		c.until = time.Time{}
		_ = c.SetDeadline(time.Time{})
	}
}

// readError is what an answer could not be read for. Where the connection broke within it, a
// parser may only have seen that something was missing.
func (c *conn) readError(err error) error {
	if c.broke != nil {
		err = c.broke
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading the answer: %w", err)
}
