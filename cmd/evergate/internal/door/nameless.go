package door

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// signature is how a PROXY header of version 2 begins. Behind it come the command and the family
// of the addresses, in a byte each.
var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	commandLocal = 0x20 // with the version: the connection is the proxy's own
	commandProxy = 0x21 // it is somebody's, whose address follows
	familyNone   = 0x00 // no address follows: UNSPEC
)

// nameless is a connection whose PROXY header may be one of version 2 that is for somebody and
// names nobody (PROXY with UNSPEC). The specification (section 2.2) has the receiver take such a
// connection with its own addresses, which is what it has for LOCAL, and go-proxyproto refuses it: so
// it reads as LOCAL. Whose it is, nobody knows, as with UNKNOWN in version 1.
//
// Only what is read first is looked at, by whoever reads the header, in whose buffer all of it
// has room.
type nameless struct {
	net.Conn
	begun bool
}

// Read implements io.Reader. Where so little has come that it could be the beginning of such a
// header, it waits for more; version 1 wants the first read to be one, and has it.
func (c *nameless) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.begun {
		return n, err
	}
	c.begun = true
	whole := len(signature) + 2
	if len(b) < whole {
		return n, err
	}
	for n < whole && err == nil && bytes.HasPrefix(signature, b[:min(n, len(signature))]) {
		var more int
		more, err = c.Conn.Read(b[n:])
		n += more
	}
	if n >= whole && bytes.HasPrefix(b, signature) && b[whole-2] == commandProxy && b[whole-1] == familyNone {
		b[whole-2] = commandLocal
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom, by which files go out without a copy.
func (c *nameless) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite ends the one direction.
func (c *nameless) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
