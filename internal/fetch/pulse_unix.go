//go:build unix

package fetch

import (
	"fmt"
	"net"
	"syscall"
)

// Here says whether there are Lines on this system.
const Here = true

// pulse tells whether a connection that nobody uses is still open, without waiting. A server
// may have closed it, or sent what nobody asked for; both are there to be read.
type pulse struct {
	raw  syscall.RawConn
	look func(fd uintptr)
	err  error
}

func (p *pulse) of(c net.Conn) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T cannot be looked at", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	p.raw = raw
	p.look = func(fd uintptr) {
		var b [1]byte
		_, _, p.err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
	return nil
}

func (p *pulse) beats() bool {
	err := p.raw.Control(p.look)
	return err == nil && (p.err == syscall.EAGAIN || p.err == syscall.EWOULDBLOCK)
}
