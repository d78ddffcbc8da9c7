package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// pattern is size bytes that do not repeat in step with any buffer.
type pattern struct {
	at, size int64
	sum      hash.Hash
}

var block = func() []byte {
	b := make([]byte, 251*256)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}()

func (p *pattern) Read(b []byte) (int, error) {
	n := min(int64(len(b)), p.size-p.at)
	if n == 0 {
		return 0, io.EOF
	}
	n = int64(copy(b[:n], block[p.at%251:]))
	p.at += n
	p.sum.Write(b[:n])
	return int(n), nil
}

func TestBigBodiesAreNotBuffered(t *testing.T) {
	size := int64(1 << 30)
	if raced { // which looks at each byte; still eight times what memory may grow by
		size = 1 << 28
	}
	gw := serve(t, alice(newSession()), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if n := r.ContentLength; n != -1 && n != size {
			t.Errorf("got length %d", n)
		}
		if _, err := io.Copy(w, r.Body); err != nil { // answers while the body still comes
			t.Error(err)
		}
	})
	for name, length := range map[string]int64{"of known length": size, "chunked": -1} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		sent := &pattern{size: size, sum: sha256.New()}
		req := gw.request(t, "POST", "/", io.NopCloser(sent))
		req.ContentLength = length
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.New()
		n, err := io.Copy(got, res.Body)
		res.Body.Close()
		runtime.ReadMemStats(&after)
		if n != size || err != nil || !bytes.Equal(got.Sum(nil), sent.sum.Sum(nil)) {
			t.Errorf("%s: got %d bytes, %v, want all %d as they were", name, n, err, size)
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
			t.Errorf("%s: memory grew by %d MiB", name, grown>>20)
		}
	}
}

func TestAnswerBeforeTheBodyEnds(t *testing.T) {
	gw := serve(t, alice(nil), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		fmt.Fprint(w, "too much")
	})
	for range 5 {
		sent := &pattern{size: 64 << 20, sum: sha256.New()}
		req := gw.request(t, "POST", "/", io.NopCloser(sent))
		req.ContentLength = sent.size
		req.Header.Set("Expect", "100-continue")
		res, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 413 || string(body) != "too much" {
			t.Errorf("got %d %q, want the upstream's own 413", res.StatusCode, body)
		}
		if sent.at > 1<<20 {
			t.Errorf("%d bytes were sent for nothing", sent.at)
		}
	}
}

func TestUnixSocketAndBasePath(t *testing.T) {
	socket := t.TempDir() + "/s"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	app := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) }
	server := &http.Server{Handler: http.HandlerFunc(app)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	tcp := httptest.NewServer(server.Handler)
	defer tcp.Close()
	for target, want := range map[string]string{
		"unix://" + socket:        "/x%20y?z",
		tcp.URL:                   "/x%20y?z",
		tcp.URL + "/":             "/x%20y?z",
		tcp.URL + "/base%C3%A9!/": "/base%C3%A9!/x%20y?z",
	} {
		gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: target})})})
		if res := gw.send(t, get("/x%20y?z")); res.body != want {
			t.Errorf("%s: got %q, want %q", target, res.body, want)
		}
	}
}

func TestTargetsThatAreRefused(t *testing.T) {
	for _, target := range []string{"", "127.0.0.1:9000", "ftp://h", "http://", "http://u:pw@h", "http://u:pw@h:port", "http://h?q", "http://h/#f", "http://h/../x", "http://h/a//b", "unix://sock", ":"} {
		_, err := proxy.NewUpstream(proxy.UpstreamOptions{Target: target})
		if err == nil {
			t.Errorf("%q: got no error", target)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: the password is in %q", target, err)
		}
	}
}

func BenchmarkProxy(b *testing.B) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") }))
	defer app.Close()
	target, err := url.Parse(app.URL)
	if err != nil {
		b.Fatal(err)
	}
	way, err := proxy.NewUpstream(proxy.UpstreamOptions{Target: app.URL})
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target); p.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}
	several, err := proxy.NewUpstream(proxy.UpstreamOptions{Targets: targets(newApp(b, app.Config.Handler.ServeHTTP),
		newApp(b, app.Config.Handler.ServeHTTP), newApp(b, app.Config.Handler.ServeHTTP)), Sticky: true, EjectAfter: 5, Retries: 1})
	if err != nil {
		b.Fatal(err)
	}
	gate := func(way *proxy.Upstream) http.Handler {
		gate := &proxy.Gate{Auth: alice(newSession()), Router: newRouter(b, rules(way)...), OwnCookie: ownCookie}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note := &web.Note{ID: "REQUEST-ID", Client: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Scheme: "https"}
			gate.ServeHTTP(w, r.WithContext(web.WithNote(r.Context(), note)))
		})
	}
	for _, tt := range []struct {
		name    string
		handler http.Handler
	}{{"bare", bare}, {"gate", gate(way)}, {"pool", gate(several)}} {
		b.Run(tt.name, func(b *testing.B) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
			req, err := http.NewRequest("GET", server.URL+"/some/page?x=1", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Cookie", "theme=dark; "+sid+"=alice; lang=en")
			req.Header.Set("Accept", "text/html,application/xhtml+xml")
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
