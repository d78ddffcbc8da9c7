package door

import (
	"net"
	"time"
)

// For tests: when things are told and tried again.
var (
	EndsSoon   = endsSoon
	RetryAfter = retryAfter
	Patience   = patience
	Hasten     = hasten
)

// Spare is a listener whose connections are thrifty, whatever kind they are; end ends its patrol,
// which goes round so often.
func Spare(l net.Listener, every time.Duration) (spared net.Listener, end func()) {
	p := &patrol{every: every}
	return &spare{l, p}, p.end
}

type spare struct {
	net.Listener
	patrol *patrol
}

func (l *spare) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.patrol.thrifty(c.(wire)), nil
}
