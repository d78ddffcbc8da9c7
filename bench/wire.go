package main

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire carries connections to a server, and counts how often whoever connects says
// something after the server did: round trips, however many commands go in one. It can
// make the server a distant one.
type wire struct {
	to    string
	l     net.Listener
	trips atomic.Int64
	delay atomic.Int64 // of each answer, in ns
	wg    sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newWire(to string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("a port for the wire that counts: %w", err)
	}
	w := &wire{to: to, l: l}
	w.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(near) })
		}
	})
	return w, nil
}

func (w *wire) carry(near net.Conn) {
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = near.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, near, far)
	w.mu.Unlock()
	var asked atomic.Bool // and not answered yet
	copying := func(from, to net.Conn, passes func()) {
		defer from.Close()
		defer to.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if n > 0 {
				passes()
				if _, err := to.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	w.wg.Go(func() {
		copying(far, near, func() {
			time.Sleep(time.Duration(w.delay.Load()))
			asked.Store(false)
		})
	})
	copying(near, far, func() {
		if !asked.Swap(true) {
			w.trips.Add(1)
		}
	})
}

// Address is where it takes connections.
func (w *wire) Address() string { return w.l.Addr().String() }

// Trips is how many round trips there were so far, on all connections.
func (w *wire) Trips() int64 { return w.trips.Load() }

// Delay has each answer come so much later.
func (w *wire) Delay(d time.Duration) { w.delay.Store(int64(d)) }

// Close cuts all connections, and waits for what carried them.
func (w *wire) Close() {
	_ = w.l.Close()
	w.mu.Lock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
