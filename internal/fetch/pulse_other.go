//go:build !unix

package fetch

import (
	"errors"
	"net"
)

// Here says whether there are Lines on this system.
const Here = false

type pulse struct{}

func (*pulse) of(net.Conn) error { return errors.New("there are no lines on this system") }
func (*pulse) beats() bool       { return false }
