package fetch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Many at once, some of which go away, each get their own answer.
func TestMany(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(r.URL.RawQuery+" ", 2000))
	}))
	defer app.Close()
	line := &Line{MaxIdle: 4, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", app.Listener.Addr().String())
	}}
	defer line.CloseIdle()
	var wg sync.WaitGroup
	for who := range 16 {
		wg.Go(func() {
			for i := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == 0 {
					time.AfterFunc(time.Duration(i)*10*time.Microsecond, cancel)
				}
				req := request(t, "GET").WithContext(ctx)
				req.URL.RawQuery = fmt.Sprintf("%d-%d", who, i)
				res, _, err := line.Do(req, time.Minute)
				var body []byte
				if err == nil {
					body, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				want := strings.Repeat(req.URL.RawQuery+" ", 2000)
				if err == nil && string(body) != want || err != nil && err != context.Canceled || err != nil && i%7 != 0 {
					t.Errorf("got %d bytes, %v", len(body), err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

func BenchmarkDo(b *testing.B) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	defer app.Close()
	line := &Line{MaxIdle: 4, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", app.Listener.Addr().String())
	}}
	defer line.CloseIdle()
	for name, do := range map[string]func(*http.Request) (*http.Response, error){
		"line": func(r *http.Request) (*http.Response, error) {
			res, _, err := line.Do(r, time.Minute)
			return res, err
		},
		"transport": (&http.Transport{ResponseHeaderTimeout: time.Minute, DisableCompression: true}).RoundTrip,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", app.URL, nil)
			req.Header.Set("User-Agent", "test")
			for b.Loop() {
				res, err := do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
