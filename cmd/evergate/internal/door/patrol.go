package door

import (
	"net"
	"slices"
	"sync"
	"time"
)

// patrolEvery is how often the patrol goes round. A client that goes away in the middle of a
// request is noticed after twice that at the latest, as soon as it goes from then on.
const patrolEvery = 20 * time.Millisecond

// patrol goes by connections that hold a read back, for as long as there are some.
type patrol struct {
	every time.Duration

	mu    sync.Mutex // guards what follows; taken before that of a connection
	conns []*thrifty
	timer *time.Timer // runs while there are conns
	ended bool
}

// add has the patrol come by c. Where there is no patrol any more c is let go at once.
func (p *patrol) add(c *thrifty) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.mu.Lock()
		c.listed = false
		c.letGo(nil)
		c.mu.Unlock()
		return
	}
	p.conns = append(p.conns, c)
	switch {
	case len(p.conns) > 1:
	case p.timer == nil:
		p.timer = time.AfterFunc(p.every, p.round)
	default:
		p.timer.Reset(p.every)
	}
}

func (p *patrol) round() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.conns = slices.DeleteFunc(p.conns, func(c *thrifty) bool { return !c.look() })
	if len(p.conns) > 0 {
		p.timer.Reset(p.every)
	}
}

// end ends the patrol, and waits for a round under way. Reads are not held from then on.
func (p *patrol) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, c := range p.conns {
		for c.look() {
		}
	}
	p.conns = nil
}

// sparing makes thrifty connections of those that it accepts. One that a proxy speaks on for
// others has a reader of its own in between, and stays as it is.
type sparing struct {
	net.Listener
	patrol *patrol
}

// Accept implements net.Listener.
func (l *sparing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case *net.TCPConn:
		return l.patrol.thrifty(c), nil
	case *counted:
		return l.patrol.thrifty(c), nil
	}
	return c, nil
}

func (p *patrol) thrifty(c wire) *thrifty {
	return &thrifty{wire: c, patrol: p, goOn: make(chan error, 1)}
}
