package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// app is a server that can be killed and started again at its address.
type app struct {
	t       testing.TB
	addr    string
	handler http.Handler
	h2c     bool // from its next start on
	served  atomic.Int64
	open    atomic.Int64 // connections
	most    atomic.Int64 // of them at a time

	mu     sync.Mutex // guards what follows
	server *http.Server
	socket net.Listener
	wg     sync.WaitGroup
}

// newApp starts one that answers with its address, or with what handler says.
func newApp(t testing.TB, handler http.HandlerFunc) *app {
	t.Helper()
	a := &app{t: t, addr: "127.0.0.1:0"}
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, a.addr)
		}
	}
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.served.Add(1)
		handler(w, r)
	})
	a.start()
	t.Cleanup(func() { a.kill(); a.wg.Wait() })
	return a
}

func (a *app) start() {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.addr = l.Addr().String()
	server := &http.Server{Handler: a.handler, ConnState: func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			a.most.Store(max(a.most.Load(), a.open.Add(1))) // one goroutine accepts
		case http.StateClosed:
			a.open.Add(-1)
		}
	}}
	if a.h2c {
		server.Protocols = &http.Protocols{}
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	a.mu.Lock()
	a.server, a.socket = server, l
	a.mu.Unlock()
	a.wg.Go(func() { _ = server.Serve(l) })
}

// kill closes its listener and all of its connections, as the end of a process does.
func (a *app) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.socket.Close() // the server may not have taken it yet
	_ = a.server.Close()
}

func (a *app) url() string { return "http://" + a.addr }

// targets are apps as targets of the same weight.
func targets(apps ...*app) (all []proxy.TargetOptions) {
	for _, a := range apps {
		all = append(all, proxy.TargetOptions{URL: a.url()})
	}
	return all
}

// pool is a gateway of one route before an upstream that runs.
func pool(t *testing.T, who auth.Authenticator, o proxy.UpstreamOptions) (*gateway, *proxy.Upstream, *logs) {
	t.Helper()
	log := &logs{}
	o.Log = textLog(log)
	way, err := proxy.NewUpstream(o)
	if err != nil {
		t.Fatal(err)
	}
	way.Start()
	t.Cleanup(way.Close)
	gw := newGateway(t, &proxy.Gate{Auth: who, Router: newRouter(t, &proxy.Route{Upstream: way})})
	return gw, way, log
}

// fetch sends a request of alice's and reads the answer.
func (gw *gateway) fetch(t *testing.T, method, path string, body io.Reader, lines ...string) answer {
	t.Helper()
	req := gw.request(t, method, path, body)
	for i := 0; i+1 < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	res, err := gw.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{Response: res, body: string(text), err: err}
}

// until waits for something to come true.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for range 1000 {
		if true() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not after 10 s: %s", what)
}

// textLog writes every line into l.
func textLog(l *logs) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
