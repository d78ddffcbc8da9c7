package door

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// thrifty is a client's connection over which HTTP/1.1 comes without TLS. It spares what
// net/http has the kernel and the runtime do for every request, and what a request that is
// answered at once has no use for:
//
//   - Beside each request net/http reads one byte, to hear of a client that goes away: a system
//     call for nothing, a wait in the poller and a deadline to end it by. Here that read waits
//     without any of them, and becomes a real one where the request is still there after a round
//     or two of the patrol.
//   - Net/http sets eight deadlines for each request. Here they are noted, and the connection is
//     told when somebody is about to wait for it.
//
// What net/http sees of it is what it sees of any connection.
type thrifty struct {
	wire
	patrol *patrol

	mu     sync.Mutex // guards what follows
	reads  int        // of wire, under way
	read   deadline
	write  time.Time // of wire; zero is none
	closed bool

	held   bool       // a read of one byte waits here
	goOn   chan error // what becomes of it: nil has it read for real
	turn   uint64     // how often one has waited
	seen   uint64     // the turn that the patrol saw last
	listed bool       // the patrol comes by
}

// wire is what net/http asks of a connection. ReadFrom has the kernel copy, CloseWrite lets an
// answer arrive before the end.
type wire interface {
	net.Conn
	io.ReaderFrom
	CloseWrite() error
}

// deadline is one for reading. Zero times are none.
type deadline struct {
	want time.Time // what was asked for last
	told time.Time // what that was when the connection was told
	at   time.Time // what the connection was told: that, or a little later
}

// slack is by which part a connection may be told a deadline later than asked for, so that
// what was told stands for the requests meanwhile.
const slack = 16

// isLongAgo reports whether a deadline is the one by which net/http ends a read
// (aLongTimeAgo), or one before it.
func isLongAgo(t time.Time) bool { return !t.IsZero() && t.Unix() <= 1 }

// errEnded is what a read of a byte ends with, as net/http expects it of a deadline.
var errEnded = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}

// Read implements net.Conn.
func (c *thrifty) Read(p []byte) (int, error) {
	c.mu.Lock()
	var err error
	switch {
	case c.closed: // which wire says best
	case isLongAgo(c.read.want): // it was to end before it began
		err = errEnded
	case len(p) == 1 && c.read.want.IsZero() && !c.held:
		err = c.hold()
	}
	if err == nil {
		err = c.tell()
	}
	if err != nil {
		c.mu.Unlock()
		return 0, err
	}
	c.reads++
	c.mu.Unlock()
	n, err := c.wire.Read(p)
	c.mu.Lock()
	c.reads--
	c.mu.Unlock()
	return n, err
}

// hold keeps a read of a byte from the connection, and returns what it is to end with; nil has
// it go on. The mutex is held before and after it.
func (c *thrifty) hold() error {
	c.held = true
	c.turn++
	listed := c.listed
	c.listed = true
	c.mu.Unlock()
	if !listed {
		c.patrol.add(c)
	}
	err := <-c.goOn
	c.mu.Lock()
	return err
}

// letGo ends hold. The mutex is held.
func (c *thrifty) letGo(err error) {
	if c.held {
		c.held = false
		c.goOn <- err
	}
}

// tell tells the connection of the deadline, unless it knows. The mutex is held.
func (c *thrifty) tell() error {
	d := &c.read
	switch {
	case d.want.IsZero() && d.told.IsZero():
		return nil
	case !d.want.IsZero() && !d.told.IsZero() && !d.want.Before(d.told) && !d.want.After(d.at):
		return nil
	}
	d.told, d.at = d.want, d.want
	if left := time.Until(d.want); left > 0 && !d.want.IsZero() {
		d.at = d.want.Add(left / slack)
	}
	return c.wire.SetReadDeadline(d.at)
}

// SetReadDeadline implements net.Conn.
func (c *thrifty) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.want = t
	switch {
	case c.held && isLongAgo(t):
		c.letGo(errEnded)
	case c.held && !t.IsZero():
		c.letGo(nil)
	case c.reads > 0: // it wakes whoever waits
		return c.tell()
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *thrifty) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() && c.write.IsZero() {
		return nil
	}
	c.write = t
	return c.wire.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *thrifty) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *thrifty) Close() error {
	c.mu.Lock()
	c.closed = true
	c.letGo(net.ErrClosed)
	c.mu.Unlock()
	return c.wire.Close()
}

// look lets a read go on that was held when the patrol came by last, and reports whether the
// patrol is to come again.
func (c *thrifty) look() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held && c.turn != c.seen {
		c.seen = c.turn
		return true
	}
	c.letGo(nil)
	c.listed = false
	return false
}
