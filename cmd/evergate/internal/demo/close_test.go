package demo_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/cmd/evergate/internal/demo"
)

// closes fails the test if the app takes longer than limit to close.
func closes(t *testing.T, app *demo.App, limit time.Duration) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- app.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(limit):
		t.Fatalf("Close still waits after %v", limit)
	}
}

// Close waits for every request, so it returns only when none is left.
func TestCloseEndsWhatIsOpen(t *testing.T) {
	app := demo.NewApp(demo.Options{Tick: 5 * time.Millisecond})
	url, err := app.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.Get(url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	conn, _, err := dial(t, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	slow := make(chan int, 1)
	go func() {
		defer close(slow)
		if resp, err := http.Get(url + "/slow?ms=60000"); err == nil {
			resp.Body.Close()
			slow <- resp.StatusCode
		}
	}()
	goodbye := make(chan error, 1)
	go func() {
		for {
			if _, _, err := conn.Read(t.Context()); err != nil {
				goodbye <- err
				return
			}
		}
	}()
	waitFor(t, func() bool { return requests(t, url) >= 3 }) // the stream, the socket, this call

	closes(t, app, 5*time.Second)
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream was cut, not ended: %v", err)
	}
	if got, want := websocket.CloseStatus(<-goodbye), websocket.StatusGoingAway; got != want {
		t.Errorf("the WebSocket's close status: got %v, want %v", got, want)
	}
	if got, ok := <-slow; ok && got != http.StatusServiceUnavailable {
		t.Errorf("the slow answer: got %d, want 503 or none", got)
	}
	if _, err := http.Get(url + "/"); err == nil {
		t.Error("the app still answers after Close")
	}
}

func TestCloseDoesNotWaitForClientsThatStall(t *testing.T) {
	for _, row := range []struct{ what, request string }{
		{"a form that never comes", "POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"},
		{"an answer that is never read", "GET /big?mb=1024 HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"a stream that is never read", "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"a WebSocket that is never read", "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			app := demo.NewApp(demo.Options{Tick: 10 * time.Microsecond})
			srv := httptest.NewServer(app) // does not close its connections before the app does
			conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			defer conn.Close()
			if _, err := io.WriteString(conn, row.request); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // let the buffers fill
			closes(t, app, 5*time.Second)
		})
	}
}

func TestAfterCloseNothingStarts(t *testing.T) {
	app := demo.NewApp(demo.Options{})
	for range 2 { // the second does no harm
		if err := app.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := app.Start("127.0.0.1:0"); err == nil {
		t.Error("Start after Close: got no error")
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a request after Close: got %d, want 503", w.Code)
	}
}

func TestStartListensOnLoopbackOnly(t *testing.T) {
	for _, row := range []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1:0", true}, {"localhost:0", true},
		{":0", false}, {"0.0.0.0:0", false}, {"[::]:0", false}, {"192.0.2.1:0", false}, {"127.0.0.1", false}, {"example.com:0", false},
	} {
		app := demo.NewApp(demo.Options{})
		url, err := app.Start(row.addr)
		if (err == nil) != row.ok {
			t.Errorf("Start(%q): got %q, %v, want it to work: %t", row.addr, url, err, row.ok)
		}
		if _, err := app.Start(row.addr); row.ok && err == nil {
			t.Errorf("a second Start(%q): got no error", row.addr)
		}
		closes(t, app, 5*time.Second)
	}
}

// requests is how many requests of nobody the app has seen.
func requests(t *testing.T, url string) int {
	t.Helper()
	return askNow(t, url).Requests
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for range 500 {
		if ready() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not come about within 5 s")
}
