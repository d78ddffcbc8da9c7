package door

import (
	"net"
	"net/http"
	"sync"
)

// stoppable is a listener that takes nothing new from stop on. Whoever serves on it
// notices nothing until Close: what is open is served on.
type stoppable struct {
	net.Listener
	stopped, closed chan struct{}
	once, last      sync.Once
}

func newStoppable(l net.Listener) *stoppable {
	return &stoppable{Listener: l, stopped: make(chan struct{}), closed: make(chan struct{})}
}

func (l *stoppable) stop() (err error) {
	l.once.Do(func() {
		close(l.stopped)
		err = l.Listener.Close()
	})
	return err
}

// Accept implements net.Listener.
func (l *stoppable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		select {
		case <-l.stopped:
			<-l.closed
		default:
		}
	}
	return c, err
}

// Close implements net.Listener.
func (l *stoppable) Close() error {
	l.last.Do(func() { close(l.closed) })
	return l.stop()
}

// Stop takes no new connection. Those that are open are served on, also with further
// requests, until Shutdown. Where another process has the sockets too, what comes waits
// for it; else it is refused.
func (d *Door) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.listeners {
		_ = l.stop()
	}
}

// Open is how many connections there are, without those that changed their protocol.
func (d *Door) Open() int { return int(d.open.Load()) }

func (d *Door) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	}
}
