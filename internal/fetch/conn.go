package fetch

import (
	"bufio"
	"errors"
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
	turn  turn
	ask   []byte // a request that the next Read writes first, or nil
}

func newConn(nc net.Conn, era int) (*conn, error) {
	c := &conn{Conn: nc, era: era}
	if err := c.turn.of(nc); err != nil {
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
	n, err := c.read(p)
	c.left -= int64(n)
	if err != nil {
		c.broke = err
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	if c.ask == nil {
		return c.Conn.Read(p)
	}
	n, err := c.turn.take(c.ask, p, !c.since.IsZero())
	c.ask = nil
	switch {
	case c.turn.at == hungUp:
		return 0, errHungUp
	case c.turn.at == writing && err == nil: // what is left goes as the server takes it
		if _, err = c.Conn.Write(c.turn.ask); err != nil {
			return 0, err
		}
		c.turn.at = waiting
		return c.Conn.Read(p)
	}
	return n, err
}

// errHungUp reports a kept connection that is not open any more. Nothing was written to it.
var errHungUp = errors.New("the server has closed the connection")

// stage is how far the turn of a request is.
type stage int

const (
	fresh   stage = iota
	hungUp        // the server has closed the connection, or says something unasked
	writing       // not all of it is written
	waiting       // for the answer
)

func (s stage) String() string {
	if s == waiting {
		return "read"
	}
	return "write"
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
