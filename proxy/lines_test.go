package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// h2cApp serves HTTP/1.1 and HTTP/2 without TLS.
func h2cApp(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func TestProtocols(t *testing.T) {
	proto := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		fmt.Fprint(w, r.Proto)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(proto))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	plain := h2cApp(t, proto)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: http.HandlerFunc(proto), Protocols: &http.Protocols{}}
	local.Protocols.SetHTTP1(true)
	local.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = local.Serve(l) }()
	defer local.Close()
	for _, tt := range []struct {
		target   string
		protocol proxy.Protocol
		want     string
	}{
		{plain, proxy.Auto, "HTTP/1.1"}, {plain, proxy.HTTP1, "HTTP/1.1"}, {plain, proxy.H2C, "HTTP/2.0"},
		{"unix://" + socket, proxy.Auto, "HTTP/1.1"}, {"unix://" + socket, proxy.H2C, "HTTP/2.0"},
		{secure.URL, proxy.Auto, "HTTP/2.0"}, {secure.URL, proxy.HTTP1, "HTTP/1.1"}, {secure.URL, proxy.H2, "HTTP/2.0"},
	} {
		gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: tt.target, Protocol: tt.protocol,
			TLS: secure.Client().Transport.(*http.Transport).TLSClientConfig})
		if got := gw.fetch(t, "GET", "/", nil); got.body != tt.want {
			t.Errorf("%s, protocol %d: got %d %q, want %s", tt.target, tt.protocol, got.StatusCode, got.body, tt.want)
		}
		conn, _, err := dial(t, gw, nil)
		if err != nil {
			t.Errorf("a WebSocket at %s, protocol %d: %v", tt.target, tt.protocol, err)
			continue
		}
		conn.CloseNow()
	}
	for target, p := range map[string]proxy.Protocol{"https://h": proxy.H2C, "http://h": proxy.H2, "unix:///s": proxy.H2} {
		if _, err := proxy.NewUpstream(proxy.UpstreamOptions{Target: target, Protocol: p}); err == nil {
			t.Errorf("%s, protocol %d: got no error", target, p)
		}
	}
}

// TestStreamsBothWaysOverHTTP2: each message is answered before the next is sent,
// and trailers come behind.
func TestStreamsBothWaysOverHTTP2(t *testing.T) {
	target := h2cApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			fmt.Fprint(w, "echo ", line)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"X-Forwarded-User", "root")
	})
	way := newWay(t, proxy.UpstreamOptions{Target: target, Protocol: proxy.H2C, Timeout: 50 * time.Millisecond})
	gate := &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: way})}
	front := httptest.NewUnstartedServer(gate)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()

	out, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", front.URL, out)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Errorf("got %s in front, want HTTP/2", res.Proto)
	}
	in := bufio.NewReader(res.Body)
	for i := range 5 {
		fmt.Fprintln(w, i)
		if got, err := in.ReadString('\n'); got != fmt.Sprintf("echo %d\n", i) || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	time.Sleep(100 * time.Millisecond) // longer than an answer may take
	fmt.Fprintln(w, "late")
	if got, err := in.ReadString('\n'); got != "echo late\n" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	w.Close()
	if _, err := io.ReadAll(in); err != nil {
		t.Error(err)
	}
	if got := res.Trailer.Get("Grpc-Status"); got != "0" || res.Trailer.Get("X-Forwarded-User") != "" {
		t.Errorf("got trailers %v, want Grpc-Status: 0 alone", res.Trailer)
	}
}

func TestPoolOfUnixSocketAndTCP(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "unix") })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	tcp := newApp(t, nil)
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Balance: proxy.RoundRobin, EjectAfter: 1, Retries: 1,
		Targets: append(targets(tcp), proxy.TargetOptions{URL: "unix://" + socket})})
	seen := map[string]int{}
	for range 10 {
		seen[gw.fetch(t, "GET", "/", nil).body]++
	}
	if seen["unix"] != 5 || seen[tcp.addr] != 5 {
		t.Errorf("got %v, want 5 each", seen)
	}
	server.Close()
	gw.fetch(t, "GET", "/", nil)
	if got := gw.fetch(t, "GET", "/", nil); got.body != tcp.addr {
		t.Errorf("got %d %q when the socket is gone, want the other target", got.StatusCode, got.body)
	}
	if s := way.States()[1]; s.Target != "unix://"+socket || s.Err == nil {
		t.Errorf("got %v, want the socket out of order", s)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel() // it waits
	// A slow machine too does in that time what is quick.
	const bound = time.Second
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing, to TLS neither
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	release := make(chan struct{})
	defer close(release)
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		flush := http.NewResponseController(w).Flush
		switch r.URL.Path {
		case "/never":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/late": // each part takes longer than a header may
			time.Sleep(2 * bound)
			fmt.Fprint(w, "late")
		case "/stream":
			w.WriteHeader(200)
			for range 3 {
				_ = flush()
				time.Sleep(2 * bound)
				fmt.Fprint(w, "x")
			}
		case "/upload":
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Timeout: bound, IdleTimeout: bound})
	for _, tt := range []struct {
		name   string
		fetch  func() answer
		status int
	}{
		{"no header", func() answer { return gw.fetch(t, "GET", "/never", nil, "Accept", "text/html") }, 504},
		{"a late header", func() answer { return gw.fetch(t, "GET", "/late", nil) }, 504},
		{"a late header of an event stream", func() answer { return gw.fetch(t, "GET", "/late", nil, "Accept", "text/event-stream") }, 200},
		{"a late header of a gRPC call", func() answer { return gw.fetch(t, "POST", "/late", nil, "Content-Type", "application/grpc+proto") }, 200},
		{"a slow body", func() answer { return gw.fetch(t, "GET", "/stream", nil) }, 200},
		{"a slow upload", func() answer {
			r, w := io.Pipe()
			time.AfterFunc(3*bound, func() { w.Close() })
			return gw.fetch(t, "POST", "/upload", r)
		}, 200},
	} {
		began := time.Now()
		others := make(chan int, 1)
		go func() { others <- gw.fetch(t, "GET", "/", nil).StatusCode }()
		got := tt.fetch()
		if got.StatusCode != tt.status || got.err != nil {
			t.Errorf("%s: got %d, %v after %v, want %d", tt.name, got.StatusCode, got.err, time.Since(began), tt.status)
		}
		if other := <-others; other != 200 {
			t.Errorf("%s: another request got %d beside it", tt.name, other)
		}
	}
	if got := gw.fetch(t, "GET", "/never", nil, "Accept", "text/html"); !strings.Contains(got.body, "takes too long to answer") {
		t.Errorf("got no page that says what is wrong: %.300s", got.body)
	}
	nobody, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: "https://" + mute.Addr().String(), ConnectTimeout: bound})
	if got := nobody.fetch(t, "GET", "/", nil); got.StatusCode != 504 {
		t.Errorf("no connection: got %d, want 504", got.StatusCode)
	}
	forever, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Timeout: -1})
	if got := forever.fetch(t, "GET", "/late", nil); got.body != "late" {
		t.Errorf("without a bound: got %d", got.StatusCode)
	}
	conn, _, err := dial(t, gw, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	time.Sleep(3 * bound)
	if err := conn.Write(t.Context(), 1, []byte("hi")); err != nil {
		t.Errorf("a WebSocket that was quiet: %v", err)
	} else if _, got, err := conn.Read(t.Context()); string(got) != "hi" {
		t.Errorf("a WebSocket that was quiet: got %q, %v", got, err)
	}
}

// TestIdleConnections are kept as long as they are said to be.
func TestIdleConnections(t *testing.T) {
	for idle, want := range map[time.Duration]bool{time.Minute: true, 20 * time.Millisecond: false} {
		a := newApp(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
		gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), IdleTimeout: idle})
		first := gw.fetch(t, "GET", "/", nil).body
		time.Sleep(200 * time.Millisecond)
		if same := gw.fetch(t, "GET", "/", nil).body == first; same != want {
			t.Errorf("idle for 200ms of %v: got the same connection %v, want %v", idle, same, want)
		}
	}
}

// What looks as if it had no more to it than a request without a body, and has, goes the long
// way, and ends with its session there as well.
func TestNotSoShort(t *testing.T) {
	hung := make(chan struct{}, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			fmt.Fprint(w, r.Header["Expect"])
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		hung <- struct{}{}
	}))
	defer app.Close()
	session := newSession()
	gw, _, _ := pool(t, alice(session), proxy.UpstreamOptions{Target: app.URL})
	get := func(path string) *http.Response {
		req, _ := http.NewRequest("GET", gw.URL+path, nil)
		req.Header = http.Header{"Expect": {"100-continue"}, "Cookie": {sid + "=alice"}}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := get("/")
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != "[100-continue]" || err != nil {
		t.Errorf("got %d %q, %v, want [100-continue]", res.StatusCode, body, err)
	}
	res = get("/events")
	defer res.Body.Close()
	session.end()
	<-hung
}
