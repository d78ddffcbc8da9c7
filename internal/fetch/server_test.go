package fetch

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server answers on real connections as a test says.
type server struct {
	net.Listener
	conns atomic.Int32
	wg    sync.WaitGroup
}

// serve has each connection handled by f, until that returns. N counts them from 1.
func serve(t *testing.T, f func(n int, c net.Conn, in *bufio.Reader)) (*server, *Line) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			s.wg.Go(func() {
				defer c.Close()
				f(n, c, bufio.NewReader(c))
			})
		}
	})
	line := &Line{MaxIdle: 8, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(func() {
		line.CloseIdle()
		l.Close()
		s.wg.Wait()
	})
	return s, line
}

// answering sends each request the same.
func answering(answer string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, in *bufio.Reader) {
		for readHead(in) {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

func readHead(in *bufio.Reader) bool {
	for {
		s, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if s == "\r\n" {
			return true
		}
	}
}

func request(t *testing.T, method string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://app/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "test")
	return r
}

// fetch does one request and reads the whole answer.
func fetch(t *testing.T, l *Line, method string) (status int, body string, err error) {
	t.Helper()
	res, _, err := l.Do(request(t, method), 5*time.Second)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
