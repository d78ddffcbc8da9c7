//go:build !unix

package fetch

import (
	"errors"
	"net"
)

// Here says whether there are Lines on this system.
const Here = false

var errNotHere = errors.New("there are no lines on this system")

type turn struct {
	at  stage
	ask []byte
}

func (*turn) of(net.Conn) error                     { return errNotHere }
func (*turn) isOpen() bool                          { return false }
func (*turn) take(_, _ []byte, _ bool) (int, error) { return 0, errNotHere }
