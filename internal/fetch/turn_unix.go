//go:build unix

package fetch

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Here says whether there are Lines on this system.
const Here = true

// turn is what a connection does for one request up to the first bytes of its answer: it looks
// whether the connection is still open, writes, waits and reads, without letting go of the
// connection in between. To read as net.Conn does would first try for an answer that cannot be
// there yet.
type turn struct {
	raw  syscall.RawConn
	look func(fd uintptr)
	step func(fd uintptr) bool

	at   stage
	kept bool
	ask  []byte // what is to be written yet
	into []byte
	n    int   // how much was read into it
	err  error // of the system call
}

func (t *turn) of(c net.Conn) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T cannot be looked at", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	t.raw = raw
	t.look = func(fd uintptr) { t.err = peek(fd) }
	t.step = func(fd uintptr) (done bool) {
		if t.at == fresh {
			if t.begin(fd); t.at != waiting {
				return true
			}
			if t.kept {
				return false // nothing was there when it was looked, and what comes is told of
			}
		}
		t.n, t.err = again(func() (int, error) { return syscall.Read(int(fd), t.into) })
		return t.err != syscall.EAGAIN
	}
	return nil
}

// isOpen tells whether a connection that nobody uses is still open, without waiting.
func (t *turn) isOpen() bool {
	err := t.raw.Control(t.look)
	return err == nil && t.err == syscall.EAGAIN
}

// take writes ask and reads the first bytes of the answer. Where at is not waiting afterwards,
// it came no further, and ask holds what was not written. Kept is a connection that had a
// request before.
func (t *turn) take(ask, into []byte, kept bool) (int, error) {
	t.at, t.kept, t.ask, t.into, t.n, t.err = fresh, kept, ask, into, 0, nil
	err := t.raw.Read(t.step)
	t.into = nil
	if err == nil && t.err != nil && t.at != hungUp {
		err = os.NewSyscallError(t.at.String(), t.err)
	}
	if err == nil && t.at == waiting && t.n == 0 {
		err = io.EOF
	}
	return max(t.n, 0), err
}

// begin looks and writes. RawConn.Read has made itself ready to hear of what comes by now, and
// has forgotten what came before.
func (t *turn) begin(fd uintptr) {
	if t.kept && peek(fd) != syscall.EAGAIN {
		t.at = hungUp
		return
	}
	t.at = writing
	n, err := again(func() (int, error) { return syscall.Write(int(fd), t.ask) })
	t.ask = t.ask[max(n, 0):]
	switch {
	case err == syscall.EAGAIN: // the server takes no more for now
	case err != nil:
		t.err = err
	case len(t.ask) == 0:
		t.at = waiting
	}
}

// peek returns EAGAIN for a connection that is open and silent. A server may have closed it, or
// sent what nobody asked for; both are there to be read.
func peek(fd uintptr) error {
	var b [1]byte
	_, err := again(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
	return err
}

// again makes a system call that a signal interrupts once more. EWOULDBLOCK is EAGAIN wherever
// Go runs.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}
