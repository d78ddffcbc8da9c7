package fetch

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

func idleOf(l *Line) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}

// What is kept is bounded in number and in time, and what the server closes is let go of.
func TestIdle(t *testing.T) {
	both := make(chan struct{}, 3)
	goOn := make(chan struct{})
	_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		for readHead(in) {
			both <- struct{}{}
			<-goOn
			_, _ = io.WriteString(c, hello)
		}
	})
	line.MaxIdle, line.IdleTimeout = 2, 2*time.Second
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, _, err := fetch(t, line, "GET"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		<-both
	}
	close(goOn)
	wg.Wait()
	if got := idleOf(line); got != 2 {
		t.Errorf("got %d kept connections, want 2", got)
	}
	for range 1000 {
		if idleOf(line) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := idleOf(line); got != 0 {
		t.Errorf("got %d kept connections after their time, want 0", got)
	}
	line.mu.Lock()
	if line.sweeper != nil {
		t.Error("the sweeper goes on with nothing left to look at")
	}
	line.mu.Unlock()
}

func TestSweepFindsClosed(t *testing.T) {
	_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		readHead(in)
		_, _ = io.WriteString(c, hello)
	})
	if _, _, err := fetch(t, line, "GET"); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		line.sweep()
		if idleOf(line) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a connection that the server closed is kept")
}

// After CloseIdle a request has a connection of its own, and one that was under way does not
// bring its connection back.
func TestCloseIdle(t *testing.T) {
	goOn := make(chan struct{}, 3)
	s, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		for readHead(in) {
			<-goOn
			_, _ = io.WriteString(c, hello)
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := fetch(t, line, "GET"); err != nil {
			t.Error(err)
		}
	})
	for s.conns.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	line.CloseIdle()
	goOn <- struct{}{}
	wg.Wait()
	if got := idleOf(line); got != 0 {
		t.Errorf("got %d kept connections, want 0", got)
	}
	goOn <- struct{}{}
	if _, _, err := fetch(t, line, "GET"); err != nil || s.conns.Load() != 2 {
		t.Errorf("got %v and %d connections, want 2", err, s.conns.Load())
	}
}
