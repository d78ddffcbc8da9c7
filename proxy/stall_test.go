package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// impatient is a gateway of one target that serves one request at a time, over HTTP/1
// and, by TLS, HTTP/2.
func impatient(t *testing.T, patience time.Duration, o proxy.UpstreamOptions) (plain, secure *httptest.Server) {
	t.Helper()
	o.Connections, o.QueueTime = 1, time.Minute
	gate := web.Serve(&proxy.Gate{Auth: alice(nil), StallTimeout: patience,
		Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true}, Upstream: newWay(t, o)})}, web.Options{})
	plain = httptest.NewServer(gate)
	t.Cleanup(plain.Close)
	secure = httptest.NewUnstartedServer(gate)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	return plain, secure
}

// hasRoom asks once more, where the only place is taken until somebody is cut off.
func hasRoom(t *testing.T, gw *httptest.Server) {
	t.Helper()
	res, err := gw.Client().Get(gw.URL + "/quick")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("got %d, want the place free again", res.StatusCode)
	}
}

// TestReaderThatStands holds no place at the target for ever.
func TestReaderThatStands(t *testing.T) {
	ended := make(chan struct{}, 4)
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			defer func() { ended <- struct{}{} }()
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/ws":
			defer func() { ended <- struct{}{} }()
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, handshake)
			for {
				if _, err := io.WriteString(conn, "\x82\x7e\xff\xff"+strings.Repeat("a", 65535)); err != nil {
					return
				}
			}
		}
	})
	plain, secure := impatient(t, 300*time.Millisecond, proxy.UpstreamOptions{Target: app.url()})
	t.Run("HTTP/1", func(t *testing.T) {
		conn, err := net.Dial("tcp", plain.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, request("GET", "/endless"))
		<-ended
		hasRoom(t, plain)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		res, err := secure.Client().Get(secure.URL + "/endless")
		if err != nil || res.ProtoMajor != 2 {
			t.Fatal(res, err)
		}
		defer res.Body.Close()
		<-ended
		hasRoom(t, secure) // on the same connection, which is whole
	})
	t.Run("WebSocket", func(t *testing.T) {
		conn, err := net.Dial("tcp", plain.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, request("GET", "/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
		<-ended
		hasRoom(t, plain)
	})
}

// TestSenderThatStands: half a body and nothing more.
func TestSenderThatStands(t *testing.T) {
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	plain, secure := impatient(t, 300*time.Millisecond, proxy.UpstreamOptions{Target: app.url()})
	for name, gw := range map[string]*httptest.Server{"HTTP/1": plain, "HTTP/2": secure} {
		t.Run(name, func(t *testing.T) {
			body, sent := io.Pipe()
			defer sent.Close()
			go func() { _, _ = io.WriteString(sent, "half") }()
			res, err := gw.Client().Post(gw.URL+"/x", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "request_too_slow") {
				t.Errorf("got %d %s, want 408", res.StatusCode, text)
			}
			hasRoom(t, gw)
		})
	}
}

// TestBodyThatIsLate: the bound for a body as a whole is told over HTTP/1 as well.
func TestBodyThatIsLate(t *testing.T) {
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	gw := httptest.NewServer(web.Serve(&proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true},
		Upstream: newWay(t, proxy.UpstreamOptions{Target: app.url()})})}, web.Options{RequestTimeout: 300 * time.Millisecond}))
	defer gw.Close()
	body, sent := io.Pipe()
	defer sent.Close()
	go func() { _, _ = io.WriteString(sent, "half") }()
	res, err := http.Post(gw.URL+"/x", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %d, want 408", res.StatusCode)
	}
}

// TestWhatMovesIsNotCut: slowly in either direction, a call whose client has nothing to
// say for a while, and an answer that has nothing to say for a while.
func TestWhatMovesIsNotCut(t *testing.T) {
	t.Parallel() // it waits
	const patience = 3 * time.Second
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.URL.Path == "/speak" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * patience)
		}
		_, _ = io.Copy(w, r.Body)
	})
	plain, _ := impatient(t, patience, proxy.UpstreamOptions{Target: app.url()})
	for _, c := range []struct {
		name, path, kind string
		pause            time.Duration
		times            int
	}{
		{"little by little", "/x", "text/plain", patience / 10, 15},
		{"a gRPC call that rests", "/x", "application/grpc", 2 * patience, 1},
		{"an answer that has begun", "/speak", "text/plain", 3 * patience / 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, sent := io.Pipe()
			go func() {
				_, _ = io.WriteString(sent, "<")
				for range c.times {
					time.Sleep(c.pause)
					_, _ = io.WriteString(sent, "x")
				}
				_, _ = io.WriteString(sent, ">")
				_ = sent.Close()
			}()
			res, err := http.Post(plain.URL+c.path, c.kind, body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if want := "<" + strings.Repeat("x", c.times) + ">"; res.StatusCode != 200 || string(got) != want || err != nil {
				t.Errorf("got %d %q, %v, want %s", res.StatusCode, got, err, want)
			}
		})
	}
	t.Run("a reader that is slow", func(t *testing.T) {
		whole := strings.Repeat("body", 4<<20)
		res, err := http.Post(plain.URL+"/x", "text/plain", strings.NewReader(whole))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n, chunk := 0, make([]byte, 1<<20)
		for {
			time.Sleep(patience / 10)
			k, err := io.ReadFull(res.Body, chunk)
			if n += k; err != nil {
				break
			}
		}
		if n != len(whole) {
			t.Errorf("got %d bytes, want %d", n, len(whole))
		}
	})
}

// TestTargetThatTakesNoBody: the client has sent it, and could not be seen to go away
// meanwhile.
func TestTargetThatTakesNoBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hold := make(chan struct{})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil && r.Method == "GET" {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
				<-hold
			}()
		}
	}()
	defer close(hold)
	plain, _ := impatient(t, time.Minute, proxy.UpstreamOptions{Target: "http://" + l.Addr().String(), Timeout: 2 * time.Second})
	res, err := http.Post(plain.URL+"/x", "text/plain", io.LimitReader(endless{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(text), "upstream_timeout") {
		t.Errorf("got %d %s, want 504", res.StatusCode, text)
	}
	hasRoom(t, plain)
}

// endless is an upload that goes on.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
