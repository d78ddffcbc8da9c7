package web_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// logBook is a log that tests read line by line.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) lines(t *testing.T) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(b.buf.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		out = append(out, m)
	}
	return out
}

// access waits for the one access line: a client has its answer before the
// handler has returned.
func (b *logBook) access(t *testing.T) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var found []map[string]any
		for _, l := range b.lines(t) {
			if l["msg"] == "request" {
				found = append(found, l)
			}
		}
		if len(found) > 1 {
			t.Fatalf("got %d access lines, want one: %v", len(found), found)
		}
		if len(found) == 1 {
			return found[0]
		}
	}
	t.Fatal("got no access line within 20 s")
	return nil
}

// serve runs next behind web.Serve on a real server.
func serve(t *testing.T, next http.HandlerFunc) (*httptest.Server, *logBook) {
	t.Helper()
	book := &logBook{}
	srv := httptest.NewUnstartedServer(web.Serve(next, web.Options{Log: slog.New(slog.NewJSONHandler(book, nil))}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv, book
}

func get(t *testing.T, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func expect(t *testing.T, line map[string]any, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if line[key] != value {
			t.Errorf("%s: got %v, want %v in %v", key, line[key], value, line)
		}
	}
}

func TestAccessLine(t *testing.T) {
	srv, book := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := web.NoteOf(r.Context())
		n.Route, n.Subject, n.Session, n.Decision, n.Upstream = "wiki", "alice", "S1", "allowed", 2500*time.Microsecond
		r.URL.Path = "/rewritten"
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-Request-Id", "the upstream's own")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "hello")
	})
	res, _ := get(t, srv.URL+"/a%20b/c?token=secret", headers("X-Request-Id", "chosen-by-client"))
	line := book.access(t)
	id := res.Header.Values("X-Request-Id")
	if len(id) != 1 || len(id[0]) < 20 || id[0] == "chosen-by-client" {
		t.Errorf("X-Request-Id: got %q, want one of our own", id)
	}
	expect(t, line, map[string]any{"level": "INFO", "request_id": id[0], "client": "127.0.0.1", "method": "GET", "path": "/a%20b/c",
		"host": strings.TrimPrefix(srv.URL, "http://"), "route": "wiki", "subject": "alice", "session": "S1", "decision": "allowed",
		"status": 418.0, "bytes": 5.0, "upstream_ms": 2.5})
	if _, ok := line["dur_ms"].(float64); !ok {
		t.Errorf("got no dur_ms in %v", line)
	}
	if strings.Contains(book.buf.String(), "secret") || strings.Contains(book.buf.String(), "chosen-by-client") {
		t.Errorf("the log holds the query or a stranger's id: %s", book.buf.String())
	}
}

func TestAccessLineOfASilentHandler(t *testing.T) {
	srv, book := serve(t, func(http.ResponseWriter, *http.Request) {})
	if res, _ := get(t, srv.URL, nil); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
	expect(t, book.access(t), map[string]any{"status": 200.0, "bytes": 0.0, "level": "INFO"})
}

func TestErrorIsInTheLine(t *testing.T) {
	srv, book := serve(t, web.Handler(func(http.ResponseWriter, *http.Request) error {
		return &web.Error{Status: 502, Err: errors.New("dial tcp: refused")}
	}).ServeHTTP)
	get(t, srv.URL, nil)
	expect(t, book.access(t), map[string]any{"status": 502.0, "level": "WARN", "err": "502 Bad Gateway: dial tcp: refused"})
}

func TestPanic(t *testing.T) {
	srv, book := serve(t, func(http.ResponseWriter, *http.Request) { panic("ouch") })
	res, body := get(t, srv.URL, headers("Accept", "text/html"))
	if res.StatusCode != 500 || !strings.Contains(body, "Something went wrong here") || !strings.Contains(body, res.Header.Get("X-Request-Id")) {
		t.Errorf("got %d %s, want a 500 page with the request id", res.StatusCode, body)
	}
	if strings.Contains(body, "ouch") || strings.Contains(body, "goroutine") {
		t.Errorf("the panic reaches the user: %s", body)
	}
	expect(t, book.access(t), map[string]any{"status": 500.0})
	var traces int
	for _, l := range book.lines(t) {
		if l["level"] == "ERROR" {
			traces++
			expect(t, l, map[string]any{"panic": "ouch", "request_id": res.Header.Get("X-Request-Id")})
			if stack, _ := l["stack"].(string); !strings.Contains(stack, "serve_test.go") {
				t.Errorf("the trace does not show where: %v", l["stack"])
			}
		}
	}
	if traces != 1 {
		t.Errorf("got %d error lines, want one", traces)
	}
}

func TestPanicInMidAnswerCutsTheConnection(t *testing.T) {
	for _, c := range []struct {
		name   string
		value  any
		errors int
	}{
		{"a panic", "ouch", 1},
		{"http.ErrAbortHandler, which is how a proxy passes on a broken answer", http.ErrAbortHandler, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, book := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic(c.value)
			})
			res, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("got a whole answer %q, want it cut", body)
			}
			expect(t, book.access(t), map[string]any{"status": 200.0, "bytes": 4.0, "level": "WARN"})
			var n int
			for _, l := range book.lines(t) {
				if l["level"] == "ERROR" {
					n++
				}
			}
			if n != c.errors {
				t.Errorf("got %d error lines, want %d", n, c.errors)
			}
		})
	}
}

// leave sends a request and hangs up once the server has sent what until names.
func leave(t *testing.T, srv *httptest.Server, until string) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if until == "" {
		return
	}
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Errorf("got %v before %q", err, until)
			return
		}
		if strings.Contains(line, until) {
			return
		}
	}
}

func TestClientThatGoesAway(t *testing.T) {
	t.Run("before the answer: 499 and no error, whatever the handler makes of it", func(t *testing.T) {
		srv, book := serve(t, web.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return &web.Error{Status: 502, Err: r.Context().Err()}
		}).ServeHTTP)
		leave(t, srv, "")
		line := book.access(t)
		expect(t, line, map[string]any{"status": 499.0, "level": "INFO"})
		if line["err"] != nil {
			t.Errorf("got err %v, want none", line["err"])
		}
	})
	t.Run("in the middle of an answer: 499", func(t *testing.T) {
		srv, book := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "begin\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})
		leave(t, srv, "begin")
		expect(t, book.access(t), map[string]any{"status": 499.0, "level": "INFO", "err": nil})
	})
	t.Run("an event stream has no other end: 200", func(t *testing.T) {
		srv, book := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: begin\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		leave(t, srv, "begin")
		expect(t, book.access(t), map[string]any{"status": 200.0, "level": "INFO", "err": nil})
	})
}

func TestUpgradeIsLoggedAtItsEnd(t *testing.T) {
	release := make(chan struct{})
	srv, book := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		<-release
	})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v %v", res, err)
	}
	if got := book.lines(t); len(got) != 0 {
		t.Errorf("got %v while the connection is open, want nothing yet", got)
	}
	close(release)
	expect(t, book.access(t), map[string]any{"status": 101.0, "level": "INFO"})
}

func TestNoteOutsideOfServe(t *testing.T) {
	n := web.NoteOf(t.Context())
	if n == nil || n.ID == "" {
		t.Fatalf("got %v, want a fresh note with an id", n)
	}
	if web.NoteOf(t.Context()).ID == n.ID {
		t.Error("got the same id twice")
	}
}

func TestLongNamesAreClippedInTheLog(t *testing.T) {
	srv, book := serve(t, func(http.ResponseWriter, *http.Request) {})
	get(t, srv.URL+"/"+strings.Repeat("a", 5000), nil)
	if got := book.access(t)["path"].(string); len(got) > 1100 {
		t.Errorf("got a path of %d bytes in the log", len(got))
	}
}
