package door_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// counting is a listener that counts what is asked of its connections.
type counting struct {
	net.Listener
	reads, deadlines atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c.(*net.TCPConn), l}, nil
}

type countedConn struct {
	*net.TCPConn
	by *counting
}

func (c *countedConn) Read(p []byte) (int, error) {
	c.by.reads.Add(1)
	return c.TCPConn.Read(p)
}

func (c *countedConn) SetReadDeadline(t time.Time) error {
	c.by.deadlines.Add(1)
	return c.TCPConn.SetReadDeadline(t)
}

func (c *countedConn) SetWriteDeadline(t time.Time) error {
	c.by.deadlines.Add(1)
	return c.TCPConn.SetWriteDeadline(t)
}

// TestQuickRequestsAreSpared what only slow ones need: each is read once, and deadlines are as
// good as never set. A request that goes on is watched, even where nobody comes by any more.
func TestQuickRequestsAreSpared(t *testing.T) {
	l := &counting{Listener: listen(t)}
	spared, end := door.Spare(l, 500*time.Millisecond)
	gone := make(chan bool)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				<-r.Context().Done()
				gone <- true
			}
		})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(spared) }()
	c := dial(t, l.Addr().String())
	in := bufio.NewReader(c)
	const requests = 500
	for range requests {
		askOver(t, c, in, "/")
	}
	// A machine that is busy may hold a request up for longer than a round.
	if reads := l.reads.Load(); reads > requests+50 {
		t.Errorf("%d requests: got %d reads, want one each", requests, reads)
	}
	if deadlines := l.deadlines.Load(); deadlines > 50 {
		t.Errorf("%d requests: got %d deadlines, want a few", requests, deadlines)
	}
	for _, before := range []func(){func() {}, end} {
		c := dial(t, l.Addr().String())
		_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: gate.example\r\n\r\n")
		time.Sleep(5 * time.Millisecond)
		before()
		_ = c.Close()
		<-gone
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != http.ErrServerClosed {
		t.Error(err)
	}
}

// TestManyClients come, go and stay away, all at once: no request is lost to another's end.
func TestManyClients(t *testing.T) {
	s := serve(t, door.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var wait time.Duration
		_, _ = fmt.Sscan(r.URL.RawQuery, &wait)
		select {
		case <-r.Context().Done():
		case <-time.After(wait):
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			var c net.Conn
			var in *bufio.Reader
			defer func() {
				if c != nil {
					_ = c.Close()
				}
			}()
			for j := range 25 {
				if c == nil {
					var err error
					if c, err = net.Dial("tcp", s.front); err != nil {
						t.Error(err)
						return
					}
					in = bufio.NewReader(c)
				}
				wait := []int64{0, 0, 1e6, 19e6, 21e6, 41e6}[(i+j)%6]
				path := fmt.Sprintf("/%d/%d", i, j)
				_, _ = fmt.Fprintf(c, "GET %s?%d HTTP/1.1\r\nHost: gate.example\r\n\r\n", path, wait)
				if (i+j)%11 == 10 { // it goes away
					_ = c.Close()
					c = nil
					continue
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != path {
					t.Errorf("got %q, %v, want %q", body, err, path)
				}
			}
		})
	}
	wg.Wait()
}
