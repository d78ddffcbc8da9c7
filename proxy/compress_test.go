package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/evergate/evergate/proxy"
)

var both = []string{"zstd", "gzip"}

// decoded reads a body by its Content-Encoding.
func decoded(t testing.TB, coding string, body io.Reader) io.Reader {
	t.Helper()
	switch coding {
	case "":
		return body
	case "gzip":
		r, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	case "zstd":
		r, err := zstd.NewReader(body, zstd.WithDecoderMaxWindow(8<<20)) // what browsers take
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	t.Fatalf("unknown coding %q", coding)
	return nil
}

func readAll(t testing.TB, coding string, body io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(decoded(t, coding, body))
	if err != nil {
		t.Fatalf("%s: %v after %d bytes", coding, err, len(all))
	}
	return string(all)
}

var long = strings.Repeat("All work and no play makes Jack a dull boy. ", 200)

// TestWhatIsCompressed: text that is long enough, where client, route and app agree.
func TestWhatIsCompressed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		accept string
		header string // of the app's answer
		body   string
		want   string // the coding; "" as it comes
		vary   bool
	}{
		{"the coding that the route likes best", "gzip, deflate, br, zstd", "Content-Type: text/html", long, "zstd", true},
		{"the only one that the client takes", "gzip, deflate", "Content-Type: text/html; charset=utf-8", long, "gzip", true},
		{"the one that the client likes best", "zstd;q=0.5, gzip", "Content-Type: application/json", long, "gzip", true},
		{"an old name of gzip", "x-gzip", "Content-Type: text/css", long, "gzip", true},
		{"any coding", "*", "Content-Type: image/svg+xml", long, "zstd", true},
		{"any but one", "zstd;q=0, *", "Content-Type: application/problem+json", long, "gzip", true},
		{"in upper case", "GZIP", "Content-Type: TEXT/HTML", long, "gzip", true},
		{"none asked for", "", "Content-Type: text/html", long, "", true},
		{"others asked for", "br, deflate", "Content-Type: text/html", long, "", true},
		{"refused", "gzip;q=0, zstd;q=0.0", "Content-Type: text/html", long, "", true},
		{"liked less than none", "identity, gzip;q=0.5, zstd;q=0.9", "Content-Type: text/html", long, "", true},
		{"liked as much as none", "identity;q=0.5, gzip;q=0.5", "Content-Type: text/html", long, "gzip", true},
		{"a weight that is none", "gzip;q=x, zstd;level=9", "Content-Type: text/html", long, "", true},
		{"short", "gzip", "Content-Type: text/html", "short", "", false},
		{"short, and nothing else taken", "gzip, identity;q=0", "Content-Type: text/html", "short", "gzip", true},
		{"short, and nothing else taken, in another way", "gzip, *;q=0", "Content-Type: text/html", "short", "gzip", true},
		{"nothing taken at all", "identity;q=0", "Content-Type: text/html", long, "", true},
		{"a picture", "gzip", "Content-Type: image/png", long, "", false},
		{"no type", "gzip", "X: y", long, "", false},
		{"an event stream", "gzip", "Content-Type: text/event-stream", long, "", false},
		{"gRPC", "gzip", "Content-Type: application/grpc+proto", long, "", false},
		{"gRPC for browsers", "gzip", "Content-Type: application/grpc-web+json", long, "", false},
		{"compressed already", "gzip", "Content-Type: text/html\nContent-Encoding: br", long, "br", false},
		{"no-transform", "gzip", "Content-Type: text/html\nCache-Control: max-age=1, No-Transform", long, "", false},
		{"a digest of the bytes", "gzip", "Content-Type: text/html\nRepr-Digest: sha-256=:x:", long, "", false},
		{"a part", "gzip", "Content-Type: text/html\nContent-Range: bytes 0-1/9", long, "", false},
		{"Vary is there", "gzip", "Content-Type: text/html\nVary: Cookie, accept-encoding", long, "gzip", true},
		{"Vary is added to", "gzip", "Content-Type: text/html\nVary: Cookie", long, "gzip", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newUpstream(t, func(conn net.Conn, r *http.Request) {
				answer := fmt.Sprintf("HTTP/1.1 200 OK\n%s\nAccept-Ranges: bytes\nEtag: \"v1\"\nContent-Length: %d\n\n", tt.header, len(tt.body))
				if r.Method != http.MethodHead {
					answer += tt.body
				}
				says(answer)(conn, r)
			})
			gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Compress: both, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			line := "X-None: x"
			if tt.accept != "" {
				line = "Accept-Encoding: " + tt.accept
			}
			res := gw.send(t, get("/", line))
			h := res.Header
			if got := h.Get("Content-Encoding"); got != tt.want {
				t.Fatalf("got Content-Encoding %q, want %q", got, tt.want)
			}
			vary := strings.Join(h.Values("Vary"), ", ")
			if got := strings.Count(strings.ToLower(vary), "accept-encoding"); (got == 1) != tt.vary || strings.Contains(tt.header, "Cookie") && !strings.Contains(vary, "Cookie") {
				t.Errorf("got Vary %q", vary)
			}
			changed := tt.want == "gzip" || tt.want == "zstd"
			etag, ranges, length := `"v1"`, "bytes", fmt.Sprint(len(tt.body))
			if changed {
				etag, ranges, length = `W/"v1"`, "", fmt.Sprint(len(res.body)) // net/http knows it of what is short
			}
			if h.Get("Etag") != etag || h.Get("Accept-Ranges") != ranges || h.Get("Content-Length") != length {
				t.Errorf("got ETag %s, Accept-Ranges %q, Content-Length %q; want %s, %q, %q", h.Get("Etag"), h.Get("Accept-Ranges"), h.Get("Content-Length"), etag, ranges, length)
			}
			body := res.body
			if changed {
				if tt.body == long && len(body) > len(long)/4 {
					t.Errorf("got %d bytes of %d", len(body), len(long))
				}
				body = readAll(t, tt.want, strings.NewReader(body))
			}
			if body != tt.body {
				t.Errorf("got %.100q, want %.100q", body, tt.body)
			}
			if raw := up.last(t); tt.accept != "" && header(raw, "Accept-Encoding")[0] != tt.accept {
				t.Errorf("the app was told %q, want what the client said", header(raw, "Accept-Encoding"))
			}
			// The same for HEAD, without a body.
			head := gw.send(t, request("HEAD", "/", "Cookie: "+sid+"=alice", line)).Header
			for _, name := range []string{"Content-Encoding", "Etag", "Content-Length", "Accept-Ranges"} {
				if head.Get(name) != h.Get(name) && !(changed && name == "Content-Length" && head.Get(name) == "") {
					t.Errorf("HEAD: got %s %q, GET has %q", name, head.Get(name), h.Get(name))
				}
			}
		})
	}
}

// TestAnswersWithoutBodyAreNotCompressed, and a route that does not say so compresses nothing.
func TestAnswersWithoutBodyAreNotCompressed(t *testing.T) {
	for _, tt := range []struct {
		answer, line string
		etag         string
	}{
		{"HTTP/1.1 204 No Content\nContent-Type: text/html\nEtag: \"v1\"\n\n", "", `"v1"`},
		{"HTTP/1.1 304 Not Modified\nEtag: \"v1\"\n\n", `If-None-Match: W/"v1"`, `W/"v1"`},
		{"HTTP/1.1 304 Not Modified\nEtag: \"v1\"\n\n", `If-None-Match: "v0", W/"v1"`, `W/"v1"`},
		{"HTTP/1.1 304 Not Modified\nEtag: \"v1\"\n\n", `If-None-Match: "v1"`, `"v1"`},
		{"HTTP/1.1 206 Partial Content\nContent-Type: text/plain\nContent-Range: bytes 0-1999/9000\nEtag: \"v1\"\nContent-Length: 4\n\nabcd", "Range: bytes=0-3", `"v1"`},
	} {
		up := newUpstream(t, says(tt.answer))
		gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Compress: both, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		res := gw.send(t, get("/", "Accept-Encoding: gzip", tt.line))
		if res.Header.Get("Content-Encoding") != "" || res.Header.Get("Etag") != tt.etag || res.err != nil {
			t.Errorf("%q with %s: got %s", tt.answer, tt.line, res.raw)
		}
	}
	up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 3000\n\n"+long[:3000]))
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	if res := gw.send(t, get("/", "Accept-Encoding: gzip")); res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "" {
		t.Errorf("without compress: got %v", res.Header)
	}
}

// TestCompressedStreams: what the app flushes can be read at once, 1xx and trailers
// come through, and the cookie that is due with them.
func TestCompressedStreams(t *testing.T) {
	for _, coding := range both {
		t.Run(coding, func(t *testing.T) {
			more := make(chan string)
			s := newSession()
			s.due = fresh
			gw := serve(t, alice(s), proxy.Route{Compress: both}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("Content-Type", "application/x-ndjson")
				w.Header().Set("Trailer", "X-Sum")
				for line := range more {
					fmt.Fprintln(w, line)
					w.(http.Flusher).Flush()
				}
				w.Header().Set("X-Sum", "17")
				w.Header().Set(http.TrailerPrefix+"X-Late", "18")
			})
			hints := 0
			req := gw.request(t, "GET", "/", nil)
			req.Header.Set("Accept-Encoding", coding)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints += code; return nil }}))
			go func() { more <- "first" }()
			res, err := gw.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.Header.Get("Content-Encoding") != coding || res.Header.Get("Set-Cookie") != fresh || hints != 103 {
				t.Fatalf("got %v and hints %d", res.Header, hints)
			}
			lines := bufio.NewReader(decoded(t, coding, res.Body))
			for _, line := range []string{"first", "second", "third"} {
				if line != "first" {
					more <- line
				}
				if got, err := lines.ReadString('\n'); err != nil || got != line+"\n" { // would wait for ever
					t.Fatalf("got %q, %v, want %q before the next is written", got, err, line)
				}
			}
			close(more)
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Fatalf("got %q, %v at the end", rest, err)
			}
			if res.Trailer.Get("X-Sum") != "17" || res.Trailer.Get("X-Late") != "18" {
				t.Errorf("got trailers %v", res.Trailer)
			}
		})
	}
}

// TestCutShortWhileCompressing: half an answer does not pass for a whole one.
func TestCutShortWhileCompressing(t *testing.T) {
	for _, coding := range both {
		gw := serve(t, alice(nil), proxy.Route{Compress: both}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, long)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		req := gw.request(t, "GET", "/", nil)
		req.Header.Set("Accept-Encoding", coding)
		res, err := gw.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			t.Errorf("%s: the connection says that this is all", coding)
		}
		// Nor does what came so far: something on the way may have lost the other sign.
		got, err := io.ReadAll(decoded(t, coding, bytes.NewReader(raw)))
		if err == nil || !strings.HasPrefix(long, string(got)) {
			t.Errorf("%s: got %d bytes and %v, want an error", coding, len(got), err)
		}
	}
}

// TestCutShortHasNoEnd: nothing is written after an answer is cut short that would end
// it, whatever becomes of the connection.
func TestCutShortHasNoEnd(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, long)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer app.Close()
	app.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g := &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Compress: both, Upstream: newWay(t, proxy.UpstreamOptions{Target: app.URL})})}
	for _, coding := range both {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", coding)
		r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{})) // which makes the proxy panic
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("the answer was not cut short")
				}
			}()
			g.ServeHTTP(w, r)
		}()
		if got, err := io.ReadAll(decoded(t, coding, w.Body)); err == nil {
			t.Errorf("%s: got %d bytes that pass for all", coding, len(got))
		}
	}
}

// TestNothingIsCompressedToSomething: an empty answer is one that can be decoded.
func TestNothingIsCompressedToSomething(t *testing.T) {
	for _, coding := range both {
		up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Type: text/html\nTransfer-Encoding: chunked\n\n0\n\n"))
		gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Compress: both, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		res := gw.send(t, get("/", "Accept-Encoding: "+coding))
		if got := readAll(t, res.Header.Get("Content-Encoding"), strings.NewReader(res.body)); got != "" || res.body == "" || res.Header.Get("Content-Encoding") != coding {
			t.Errorf("%s: got %q of %q", coding, got, res.body)
		}
		gw = newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Compress: both, Answer: &proxy.Respond{}})})
		res = gw.send(t, request("GET", "/", "Accept-Encoding: identity;q=0, "+coding)) // nothing is ever written or flushed
		if got := readAll(t, res.Header.Get("Content-Encoding"), strings.NewReader(res.body)); got != "" || res.body == "" || res.Header.Get("Content-Encoding") != coding {
			t.Errorf("%s, with nothing to write: got %q of %q", coding, got, res.body)
		}
	}
}

// TestCompressionIsBounded: where as many answers as may are being compressed, the
// next goes out as it comes, and is whole. What ends makes room.
func TestCompressionIsBounded(t *testing.T) {
	end := make(chan struct{})
	var under sync.WaitGroup
	g := &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Compress: both, Answer: &proxy.Respond{Body: long}})}
	ask := func(w http.ResponseWriter) {
		r, _ := http.NewRequest("GET", "http://gw.test/", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		g.ServeHTTP(w, r)
	}
	for range proxy.MaxEncoders {
		under.Add(1)
		go func() {
			defer under.Done()
			ask(&stuck{discard{http.Header{}}, end})
		}()
	}
	for deadline := time.Now().Add(20 * time.Second); proxy.EncodersInUse() < proxy.MaxEncoders && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	w := httptest.NewRecorder()
	ask(w)
	if h := w.Header(); h.Get("Content-Encoding") != "" || w.Body.String() != long || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Length") != fmt.Sprint(len(long)) {
		t.Errorf("one more than may be: got %v and %d bytes", h, w.Body.Len())
	}
	close(end)
	under.Wait()
	if n := proxy.EncodersInUse(); n != 0 {
		t.Errorf("%d encoders are in use after all has ended", n)
	}
	w = httptest.NewRecorder()
	if ask(w); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("after all has ended: got %v", w.Header())
	}
}

// stuck is a client that does not read until it is let go.
type stuck struct {
	discard
	end chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) { <-s.end; return len(p), nil }

// TestCompressedSideBySide: encoders that are used again keep answers apart.
func TestCompressedSideBySide(t *testing.T) {
	gw := serve(t, alice(nil), proxy.Route{Compress: both}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for range 50 {
			_, _ = io.WriteString(w, strings.Repeat(r.URL.Path, 100))
		}
		if strings.HasSuffix(r.URL.Path, "7") {
			panic(http.ErrAbortHandler)
		}
	})
	var wg sync.WaitGroup
	var mu sync.Mutex // guards got
	got := map[string][]byte{}
	for i := range 16 {
		wg.Go(func() {
			for j := range 8 {
				path := fmt.Sprintf("/%d-%d", i, j)
				req := gw.request(t, "GET", path, nil)
				coding := both[j%2]
				req.Header.Set("Accept-Encoding", coding)
				res, err := gw.Client().Do(req)
				if err != nil {
					if !strings.HasSuffix(path, "7") {
						t.Error(err)
					}
					continue
				}
				all, err := io.ReadAll(res.Body)
				res.Body.Close()
				if strings.HasSuffix(path, "7") {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[path] = all
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 16*7 {
		t.Errorf("got %d answers, want %d", len(got), 16*7)
	}
	for path, body := range got {
		coding := both[(path[len(path)-1]-'0')%2]
		if text := readAll(t, coding, bytes.NewReader(body)); text != strings.Repeat(path, 5000) {
			t.Errorf("%s: got %d bytes", path, len(text))
		}
	}
}

// TestAnswersOfRoutesAreCompressed: files, fixed answers, and the gateway's own pages
// on such a route.
func TestAnswersOfRoutesAreCompressed(t *testing.T) {
	dir := site(t, map[string]string{"app.js": long, "pic.png": long, "small.txt": "x"})
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t,
		&proxy.Route{Policy: public, Compress: both, Answer: &proxy.Static{Dir: dir}},
		&proxy.Route{Path: "/text", Policy: public, Compress: both, Answer: &proxy.Respond{Body: long}},
		&proxy.Route{Path: "/to", Policy: public, Compress: both, Answer: &proxy.Redirect{To: "/text"}},
	)})
	for path, want := range map[string]string{"/app.js": "zstd", "/pic.png": "", "/small.txt": "", "/text": "zstd", "/to": ""} {
		res := gw.send(t, request("GET", path, "Accept-Encoding: gzip, zstd"))
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if want != "" && readAll(t, want, strings.NewReader(res.body)) != long {
			t.Errorf("%s: it came as something else", path)
		}
	}
	tag := gw.send(t, request("GET", "/app.js", "Accept-Encoding: gzip")).Header.Get("Etag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Errorf("got ETag %s, want a weak one", tag)
	}
	res := gw.send(t, request("GET", "/app.js", "Accept-Encoding: gzip", "If-None-Match: "+tag))
	if res.StatusCode != 304 || res.Header.Get("Etag") != tag || res.Header.Get("Vary") == "" {
		t.Errorf("what was compressed is asked for again: got %s", res.raw)
	}
	res = gw.send(t, request("GET", "/app.js", "Accept-Encoding: gzip", "Range: bytes=0-3"))
	if res.StatusCode != 206 || res.body != long[:4] || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("a part: got %s", res.raw)
	}
	res = gw.send(t, request("GET", "/app.js", "Accept-Encoding: gzip", "Range: bytes=0-3", "If-Range: "+tag))
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("a part of what was compressed: got %d %v, want all of it", res.StatusCode, res.Header)
	}
	if res = gw.send(t, "GET /app.js HTTP/1.0\nHost: gw.test\nAccept-Encoding: gzip\n\n"); readAll(t, res.Header.Get("Content-Encoding"), strings.NewReader(res.body)) != long {
		t.Errorf("HTTP/1.0: got %v", res.Header)
	}
}

// TestPagesElsewhereLearnNoLength: what a page of another origin makes the browser ask
// for, with somebody's cookie, is not compressed.
func TestPagesElsewhereLearnNoLength(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 3000\n\n"+long[:3000]))
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Compress: both, Answer: &proxy.Respond{Body: long}},
		&proxy.Route{Path: "/open", Policy: public, Compress: both, Answer: &proxy.Respond{Body: long}},
		&proxy.Route{Path: "/app", Policy: public, Compress: both, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for _, tt := range []struct {
		path, site string
		compressed bool
	}{
		{"/", "cross-site", false}, {"/", "same-site", false}, {"/", "same-origin", true}, {"/", "none", true}, {"/open", "cross-site", true},
		{"/app", "cross-site", false}, {"/app", "same-site", false}, {"/app", "same-origin", true}, // a public route, whose app is told who it is
	} {
		res := gw.send(t, get(tt.path, "Accept-Encoding: gzip", "Sec-Fetch-Site: "+tt.site))
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != tt.compressed || res.StatusCode != 200 {
			t.Errorf("%s from %s: got %d, compressed %v, want %v", tt.path, tt.site, res.StatusCode, got, tt.compressed)
		}
	}
	if res := gw.send(t, request("GET", "/app", "Accept-Encoding: gzip", "Sec-Fetch-Site: cross-site")); res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("to nobody in particular: got %d, not compressed", res.StatusCode)
	}
}

// TestWebSocketsPassCompression: a route that compresses carries them all the same.
func TestWebSocketsPassCompression(t *testing.T) {
	gw := serve(t, alice(newSession()), proxy.Route{Compress: both}, echo)
	conn, _, err := dial(t, gw, http.Header{"Accept-Encoding": {"gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(t.Context(), 1, []byte(long)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); err != nil || string(got) != long {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestCompressionNamesAreKnown(t *testing.T) {
	for _, bad := range [][]string{{"br"}, {"gzip", "gzip"}, {""}} {
		if _, err := proxy.NewRouter([]*proxy.Route{{Compress: bad}}); err == nil || !strings.Contains(err.Error(), "routes[0].compress[") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// BenchmarkCompress tells what one answer costs, and how much smaller it gets.
func BenchmarkCompress(b *testing.B) {
	page := []byte(strings.Repeat(long, 12)) // some 100 KB
	for _, coding := range both {
		b.Run(coding, func(b *testing.B) {
			router := newRouter(b, &proxy.Route{Policy: public, Compress: both, Answer: &proxy.Respond{Body: string(page), ContentType: "text/html"}})
			g := &proxy.Gate{Router: router}
			r, _ := http.NewRequest("GET", "http://gw.test/", nil)
			r.Header.Set("Accept-Encoding", coding)
			b.ReportAllocs()
			b.SetBytes(int64(len(page)))
			for b.Loop() {
				g.ServeHTTP(&discard{h: http.Header{}}, r)
			}
		})
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
