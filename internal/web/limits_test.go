package web_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

func noted(to **web.Note) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *to = web.NoteOf(r.Context()) })
}

func TestTooManyHeaders(t *testing.T) {
	h := web.Serve(web.LimitHeaders(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }), 30), web.Options{})
	for _, c := range []struct {
		name           string
		names, repeats int
		want           int
	}{
		{"as many as may be", 30, 1, 200},
		{"one more", 31, 1, 431},
		{"one name, many lines", 1, 31, 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			for i := range c.names {
				for range c.repeats {
					r.Header.Add(fmt.Sprintf("X-N%d", i), "v")
				}
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != c.want || (c.want == 431) != strings.Contains(rec.Body.String(), `"code":"too_many_headers"`) {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, c.want)
			}
		})
	}
}

func TestHSTS(t *testing.T) {
	// The app says something of its own, which must not stand beside it.
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Strict-Transport-Security", "max-age=0")
		_, _ = io.WriteString(w, "app")
	})
	for _, c := range []struct {
		name string
		hsts time.Duration
		tls  bool
		peer string
		want string
	}{
		{"over https", 365 * 24 * time.Hour, true, "192.0.2.1:1", "max-age=31536000"},
		{"over http nothing is added", 365 * 24 * time.Hour, false, "192.0.2.1:1", "max-age=0"},
		{"a trusted proxy says that it was https", 365 * 24 * time.Hour, false, "10.0.0.1:1", "max-age=31536000"},
		{"off: what the app says", 0, true, "10.0.0.1:1", "max-age=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			if r.TLS = nil; c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			r.RemoteAddr = c.peer
			r.Header.Set("X-Forwarded-Proto", "https")
			rec := httptest.NewRecorder()
			web.Serve(app, web.Options{HSTS: c.hsts, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}).ServeHTTP(rec, r)
			if got := strings.Join(rec.Header().Values("Strict-Transport-Security"), " | "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestRequestTimeout: a body that drips in is cut at the limit, and the reader's
// failure, which looks like one of the app, is told as what it is.
func TestRequestTimeout(t *testing.T) {
	srv := httptest.NewServer(web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer web.TakeBody(r.Context())()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			web.Respond(w, r, &web.Error{Status: http.StatusBadGateway, Err: err})
			return
		}
		_, _ = io.WriteString(w, "all of it")
	}), web.Options{RequestTimeout: 2 * time.Second}))
	defer srv.Close()
	send := func(pause time.Duration) (*http.Response, time.Duration) {
		t.Helper()
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		start := time.Now()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
		go func() {
			for range 10 {
				time.Sleep(pause)
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res, time.Since(start)
	}
	if res, _ := send(time.Millisecond); res.StatusCode != http.StatusOK || res.Close {
		t.Errorf("in time: got %d, close %v, want 200 and the connection kept", res.StatusCode, res.Close)
	}
	res, took := send(time.Second)
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "request_too_slow") || !res.Close {
		t.Errorf("too slow: got %d, close %v, %s, want 408 and the end of the connection", res.StatusCode, res.Close, body)
	}
	if took < 1990*time.Millisecond || took > 7*time.Second {
		t.Errorf("it took %v, want about 2s", took)
	}
}
