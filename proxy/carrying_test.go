package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// What any reverse proxy does for the two sides of it (RFC 9110 sections 7.6.1 and 7.8, RFC
// 9112), shown on the gateway as it runs. The standard library's proxy is what carries
// here, and these are the promises that have to hold with all that is put around it.

// TestHopByHopRequestHeaders: what is about the client's connection ends there, named in
// Connection or known by itself.
func TestHopByHopRequestHeaders(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for _, tt := range []struct {
		name  string
		lines []string
		gone  []string
		stays map[string]string
	}{
		{"known by themselves", []string{"Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eA==", "Proxy-Authenticate: x",
			"Trailer: X-Sum", "X-Stays: yes"}, []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Trailer"}, map[string]string{"X-Stays": "yes"}},
		{"named, over several lines and in any case", []string{"Connection: x-one , X-Two", "Connection: x-THREE", "X-One: 1", "X-Two: 2", "X-Three: 3", "X-Stays: yes"},
			[]string{"X-One", "X-Two", "X-Three", "Connection"}, map[string]string{"X-Stays": "yes"}},
		{"an empty Connection", []string{"Connection: ", "Connection: ,", "X-Stays: yes"}, []string{"Connection"}, map[string]string{"X-Stays": "yes"}},
		{"trailers are asked for, and nothing else", []string{"TE: deflate, trailers;q=0.5, trailers", "Connection: TE"}, []string{"Connection"}, map[string]string{"Te": "trailers"}},
		{"no User-Agent is none", nil, []string{"User-Agent"}, nil},
		{"a User-Agent is the client's", []string{"User-Agent: Browser/1"}, nil, map[string]string{"User-Agent": "Browser/1"}},
		{"an empty User-Agent is none", []string{"User-Agent: "}, []string{"User-Agent"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := gw.send(t, get("/", tt.lines...)); a.StatusCode != 200 {
				t.Fatalf("got %d", a.StatusCode)
			}
			raw := up.last(t)
			for _, name := range tt.gone {
				if got := header(raw, name); got != nil {
					t.Errorf("%s went up: %q", name, got)
				}
			}
			for name, want := range tt.stays {
				if got := header(raw, name); len(got) != 1 || got[0] != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestHopByHopAnswerHeaders: the same on the way back. (Where an upstream names others
// beside close, net/http drops the line before anybody else has seen the names.)
func TestHopByHopAnswerHeaders(t *testing.T) {
	res, _ := through(t, newSession(), "/", "HTTP/1.1 200 OK\nContent-Length: 2\nConnection: x-one , Keep-Alive\nConnection: X-Two\nX-One: 1\nX-Two: 2\n"+
		"Keep-Alive: timeout=5\nProxy-Connection: keep-alive\nProxy-Authenticate: Basic\nUpgrade: h2c\nTE: trailers\nX-Stays: yes\n\nok")
	for _, name := range []string{"X-One", "X-Two", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Upgrade", "Te"} {
		if got := res.Header[name]; got != nil {
			t.Errorf("%s came back: %q", name, got)
		}
	}
	if res.Header.Get("X-Stays") != "yes" || res.body != "ok" {
		t.Errorf("got %v %q", res.Header, res.body)
	}
}

// TestFramingOfWhatHasNoBody: a request without a body is framed as one, and an answer
// that has none is not waited for.
func TestFramingOfWhatHasNoBody(t *testing.T) {
	answers := map[string]string{
		"/204": "HTTP/1.1 204 No Content\n\n", "/304": "HTTP/1.1 304 Not Modified\nEtag: \"a\"\nContent-Length: 5\n\n",
		"/0": "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "/head": "HTTP/1.1 200 OK\nContent-Length: 5\nX-Kind: head\n\n",
	}
	up := newUpstream(t, func(conn net.Conn, r *http.Request) { says(answers[r.URL.Path])(conn, r) })
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for _, c := range []struct {
		method, path string
		status       int
		length       string // of the answer
		sent         string // Content-Length that goes up
	}{
		{"GET", "/204", 204, "", ""}, {"GET", "/304", 304, "5", ""}, {"GET", "/0", 200, "0", ""}, {"HEAD", "/head", 200, "5", ""},
		{"POST", "/0", 200, "0", "0"}, {"DELETE", "/204", 204, "", ""},
	} {
		a := gw.send(t, strings.Replace(get(c.path, "Content-Length: 0"), "GET", c.method, 1))
		if got := strings.Join(header(a.raw, "Content-Length"), ","); a.StatusCode != c.status || a.body != "" || got != c.length && c.status != 304 || header(a.raw, "Transfer-Encoding") != nil {
			t.Errorf("%s %s: got %d %q, Content-Length %q", c.method, c.path, a.StatusCode, a.body, got)
		}
		raw := up.last(t)
		if got := strings.Join(header(raw, "Content-Length"), ","); got != c.sent || header(raw, "Transfer-Encoding") != nil {
			t.Errorf("%s %s went up as\n%s", c.method, c.path, raw)
		}
	}
}

// TestInterimAnswers: each of them arrives, in order and before the answer, with headers of
// its own.
func TestInterimAnswers(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 103 Early Hints\nLink: </a.css>\n\nHTTP/1.1 102 Processing\nX-Step: 2\n\n"+
		"HTTP/1.1 103 Early Hints\nLink: </b.css>\nLink: </c.css>\n\nHTTP/1.1 200 OK\nContent-Length: 2\nX-Last: yes\n\nok"))
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	conn, err := net.Dial("tcp", gw.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, strings.ReplaceAll(get("/"), "\n", "\r\n"))
	in := bufio.NewReader(conn)
	var got []string
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(res.StatusCode, res.Header["Link"], res.Header.Get("X-Step"), res.Header.Get("X-Last")))
		if res.StatusCode == 200 {
			break
		}
	}
	if want := "103 [</a.css>] 102 []2 103 [</b.css> </c.css>] 200 []yes"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// TestBrokenContinue: an upstream that answers an expectation with nonsense, or with nothing
// behind it, holds nobody.
func TestBrokenContinue(t *testing.T) {
	for name, response := range map[string]string{
		"nothing behind it":  "HTTP/1.1 100 Continue\r\n\r\n",
		"nonsense behind it": "HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n",
		"half of it":         "HTTP/1.1 100 Cont",
		"another number":     "HTTP/1.1 199 Whatever\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bad := breaks(t, func(conn net.Conn, r *http.Request) { _, _ = io.WriteString(conn, response) })
			gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: bad.URL})})})
			conn, err := net.Dial("tcp", gw.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: gw.test\r\nCookie: %s=alice\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", sid)
			in := bufio.NewReader(conn)
			for {
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode >= 200 {
					if res.StatusCode != 502 {
						t.Errorf("got %d, want 502", res.StatusCode)
					}
					return
				}
			}
		})
	}
}

// TestRefusedBodyIsNoRequest: an app that refuses a body before it comes, and waits for the
// next request, does not get the body for one.
func TestRefusedBodyIsNoRequest(t *testing.T) { // H-30
	var asked, smuggled atomic.Int32
	target := breaks(t, func(conn net.Conn, r *http.Request) {
		asked.Add(1)
		if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			t.Errorf("the app got Expect: %q, want it as the client sent it", r.Header["Expect"])
		}
		says("HTTP/1.1 417 No\nContent-Length: 0\n\n")(conn, r)
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			smuggled.Add(1)
		}
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: target.URL})})})
	const body = "GET /admin/ HTTP/1.1\r\nHost: app\r\n\r\n"
	for range 10 {
		if res := gw.sendBytes(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: gw.test\r\nCookie: %s=alice\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", sid, len(body))+body); res.StatusCode != 417 {
			t.Errorf("got %d %s, want the app's 417", res.StatusCode, res.body)
		}
	}
	if asked.Load() != 10 || smuggled.Load() != 0 {
		t.Errorf("the app got %d requests and took %d bodies for requests, want 10 and 0", asked.Load(), smuggled.Load())
	}
}

// TestAnswersFlow: what an upstream has flushed arrives, though the answer goes on, whatever
// its kind; and so do its headers before there is a body.
func TestAnswersFlow(t *testing.T) {
	next := make(chan struct{})
	gw := serve(t, alice(nil), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for i := range 3 {
			_ = http.NewResponseController(w).Flush()
			<-next
			fmt.Fprintln(w, i)
		}
		_ = http.NewResponseController(w).Flush()
		<-next
	})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil)) // the headers are there
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- struct{}{}
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
			t.Fatalf("got %q, %v, want %d", line, err, i)
		}
	}
	close(next)
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}

// TestTunnelHalfClosed: either side may have no more to say while it still listens.
func TestTunnelHalfClosed(t *testing.T) {
	t.Run("the client first", func(t *testing.T) {
		up := newUpstream(t, func(conn net.Conn, r *http.Request) {
			_, _ = io.WriteString(conn, handshake)
			said, _ := io.ReadAll(conn) // until the client has no more to say
			_, _ = conn.Write(said)
		})
		gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		conn, br, _ := gw.open(t, "")
		_, _ = io.WriteString(conn, "\x81\x02hi")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(br); string(got) != "\x81\x02hi" || err != nil {
			t.Errorf("got %q, %v, want it all back", got, err)
		}
	})
	t.Run("the upstream first", func(t *testing.T) {
		heard := make(chan string, 1)
		up := newUpstream(t, func(conn net.Conn, r *http.Request) {
			_, _ = io.WriteString(conn, handshake+"\x81\x03bye")
			_ = conn.(*net.TCPConn).CloseWrite()
			said, _ := io.ReadAll(conn)
			heard <- string(said)
		})
		gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		conn, br, _ := gw.open(t, "")
		if got, err := io.ReadAll(br); string(got) != "\x81\x03bye" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		_, _ = io.WriteString(conn, "\x81\x82abcd")
		_ = conn.Close()
		if got := <-heard; got != "\x81\x82abcd" {
			t.Errorf("the upstream heard %q, want what came after its own end", got)
		}
	})
}

// TestTunnelsEndTogether: when one side breaks, the other does not stay behind.
func TestTunnelsEndTogether(t *testing.T) {
	ended := make(chan error, 1)
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		_, _ = io.WriteString(conn, handshake)
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	conn, _, _ := gw.open(t, "")
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset
	_ = conn.Close()
	if err := <-ended; err == nil {
		t.Error("the upstream heard something, want its side to end")
	}
}

// TestBodyOfTheClientThatBreaks ends the request upstream, which must not take the half
// for the whole.
func TestBodyOfTheClientThatBreaks(t *testing.T) {
	got := make(chan error, 2)
	gw := serve(t, alice(nil), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	})
	for _, framing := range []string{"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		conn, err := net.Dial("tcp", gw.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: gw.test\r\nCookie: %s=alice\r\n%s", sid, framing)
		_ = conn.(*net.TCPConn).CloseWrite()
		if err := <-got; err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: the upstream got %v, want to see that it is not whole", framing, err)
		}
		conn.Close()
	}
}
