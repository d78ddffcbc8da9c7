// Package demo is the legacy app that `evergate demo` protects. It has no idea
// of sign-in: it shows what it is handed, the request headers and the Bearer
// token's claims, and keeps a stream and a WebSocket open, so that a person can
// watch tokens being renewed under all of them.
//
// Like the apps it stands for, it verifies nothing. That is only sound behind a
// gateway and on a loopback address, and Start listens nowhere else.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// farewell is the moment that clients get to hear that the app stops.
const farewell = time.Second

// Options are what an App may be told. The zero value is good.
type Options struct {
	// Now tells the time. Nil is time.Now.
	Now func() time.Time
	// Tick is the time between two events of the stream and two lines of the
	// WebSocket. Zero is one second.
	Tick time.Duration
}

// App is the legacy app. Make one with NewApp, and Close it.
type App struct {
	now    func() time.Time
	tick   time.Duration
	mux    *http.ServeMux
	ledger *ledger
	forms  atomic.Int64 // received

	life context.Context // ends with Close
	end  context.CancelFunc

	mu      sync.Mutex // guards closed, server and the start of requests
	closed  bool
	server  *http.Server
	running sync.WaitGroup // requests being answered, and the server
}

// NewApp returns an App that serves until it is closed.
func NewApp(opts Options) *App {
	a := &App{now: opts.Now, tick: opts.Tick, mux: http.NewServeMux()}
	if a.now == nil {
		a.now = time.Now
	}
	if a.tick <= 0 {
		a.tick = time.Second
	}
	a.ledger = newLedger(a.now)
	a.life, a.end = context.WithCancel(context.Background())
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /{$}":         a.home,
		"GET /api/now":     a.apiNow,
		"GET /events":      a.events,
		"GET /ws":          a.socket,
		"GET /form":        a.showForm,
		"POST /form":       a.postForm,
		"GET /slow":        a.slow,
		"GET /big":         a.big,
		"/echo":            a.echo,
		"/status/{code}":   a.status,
		"GET /app.js":      asset("app.js", "text/javascript; charset=utf-8"),
		"GET /style.css":   asset("style.css", "text/css; charset=utf-8"),
		"GET /favicon.svg": asset("favicon.svg", "image/svg+xml"),
		"GET /favicon.ico": asset("favicon.svg", "image/svg+xml"),
		"/{anything...}":   a.notFound,
	} {
		a.mux.HandleFunc(pattern, serve)
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !a.begin() {
		http.Error(w, "The demo app is stopping.", http.StatusServiceUnavailable)
		return
	}
	defer a.running.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.life, func() {
		cancel()
		// A client that neither sends nor reads on must not hold Close up. The
		// WebSocket minds its own end.
		rc, by := http.NewResponseController(w), time.Now().Add(farewell)
		if r.URL.Path != "/ws" {
			_, _ = rc.SetReadDeadline(by), rc.SetWriteDeadline(by)
		}
	})()
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	a.mux.ServeHTTP(w, r.WithContext(ctx))
}

// begin counts a request in, unless Close has begun: after it, Close would no
// longer wait for the request.
func (a *App) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.running.Add(1)
	return true
}

// Start serves on addr, such as "127.0.0.1:0", and returns the URL to reach it
// at. It refuses an address that other machines can reach: the app believes
// every header it is sent. Close ends it.
func (a *App) Start(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("demo app: listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("demo app: listen on %q: not a loopback address, want 127.0.0.1:0", addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("demo app: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.server != nil {
		ln.Close()
		return "", errors.New("demo app: started or closed before")
	}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.running.Go(func() { _ = a.server.Serve(ln) }) // returns when Close closes it
	return "http://" + ln.Addr().String(), nil
}

// Close ends every stream, WebSocket and waiting request, and returns when the
// last of them is over. The error is that of the listener which Start opened.
func (a *App) Close() error {
	a.mu.Lock()
	a.closed = true
	server := a.server
	a.mu.Unlock()
	a.end()
	var err error
	if server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		err = server.Shutdown(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) { // somebody stalls
			err = server.Close()
		}
	}
	a.running.Wait()
	return err
}
