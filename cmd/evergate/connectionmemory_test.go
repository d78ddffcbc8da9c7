package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

// What an open connection costs the gateway is told beside what it costs
// httputil.ReverseProxy alone, in bytes of heap and stacks. Both carry the same
// connections of the same clients to the same app, in this process: what those two
// take themselves is measured without anything between them, and taken off.

// holding is an app of few words: it says as much as tells that a connection goes through,
// and holds on to that. Once a connection is idle no goroutine of it is left, lest that
// counts.
type holding struct {
	net.Listener
	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newHolding(t testing.TB) *holding {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { h.answer(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		h.hangUp()
		wg.Wait()
	})
	return h
}

func (h *holding) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.conns = nil
}

// frame is "hello" in a WebSocket frame, as a server sends it.
const frame = "\x81\x05hello"

const pageSaid = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// answer says one thing and holds the connection.
func (h *holding) answer(c net.Conn) {
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		switch r.URL.Path {
		case "/ws":
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
			if _, err := io.ReadFull(in, make([]byte, 10)); err == nil { // what the client says first
				_, _ = io.WriteString(c, frame)
			}
			return
		case "/once": // no request follows, and nothing has to wait for one
			_, _ = io.WriteString(c, pageSaid)
			return
		case "/events":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n13\r\ndata: hello, hello\n\r\n")
			return
		}
		_, _ = io.WriteString(c, pageSaid)
	}
}

// heldKinds are the connections that are held, and what tells that one goes through. Most
// is what one may cost the gateway, as a part of what it costs httputil.ReverseProxy, and
// goroutines how many may wait on it.
var heldKinds = []heldKind{
	{"websocket", "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"\x81\x84\x00\x00\x00\x00ping", "hello", 0.5, 2},
	{"event stream", "GET /events HTTP/1.1\r\nAccept: text/event-stream\r\n", "", "data: hello", 1, 4},
	{"idle connection", "GET /page HTTP/1.1\r\n", "", "\r\n\r\nhello", 1.2, 1},
}

type heldKind struct {
	name, header, says, until string
	most                      float64
	goroutines                int
}

// hold opens n connections to at, and returns once each has had an answer.
func (k *heldKind) hold(t testing.TB, at, header string, n int) (let func()) {
	t.Helper()
	conns := make([]net.Conn, 0, n)
	for range n {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, header+"Host: "+at+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		var got []byte
		read := func(until string) {
			buf := make([]byte, 512)
			for !bytes.Contains(got, []byte(until)) {
				n, err := c.Read(buf)
				if got = append(got, buf[:n]...); err != nil {
					t.Fatalf("got %q and %v, want %q", got, err, until)
				}
			}
		}
		read("\r\n\r\n")
		if !bytes.HasPrefix(got, []byte("HTTP/1.1 200")) && !bytes.HasPrefix(got, []byte("HTTP/1.1 101")) {
			t.Fatalf("got %.300q, want an answer of the app", got)
		}
		if _, err := io.WriteString(c, k.says); err != nil {
			t.Fatal(err)
		}
		read(k.until)
		_ = c.SetDeadline(time.Time{})
	}
	return func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// footprint is what is in use: bytes of heap and of stacks, and goroutines.
type footprint struct{ heap, stacks, goroutines int }

func (f footprint) bytes() int { return f.heap + f.stacks }

func (f footprint) less(g footprint) footprint {
	return footprint{f.heap - g.heap, f.stacks - g.stacks, f.goroutines - g.goroutines}
}

// settled takes the footprint of this process once nothing more goes away: pools give
// back what they hold over two collections, and a stack halves with each.
func settled() footprint {
	last := footprint{}
	for range 40 {
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := footprint{int(m.HeapAlloc), int(m.StackInuse), runtime.NumGoroutine()}
		if d := now.less(last); max(d.heap, -d.heap) < 16<<10 && d.stacks == 0 && d.goroutines == 0 {
			return now
		}
		last = now
	}
	return last
}

// takes is what n connections take.
func (k *heldKind) takes(t testing.TB, at, header string, n int) footprint {
	t.Helper()
	k.hold(t, at, header, 8)() // what is made once is there
	before := settled()
	let := k.hold(t, at, header, n)
	held := settled().less(before)
	let()
	return held
}

// bareProxy is httputil.ReverseProxy alone, with the settings of a gateway's upstream.
func bareProxy(t testing.TB, app string) (at string) {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: app}
	pool := &sync.Pool{New: func() any { return new([32 << 10]byte) }}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded(); r.Out.Host = r.In.Host },
		Transport: &http.Transport{DisableCompression: true, MaxIdleConns: 256, MaxIdleConnsPerHost: 256,
			IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 60 * time.Second},
		BufferPool: pooled{pool}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

type pooled struct{ *sync.Pool }

func (p pooled) Get() []byte  { return p.Pool.Get().(*[32 << 10]byte)[:] }
func (p pooled) Put(b []byte) { p.Pool.Put((*[32 << 10]byte)(b)) }

// signedInGateway is a gateway with a bolt store, behind its own door, and the cookies of
// somebody who has signed in.
func signedInGateway(t testing.TB, app string) (at, cookies string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	if err := config.SaveUsers(users, []config.User{{Name: "alice", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.DataDir, cfg.PublicURL = filepath.Join(dir, "data"), &url.URL{Scheme: "http", Host: l.Addr().String()}
	cfg.Identity = []config.Identity{{Local: &config.Local{UsersFile: users}}}
	cfg.Routes = []config.Route{{Name: "app", Upstream: config.NewUpstream(&url.URL{Scheme: "http", Host: app})}}
	cfg.Limits.ConnectionsPerAddress = 0
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	g, err := build(&cfg, log, parts{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	d := newDoor(ctx, g, &cfg, log)
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Serve(l, nil) }()
	t.Cleanup(func() {
		end()
		_ = d.Close()
		<-done
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(cfg.PublicURL.String()+"/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	client.CloseIdleConnections()
	var all []string
	for _, c := range res.Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	if res.StatusCode != http.StatusSeeOther || len(all) == 0 {
		t.Fatalf("signing in: got %d and %d cookies, want 303 and some", res.StatusCode, len(all))
	}
	return l.Addr().String(), strings.Join(all, "; ")
}

// TestMemoryOfConnections tells what open connections cost beside httputil.ReverseProxy
// alone, and holds the gateway to it.
func TestMemoryOfConnections(t *testing.T) {
	if raced {
		t.Skip("the race detector takes memory of its own for each goroutine")
	}
	const n, rounds = 400, 3
	for _, kind := range heldKinds {
		t.Run(kind.name, func(t *testing.T) {
			app := newHolding(t)
			measure := func(at, header string) footprint {
				f := kind.takes(t, at, header, n)
				app.hangUp()
				return f
			}
			bareAt := bareProxy(t, app.Addr().String())
			gatewayAt, cookies := signedInGateway(t, app.Addr().String())
			var all [2][]footprint // beside what the client and the app take
			for range rounds {
				direct := measure(app.Addr().String(), strings.Replace(kind.header, "/page", "/once", 1))
				all[0] = append(all[0], measure(bareAt, kind.header).less(direct))
				all[1] = append(all[1], measure(gatewayAt, kind.header+"Cookie: "+cookies+"\r\n").less(direct))
			}
			var median [2]footprint
			for i, name := range [...]string{"httputil.ReverseProxy", "the gateway"} {
				slices.SortFunc(all[i], func(a, b footprint) int { return a.bytes() - b.bytes() })
				f := all[i][rounds/2]
				median[i] = f
				t.Logf("%-21s %6d bytes (heap %d, stacks %d) and %.1f goroutines for each", name, f.bytes()/n, f.heap/n, f.stacks/n, float64(f.goroutines)/n)
			}
			if bare, ours := median[0], median[1]; float64(ours.bytes()) > kind.most*float64(bare.bytes()) {
				t.Errorf("the gateway takes %d bytes for each, which is %.2f of what httputil.ReverseProxy takes; want %.2f at most",
					ours.bytes()/n, float64(ours.bytes())/float64(bare.bytes()), kind.most)
			}
			if got := (median[1].goroutines + n/2) / n; got > kind.goroutines {
				t.Errorf("%d goroutines wait on each, want %d at most", got, kind.goroutines)
			}
		})
	}
}
