package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// breaks is a target that reads what is asked of it, does what after says, and
// hangs up.
func breaks(t *testing.T, after func(conn net.Conn, r *http.Request)) proxy.TargetOptions {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				after(conn, r)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return proxy.TargetOptions{URL: "http://" + l.Addr().String()}
}

// refuses is a target where nobody listens.
func refuses(t *testing.T) proxy.TargetOptions {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return proxy.TargetOptions{URL: "http://" + l.Addr().String()}
}

func TestRetries(t *testing.T) {
	whole := strings.Repeat("body ", 20_000)
	hangUp := func(net.Conn, *http.Request) {}
	readAll := func(_ net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	oneByte := func(conn net.Conn, _ *http.Request) { _, _ = io.WriteString(conn, "H") }
	hint := func(conn net.Conn, _ *http.Request) {
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\n")
	}
	for _, tt := range []struct {
		name   string
		bad    proxy.TargetOptions
		method string
		body   string
		status int
	}{
		{"a GET that nobody took", refuses(t), "GET", "", 200},
		{"a POST that nobody took", refuses(t), "POST", "", 200},
		{"a POST with a body that nobody took", refuses(t), "POST", whole, 200},
		{"a GET that got no byte of an answer", breaks(t, hangUp), "GET", "", 200},
		{"a DELETE that got no byte of an answer", breaks(t, hangUp), "DELETE", "", 200},
		{"a POST that got no byte of an answer", breaks(t, hangUp), "POST", "", 502},
		{"a PATCH that got no byte of an answer", breaks(t, hangUp), "PATCH", "x", 502},
		{"a POST whose body is gone", breaks(t, readAll), "POST", whole, 502},
		{"a PUT whose body is gone", breaks(t, readAll), "PUT", whole, 502},
		{"a GET that got one byte of an answer", breaks(t, oneByte), "GET", "", 502},
		{"a GET that got an early hint", breaks(t, hint), "GET", "", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			good := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if got = string(b); err != nil {
					t.Error(err)
				}
				if r.Header.Get("Authorization") != "Bearer good.token" {
					t.Error("the token is lost on the second way")
				}
			})
			gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Balance: proxy.RoundRobin, Retries: 1,
				Targets: append([]proxy.TargetOptions{tt.bad}, targets(good)...)})
			res := gw.fetch(t, tt.method, "/", strings.NewReader(tt.body))
			if res.StatusCode != tt.status {
				t.Errorf("got %d, want %d: %.300s", res.StatusCode, tt.status, res.body)
			}
			if tt.status == 200 && got != tt.body {
				t.Errorf("the second target got %d bytes of the body, want %d", len(got), len(tt.body))
			}
			if served := good.served.Load(); (served == 1) != (tt.status == 200) {
				t.Errorf("the second target got %d requests", served)
			}
		})
	}
}

func TestRetriesAreCounted(t *testing.T) {
	for retries, want := range map[int]int{0: 502, 1: 502, 2: 200, 5: 200} {
		good := newApp(t, nil)
		all := append([]proxy.TargetOptions{refuses(t), refuses(t)}, targets(good)...)
		gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: all, Balance: proxy.RoundRobin, Retries: retries})
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != want {
			t.Errorf("%d retries past two dead targets: got %d, want %d", retries, got.StatusCode, want)
		}
	}
	gw, _, log := pool(t, alice(nil), proxy.UpstreamOptions{Targets: []proxy.TargetOptions{refuses(t), refuses(t)}, Retries: 5})
	if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 502 {
		t.Errorf("all are dead: got %d, want 502", got.StatusCode)
	}
	if n := strings.Count(log.String(), "goes to another target"); n != 1 {
		t.Errorf("two dead targets: got %d lines of a retry, want 1:\n%s", n, log)
	}
}

// TestSlowAnswersAreNotAskedForTwice: a target that does not answer in time has
// the request, and may be at work on it.
func TestSlowAnswersAreNotAskedForTwice(t *testing.T) {
	slow := newApp(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	quick := newApp(t, nil)
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(slow, quick), Balance: proxy.RoundRobin, Retries: 1, Timeout: 50 * time.Millisecond, EjectAfter: 1})
	if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 504 {
		t.Errorf("got %d, want 504", got.StatusCode)
	}
	if quick.served.Load() != 0 {
		t.Error("it went to the other target as well")
	}
	if way.States()[0].Err == nil {
		t.Error("it is not held against the target")
	}
}

// TestClosedIdleConnections: a target that closes idle connections costs no
// request, even where it does so in the moment when one is sent.
func TestClosedIdleConnections(t *testing.T) {
	quit := func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = buf.Flush()
		time.AfterFunc(time.Millisecond, func() { conn.Close() }) // without having said so
	}
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(newApp(t, quit), newApp(t, quit)), Retries: 1})
	for range 300 {
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
		time.Sleep(time.Duration(900+200*(time.Now().UnixNano()%2)) * time.Microsecond)
	}
}

// TestKeyedPostReachesOneTarget: net/http sends a POST with an Idempotency-Key again
// where its connection breaks. If that finds nobody there, the first target may have
// acted on it all the same.
func TestKeyedPostReachesOneTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		method, key string
		status      int
	}{
		"keyed":             {"POST", "Idempotency-Key", 502},
		"keyed, as before":  {"POST", "X-Idempotency-Key", 502},
		"an idempotent one": {"DELETE", "Idempotency-Key", 200},
	} {
		t.Run(name, func(t *testing.T) {
			var first *app
			var took atomic.Int64
			first = newApp(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					return // the connection stays
				}
				took.Add(1)
				first.kill() // and it, before an answer
			})
			second := newApp(t, nil)
			gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(first, second), Balance: proxy.RoundRobin, Retries: 1})
			way.SetHealth(1, errors.New("not yet"))
			if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
				t.Fatalf("got %d", got.StatusCode)
			}
			way.SetHealth(1, nil)
			for way.Choose("") != "http://"+first.addr { // which moves on by one, as a request would
			}
			way.Choose("")
			got := gw.fetch(t, tt.method, "/", nil, tt.key, "k1")
			if got.StatusCode != tt.status || took.Load() != 1 || (second.served.Load() > 0) != (tt.status == 200) {
				t.Errorf("got %d; the first target took it %d times, the second %d", got.StatusCode, took.Load(), second.served.Load())
			}
		})
	}
}
