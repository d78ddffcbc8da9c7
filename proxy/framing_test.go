package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// whole is a gate behind all that stands around it where it serves.
func whole(t *testing.T, g *proxy.Gate) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(web.Serve(g, web.Options{}))
	t.Cleanup(s.Close)
	return s
}

// hasty is an app that answers as soon as it has the head.
func hasty(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for line := ""; line != "\r\n"; {
					if line, err = in.ReadString('\n'); err != nil {
						return
					}
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				_, _ = io.Copy(io.Discard, in)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestRestOfABodyIsNoRequest: an upstream that answers before a body has come to
// its end must not make the rest of it a request of its own.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	up := hasty(t)
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the rest of a body was served: %s %s", r.Method, r.URL)
	})
	gw := whole(t, &proxy.Gate{Auth: alice(nil), Own: own, Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true},
		Upstream: newWay(t, proxy.UpstreamOptions{Target: up})})})
	smuggled := "GET /.evergate/ping HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 7\r\n\r\n"
	padding := strings.Repeat("x", 16<<10) // enough for the head to be sent on at once
	for _, framing := range []string{"Transfer-Encoding: chunked", fmt.Sprintf("Content-Length: %d", len(padding)+len(smuggled)+7)} {
		t.Run(framing, func(t *testing.T) {
			conn, err := net.Dial("tcp", gw.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			head := "POST /x HTTP/1.1\r\nHost: gw.test\r\n" + framing + "\r\n\r\n"
			if strings.HasPrefix(framing, "Transfer") {
				head += fmt.Sprintf("%x\r\n", len(smuggled))
			} else {
				head += padding
			}
			fmt.Fprint(conn, head)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode != 200 || !res.Close {
				t.Errorf("got %d, closing: %v, want 200 and the connection to end with it", res.StatusCode, res.Close)
			}
			_, _ = io.WriteString(conn, smuggled+"\r\n0\r\n\r\n")
			if rest, _ := io.ReadAll(in); len(rest) != 0 {
				t.Errorf("got a second answer: %q", rest)
			}
		})
	}
}

// TestConnectionIsKeptAfterABodyThatWasRead: only what is left over costs it.
func TestConnectionIsKeptAfterABodyThatWasRead(t *testing.T) {
	gw := serveWhole(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for range 2 {
		res, err := http.Post(gw.URL+"/x", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.Close || string(body) != "hello" {
			t.Errorf("got %q, closing: %v, want the body back and the connection kept", body, res.Close)
		}
	}
}

// TestLengthInTwoWaysEndsTheConnection: net/http does not tell whether there was a
// Content-Length beside the chunks, so none of those connections is kept, and what follows
// is nobody's request.
func TestLengthInTwoWaysEndsTheConnection(t *testing.T) { // M-01, M-02
	asked := make(chan string, 9)
	gw := serveWhole(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.Method + " " + r.URL.Path + " " + string(body)
	})
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n"
	for name, sent := range map[string]string{
		"chunks and a length":             "POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunks alone":                    "POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"HTTP/1.0 with chunks and length": "POST /x HTTP/1.0\r\nHost: gw.test\r\nConnection: keep-alive\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc" + smuggled,
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", gw.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprint(conn, sent)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode != 200 || !res.Close {
				t.Errorf("got %d, closing: %v, want 200 and the connection to end with it", res.StatusCode, res.Close)
			}
			if rest, _ := io.ReadAll(in); len(rest) != 0 {
				t.Errorf("got a second answer: %q", rest)
			}
			if got := <-asked; got != "POST /x abc" || len(asked) > 0 {
				t.Errorf("the upstream got %q and %d more, want the POST alone", got, len(asked))
			}
		})
	}
}

func serveWhole(t *testing.T, app http.HandlerFunc) *httptest.Server {
	t.Helper()
	up := httptest.NewServer(app)
	t.Cleanup(up.Close)
	return whole(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true},
		Upstream: newWay(t, proxy.UpstreamOptions{Target: up.URL})})})
}

// TestSlowUploadIsNotCut: what the app takes may take its time.
func TestSlowUploadIsNotCut(t *testing.T) {
	t.Parallel() // it waits
	gw := serveWhole(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	body, sent := io.Pipe()
	go func() {
		for range 12 {
			_, _ = io.WriteString(sent, "x")
			time.Sleep(time.Second)
		}
		_ = sent.Close()
	}()
	res, err := http.Post(gw.URL+"/x", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, _ := io.ReadAll(res.Body); string(got) != "12 <nil>" {
		t.Errorf("got %q, want twelve bytes in twelve seconds", got)
	}
}

// TestBodyThatDoesNotComeHoldsNothing: whoever is refused is answered at once,
// whatever they go on to send.
func TestBodyThatDoesNotComeHoldsNothing(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := whole(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for _, head := range []string{
		"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10\r\n\r\nabc",
		"POST /a//b HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", gw.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
		fmt.Fprint(conn, head)
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%q: no answer: %v", head, err)
		}
		if res.StatusCode != 401 && res.StatusCode != 400 {
			t.Errorf("%q: got %d, want 401 or 400", head, res.StatusCode)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%q: got %v, want the connection to end", head, err)
		}
		conn.Close()
	}
}

func TestTrailersOfASignedInPost(t *testing.T) {
	got := make(chan string, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Get("X-Ok")
	}))
	defer up.Close()
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Restore: func(*http.Request, *auth.Login) error { return nil },
		Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.URL})})})
	gw.send(t, request("POST", "/", "Cookie: "+sid+"=alice", "Transfer-Encoding: chunked", "Trailer: X-Ok")+"1\nx\n0\nX-Ok: 1\n\n")
	if v := <-got; v != "1" {
		t.Errorf("the upstream got trailer %q, want 1", v)
	}
}
