package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// Which answers leave their connection good for the next request.
func TestKeep(t *testing.T) {
	for _, tt := range []struct {
		name, method, answer, body string
		status, conns              int
	}{
		{"known length", "GET", hello, "hello", 200, 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello", 200, 1},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 200, 1},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, 1},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, 1},
		{"interim answers", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + hello, "hello", 200, 1},
		{"longer than a buffer", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100000), strings.Repeat("a", 100000), 200, 1},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, 3},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, 3},
		{"more than was asked for", "GET", hello + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "hello", 200, 3},
		{"a change of protocols", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "", 101, 3},
		{"a body behind HEAD", "HEAD", hello, "", 200, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, line := serve(t, answering(tt.answer))
			for range 3 {
				status, body, err := fetch(t, line, tt.method)
				if status != tt.status || body != tt.body || err != nil {
					t.Fatalf("got %d, %d bytes, %v, want %d, %d bytes", status, len(body), err, tt.status, len(tt.body))
				}
				time.Sleep(5 * time.Millisecond) // what else the server says arrives
			}
			if got := int(s.conns.Load()); got != tt.conns {
				t.Errorf("got %d connections, want %d", got, tt.conns)
			}
		})
	}
}

// What a server says of itself before it is asked again is nobody's answer.
func TestUnasked(t *testing.T) {
	said := make(chan struct{})
	s, line := serve(t, func(n int, c net.Conn, in *bufio.Reader) {
		for readHead(in) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			if n == 1 {
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				close(said)
			}
		}
	})
	if _, body, err := fetch(t, line, "GET"); body != "1" || err != nil {
		t.Fatalf("got %q, %v", body, err)
	}
	<-said
	time.Sleep(5 * time.Millisecond)
	if _, body, err := fetch(t, line, "GET"); body != "2" || err != nil {
		t.Errorf("got %q, %v, want the answer of a new connection", body, err)
	}
	if got := s.conns.Load(); got != 2 {
		t.Errorf("got %d connections, want 2", got)
	}
}

// A connection that was kept and closes under a request is made up for; a new one is not.
func TestStale(t *testing.T) {
	_, line := serve(t, func(n int, c net.Conn, in *bufio.Reader) {
		if !readHead(in) {
			return
		}
		_, _ = io.WriteString(c, hello)
		if n < 3 && readHead(in) { // it closes once it has the second request
			return
		}
		readHead(in)
	})
	if _, _, err := fetch(t, line, "GET"); err != nil {
		t.Fatal(err)
	}
	res, p, err := line.Do(request(t, "GET"), time.Second)
	if err != nil {
		t.Fatalf("a connection that closed under it: %v", err)
	}
	res.Body.Close()
	if want := (Progress{Asked: true, Connected: true, Wrote: true, Answered: true, Before: true}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}

	_, shut := serve(t, func(_ int, c net.Conn, in *bufio.Reader) { readHead(in) })
	_, p, err = shut.Do(request(t, "GET"), time.Second)
	if want := (Progress{Asked: true, Connected: true, Wrote: true}); !errors.Is(err, io.ErrUnexpectedEOF) || p != want {
		t.Errorf("a server that never answers: got %v, %+v, want %v, %+v", err, p, io.ErrUnexpectedEOF, want)
	}
}

func TestErrors(t *testing.T) {
	silent := func(_ int, c net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }
	_, line := serve(t, silent)
	const bound = time.Second
	_, p, err := line.Do(request(t, "GET"), bound)
	if e, ok := errors.AsType[*TimeoutError](err); !ok || e.After != bound || !isTimeout(err) || !p.Wrote || p.Answered {
		t.Errorf("a server that is silent: got %v, %+v", err, p)
	}
	_, half := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConte")
		_, _ = io.Copy(io.Discard, in)
	})
	_, p, err = half.Do(request(t, "GET"), bound)
	if !isTimeout(err) || !p.Answered {
		t.Errorf("half a header: got %v, %+v", err, p)
	}
	_, long := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for err := error(nil); err == nil; {
			_, err = io.WriteString(c, "X-Long: "+strings.Repeat("a", 1000)+"\r\n")
		}
	})
	long.MaxHeader = 64 << 10
	if _, _, err = fetch(t, long, "GET"); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a header without end: got %v", err)
	}
	_, hints := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		for err := error(nil); err == nil; {
			_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		}
	})
	if _, _, err = fetch(t, hints, "GET"); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("interim answers without end: got %v", err)
	}
	_, bad := serve(t, answering("SSH-2.0-x\r\n\r\n"))
	if _, _, err = fetch(t, bad, "GET"); err == nil || isTimeout(err) {
		t.Errorf("a server that speaks something else: got %v", err)
	}
	nobody := &Line{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is there") }}
	if _, p, err = nobody.Do(request(t, "GET"), 0); err == nil || p != (Progress{Asked: true}) {
		t.Errorf("a server that is not there: got %v, %+v", err, p)
	}
	if _, p, err = nobody.Do(request(t, "POST"), 0); err != ErrNotTaken || p != (Progress{}) {
		t.Errorf("POST: got %v, %+v", err, p)
	}
}

// Who goes away frees what waits, wherever that is.
func TestCancel(t *testing.T) {
	cause := errors.New("the client went away")
	for _, tt := range []struct{ name, answer string }{{"header", ""}, {"body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"}} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			goAway := func() { time.AfterFunc(30*time.Millisecond, func() { cancel(cause) }) }
			closed := make(chan struct{})
			_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
				readHead(in)
				if tt.answer == "" {
					goAway()
				}
				_, _ = io.WriteString(c, tt.answer)
				_, _ = io.Copy(io.Discard, in)
				close(closed)
			})
			res, _, err := line.Do(request(t, "GET").WithContext(ctx), 0)
			if err == nil {
				if _, err := io.ReadFull(res.Body, make([]byte, 2)); err != nil {
					t.Error(err)
				}
				goAway()
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err != cause {
				t.Errorf("got %v, want %v", err, cause)
			}
			<-closed
		})
	}
}

// A body that is let go of half read takes its connection with it.
func TestAbandoned(t *testing.T) {
	s, line := serve(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	for range 3 {
		res, _, err := line.Do(request(t, "GET"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = res.Body.Read(make([]byte, 2))
		res.Body.Close()
		res.Body.Close()
	}
	if got := s.conns.Load(); got != 3 {
		t.Errorf("got %d connections, want 3", got)
	}
}

// A body may take longer than the header.
func TestSlowBody(t *testing.T) {
	_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
		for readHead(in) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(c, "llo")
		}
	})
	for range 2 {
		res, _, err := line.Do(request(t, "GET"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if string(body) != "hello" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
	}
}

func TestInterim(t *testing.T) {
	_, line := serve(t, answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+hello))
	var heard []string
	refused := errors.New("not this one")
	for _, want := range []error{nil, refused} {
		req := request(t, "GET")
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				heard = append(heard, fmt.Sprint(code, h["Link"]))
				return want
			},
		}))
		res, _, err := line.Do(req, time.Second)
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
		if err == nil {
			res.Body.Close()
		}
	}
	if len(heard) != 2 || heard[0] != "103 [</a>]" {
		t.Errorf("got %q", heard)
	}
}
