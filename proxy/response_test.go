package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// through sends one request of alice's through a gateway whose upstream answers
// with response, on a public or a protected route.
func through(t *testing.T, s *session, path, response string) (answer, *gateway) {
	t.Helper()
	up := newUpstream(t, says(response))
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, rules(newWay(t, proxy.UpstreamOptions{Target: up.addr}))...)})
	return gw.send(t, get(path, "Connection: close")), gw
}

func TestWhatTheBrowserReceives(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\nContent-Length: 0\n"
	for _, tt := range []struct {
		name, due, path, response string
		want                      map[string]string
	}{
		{"H-24 our cookie", "", "/", ok + "Set-Cookie: sid=FIXED; Path=/\nSet-Cookie: a=1; Path=/\n\n", map[string]string{"Set-Cookie": "a=1; Path=/"}},
		{"H-24 our cookie in another case", "", "/", ok + "set-cookie: SID=FIXED\n\n", map[string]string{"Set-Cookie": ""}},
		{"H-24 our cookie with space around", "", "/", ok + "Set-Cookie:   sid \t= FIXED\n\n", map[string]string{"Set-Cookie": ""}},
		{"H-24 our cookie without a name", "", "/", ok + "Set-Cookie: =sid=FIXED\n\n", map[string]string{"Set-Cookie": ""}},
		{"H-24 our cookie in a folded line", "", "/", ok + "Set-Cookie:\n sid=FIXED\n\n", map[string]string{"Set-Cookie": ""}},
		{"our name in another cookie's value", "", "/", ok + "Set-Cookie: a=sid\n\n", map[string]string{"Set-Cookie": "a=" + sid}},
		{"our own cookie is delivered", fresh, "/", ok + "Set-Cookie: a=1\nCache-Control: public, max-age=9\nCDN-Cache-Control: public\nSurrogate-Control: max-age=9\n\n",
			map[string]string{"Set-Cookie": "a=1|" + fresh, "Cache-Control": "private, no-store", "Cdn-Cache-Control": "", "Surrogate-Control": ""}},
		{"our own cookie on a public route", fresh, "/public/", ok + "Cache-Control: public\n\n", map[string]string{"Set-Cookie": fresh, "Cache-Control": "private, no-store"}},
		{"H-26 Set-Cookie in Connection", fresh, "/", ok + "Set-Cookie: a=1\nConnection: Set-Cookie\n\n", map[string]string{"Set-Cookie": fresh}},
		{"H-25 device bound sessions", "", "/", ok + "Secure-Session-Registration: (ES256)\nSecure-Session-Challenge: x\nSec-Secure-Session-Id: y\n\n",
			map[string]string{"Secure-Session-Registration": "", "Secure-Session-Challenge": "", "Sec-Secure-Session-Id": ""}},
		{"H-25 device bound sessions by their names of 2024", "", "/", ok + "Sec-Session-Registration: (ES256)\nSec-Session-Challenge: x\n\n",
			map[string]string{"Sec-Session-Registration": "", "Sec-Session-Challenge": ""}},
		{"H-25 cookies in Clear-Site-Data", "", "/", ok + "Clear-Site-Data: \"cache\", \"Cookies\"\nClear-Site-Data: \"storage\"\n\n", map[string]string{"Clear-Site-Data": `"cache", "storage"`}},
		{"H-25 cookies alone", "", "/", ok + "Clear-Site-Data: \"cookies\"\n\n", map[string]string{"Clear-Site-Data": ""}},
		{"H-25 everything", "", "/", ok + "Clear-Site-Data: \"*\"\n\n", map[string]string{"Clear-Site-Data": `"cache", "clientHints", "executionContexts", "storage"`}},
		{"no Cache-Control", "", "/", ok + "\n", map[string]string{"Cache-Control": "private"}},
		{"public", "", "/", ok + "Cache-Control: public, max-age=60\n\n", map[string]string{"Cache-Control": "private, max-age=60"}},
		{"s-maxage", "", "/", ok + "Cache-Control: s-maxage=60, max-age=5\n\n", map[string]string{"Cache-Control": "private, max-age=5"}},
		{"no-store", "", "/", ok + "Cache-Control: no-store\n\n", map[string]string{"Cache-Control": "no-store"}},
		{"private but for a field", "", "/", ok + "Cache-Control: private=\"Set-Cookie, X\", max-age=5\n\n", map[string]string{"Cache-Control": "private, max-age=5"}},
		{"public on a public route", "", "/public/", ok + "Cache-Control: public\n\n", map[string]string{"Cache-Control": "public"}},
		{"nothing on a public route, to somebody", "", "/public/", ok + "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT\n\n", map[string]string{"Cache-Control": "private"}},
		{"Expires on a public route", "", "/public/", ok + "Expires: Mon, 02 Jan 2040 15:04:05 GMT\n\n", map[string]string{"Cache-Control": ""}},
		{"M-30 NTLM beside Basic", "", "/", "HTTP/1.1 401 No\nContent-Length: 0\nWWW-Authenticate: Negotiate, NTLM, Basic realm=\"a, NTLM\", charset=x\n\n",
			map[string]string{"Www-Authenticate": `Basic realm="a, NTLM", charset=x`, ":status": "401"}},
		{"M-30 NTLM in its own line", "", "/", "HTTP/1.1 401 No\nContent-Length: 0\nWWW-Authenticate: NTLM TlRMTVNT=\nWWW-Authenticate: Digest realm=x\n\n",
			map[string]string{"Www-Authenticate": "Digest realm=x", ":status": "401"}},
		{"M-30 NTLM alone", fresh, "/", "HTTP/1.1 401 No\nContent-Length: 0\nWWW-Authenticate: NTLM\nWWW-Authenticate: Negotiate abc==\n\n",
			map[string]string{"Www-Authenticate": "", ":status": "502", "Set-Cookie": fresh}},
		{"a request id of the upstream's", "", "/", ok + "X-Request-Id: theirs\n\n", map[string]string{"X-Request-Id": "REQUEST-ID"}},
		{"files that a proxy in front would send", "", "/", ok + "X-Accel-Redirect: /admin/\nX-Sendfile: /etc/passwd\nX-Lighttpd-Send-File: /x\nX-Reproxy-URL: http://127.0.0.1/\n\n",
			map[string]string{"X-Accel-Redirect": "", "X-Sendfile": "", "X-Lighttpd-Send-File": "", "X-Reproxy-Url": ""}},
		{"and in their younger spellings", "", "/public/", ok + "X-Sendfile2: /etc/passwd 0-9\nX-Lighttpd-Send-Tempfile: /x\nX-Sendfile-Temporary: /x\nX-Reproxy-File: /x\n\n",
			map[string]string{"X-Sendfile2": "", "X-Lighttpd-Send-Tempfile": "", "X-Sendfile-Temporary": "", "X-Reproxy-File": ""}},
		{"what proxies in front obey before Cache-Control", "", "/", ok + "X-Accel-Expires: 3600\nEdge-Control: max-age=3600\nSurrogate-Control: max-age=3600\nCloudflare-CDN-Cache-Control: max-age=3600\n\n",
			map[string]string{"Cache-Control": "private", "X-Accel-Expires": "", "Edge-Control": "", "Surrogate-Control": "", "Cloudflare-Cdn-Cache-Control": ""}},
		{"and beside a cookie of the gateway", fresh, "/public/", ok + "X-Accel-Expires: 3600\nEdge-Control: max-age=3600\n\n",
			map[string]string{"Cache-Control": "private, no-store", "X-Accel-Expires": "", "Edge-Control": ""}},
		{"and on a public route, where anybody may keep it", "", "/public/", ok + "X-Accel-Expires: 3600\nEdge-Control: max-age=3600\n\n",
			map[string]string{"X-Accel-Expires": "3600", "Edge-Control": "max-age=3600"}},
		{"nginx's own headers", "", "/", ok + "X-Accel-Buffering: no\n\n", map[string]string{"X-Accel-Buffering": "no"}},
		{"M-26 an upgrade nobody asked for", fresh, "/", "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c\n\n",
			map[string]string{":status": "502", "Set-Cookie": fresh, "Upgrade": ""}},
		{"M-31 an empty header, no reason", "", "/", "HTTP/1.1 200\nX:\nContent-Length: 0\n\n", map[string]string{":status": "200"}},
		{"M-31 nonsense", fresh, "/", "nonsense\n\n", map[string]string{":status": "502", "Set-Cookie": fresh, "Cache-Control": "no-store"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession()
			s.due = tt.due
			response := strings.NewReplacer("sid", sid, "SID", strings.ToUpper(sid)).Replace(tt.response)
			res, gw := through(t, s, tt.path, response)
			for name, want := range tt.want {
				got := strings.Join(res.Header[name], "|")
				if name == ":status" {
					got = res.Status[:3]
				}
				if got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if delivered, _, _ := s.counts(); delivered != 1 {
				t.Errorf("got %d deliveries, want 1", delivered)
			}
			if strings.HasPrefix(tt.name, "H-24") && !strings.Contains(gw.log.String(), "tried to set a cookie") {
				t.Errorf("the log does not say so: %s", gw.log)
			}
			if strings.Contains(gw.log.String(), "FIXED") {
				t.Errorf("the value is in the log: %s", gw.log)
			}
		})
	}
}

func TestEarlyHintsCarryNoCookies(t *testing.T) {
	s := newSession()
	s.due = fresh
	res, _ := through(t, s, "/", "HTTP/1.1 103 Early Hints\nLink: </a.css>\nSet-Cookie: "+sid+"=FIXED\nSecure-Session-Challenge: x\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n")
	if res.StatusCode != 103 || res.Header.Get("Link") == "" {
		t.Fatalf("got %d %v, want the hint", res.StatusCode, res.Header)
	}
	if len(res.Header["Set-Cookie"]) != 0 || len(res.Header["Secure-Session-Challenge"]) != 0 {
		t.Errorf("got %v, want no cookies", res.Header)
	}
	up := newUpstream(t, says("HTTP/1.1 103 Early Hints\nLink: </a.css>\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n"))
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, rules(newWay(t, proxy.UpstreamOptions{Target: up.addr}))...)})
	req, _ := http.NewRequest("GET", gw.URL+"/", nil)
	req.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
	last, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	last.Body.Close()
	if got := last.Header.Get("Set-Cookie"); got != fresh {
		t.Errorf("after the hint: got %q, want %q", got, fresh)
	}
}

func TestResponseTrailers(t *testing.T) {
	res, _ := through(t, newSession(), "/", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum, Set-Cookie\n\n2\nhi\n0\nX-Sum: 42\nSet-Cookie: "+sid+
		"=FIXED\nClear-Site-Data: \"cookies\"\nX-Late: y\n\n")
	if res.body != "hi" || res.Trailer.Get("X-Sum") != "42" || res.Trailer.Get("X-Late") != "y" {
		t.Errorf("got %q, trailers %v", res.body, res.Trailer)
	}
	if strings.Contains(res.raw, "FIXED") || strings.Contains(res.raw, "Clear-Site-Data") || strings.Contains(res.raw, "Trailer: Set-Cookie") {
		t.Errorf("got\n%s", res.raw)
	}
}

func TestUpstreamTrouble(t *testing.T) {
	silent := newUpstream(t, func(conn net.Conn, _ *http.Request) { time.Sleep(time.Second) })
	hangup := newUpstream(t, func(conn net.Conn, _ *http.Request) { conn.Close() })
	for _, tt := range []struct {
		name, addr string
		timeout    time.Duration
		status     int
		code       string
	}{
		{"refused", "127.0.0.1:1", 0, 502, "upstream_down"},
		{"too slow", silent.addr, 50 * time.Millisecond, 504, "upstream_timeout"},
		{"hangs up", hangup.addr, 0, 502, "upstream_down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession()
			s.due = fresh
			way := newWay(t, proxy.UpstreamOptions{Target: tt.addr, Timeout: tt.timeout})
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: way})})
			res := gw.send(t, get("/x?y", "Connection: close"))
			if res.StatusCode != tt.status || !strings.Contains(res.body, `"code":"`+tt.code+`"`) || !strings.Contains(res.body, "REQUEST-ID") {
				t.Errorf("got %d %s, want %d %s with the request id", res.StatusCode, res.body, tt.status, tt.code)
			}
			if strings.Contains(res.body, tt.addr) {
				t.Errorf("the upstream's address shows: %s", res.body)
			}
			if got := res.Header.Get("Set-Cookie"); got != fresh {
				t.Errorf("the cookie that was due: got %q", got)
			}
			if n := gw.note(t); n.Err == nil || n.Upstream <= 0 {
				t.Errorf("the access line: got %+v", n)
			}
			page := gw.send(t, get("/x?y", "Accept: text/html"))
			for _, want := range []string{"<h1>", "REQUEST-ID", `href="/x?y"`} {
				if !strings.Contains(page.body, want) {
					t.Errorf("got a page without %q:\n%s", want, page.body)
				}
			}
		})
	}
}

func TestUpstreamThatDiesMidBodyIsNotMistakenForAnEnd(t *testing.T) {
	for name, response := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\nContent-Length: 100\n\nhalf",
		"chunked":         "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhalf\n",
	} {
		up := newUpstream(t, func(conn net.Conn, r *http.Request) {
			says(response)(conn, r)
			time.Sleep(20 * time.Millisecond)
			conn.Close()
		})
		gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		req, _ := http.NewRequest("GET", gw.URL, nil)
		req.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // broken off before the header left its buffer: no end either
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			t.Errorf("%s: got %q and a clean end, want an error", name, body)
		}
	}
}

func TestClientThatGoesAway(t *testing.T) {
	gone := make(chan error, 1)
	reached := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		select {
		case <-r.Context().Done():
			gone <- nil
		case <-time.After(5 * time.Second):
			gone <- errors.New("the request upstream went on")
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	s := newSession()
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: l.Addr().String()})})})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", gw.URL, nil)
	req.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
	go func() { <-reached; cancel() }()
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if n := gw.note(t); n.Err != nil {
		t.Errorf("got an error in the access line: %v", n.Err)
	}
	if log := gw.log.String(); log != "" {
		t.Errorf("got log lines:\n%s", log)
	}
	if delivered, _, _ := s.counts(); delivered != 0 {
		t.Errorf("got %d cookies for nobody", delivered)
	}
}

func TestClientThatGoesAwayMidBody(t *testing.T) {
	ended := make(chan struct{})
	gw := serve(t, alice(newSession()), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, 100<<10)
	res.Body.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream goes on writing for nobody")
	}
	if n := gw.note(t); n.Err != nil {
		t.Errorf("got an error in the access line: %v", n.Err)
	}
	if log := gw.log.String(); log != "" {
		t.Errorf("got log lines:\n%s", log)
	}
}

func TestBodiesThatBreak(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: way})})
	res := gw.send(t, "POST / HTTP/1.1\nHost: gw.test\nCookie: "+sid+"=alice\nTransfer-Encoding: chunked\n\nfffffffffffffffff\nx") // M-16
	if res.StatusCode != 400 || !strings.Contains(res.body, "bad_body") {
		t.Errorf("an absurd chunk: got %d %s, want 400 bad_body", res.StatusCode, res.body)
	}
	limit := authFunc(func(r *http.Request) (*auth.Login, error) {
		r.Body = http.MaxBytesReader(nil, r.Body, 4)
		return alice(nil)(r)
	})
	gw = newGateway(t, &proxy.Gate{Auth: limit, Router: newRouter(t, &proxy.Route{Upstream: way})})
	res = gw.send(t, "POST / HTTP/1.1\nHost: gw.test\nCookie: "+sid+"=alice\nContent-Length: 8\n\n12345678")
	if res.StatusCode != 413 {
		t.Errorf("a body over the limit: got %d %s, want 413", res.StatusCode, res.body)
	}
}

func TestFraming(t *testing.T) { // B10: one request here is one request there
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	head := "POST / HTTP/1.1\r\nHost: gw.test\r\nCookie: " + sid + "=alice\r\n"
	for _, tt := range []struct {
		name, request string
		status        int
		forwarded     bool
	}{
		{"M-01 CL and TE", head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 200, true},
		{"M-05 two TE lines", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501, false},
		{"M-06 space before the colon", head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, false},
		{"M-07 a vertical tab", head + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400, false},
		{"M-10 a first line that starts with space", "GET / HTTP/1.1\r\n Host: gw.test\r\n\r\n", 400, false},
		{"M-11 a bare CR", head + "X-A: a\rb\r\nContent-Length: 0\r\n\r\n", 400, false},
		{"M-12 NUL", head + "X-A: a\x00b\r\nContent-Length: 0\r\n\r\n", 400, false},
		{"M-13 bare LF", strings.ReplaceAll(head+"Content-Length: 0\r\n\r\n", "\r\n", "\n"), 200, true},
		{"M-15 a signed length", head + "Content-Length: +1\r\n\r\nx", 400, false},
		{"M-15 two lengths", head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, false},
		{"M-15 one length twice", head + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, true},
		{"M-18 a chunk extension", head + "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", 200, true},
		{"M-21 no version", "GET /\r\n\r\n", 400, false},
		{"H-30 an expectation nobody knows", head + "Expect: foo\r\nContent-Length: 0\r\n\r\n", 417, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			if res := gw.sendBytes(t, tt.request); res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			all := up.requests()[before:]
			if (len(all) == 1) != tt.forwarded || len(all) > 1 {
				t.Fatalf("got %d requests upstream: %q", len(all), all)
			}
			for _, raw := range all {
				if len(header(raw, "Content-Length"))+len(header(raw, "Transfer-Encoding")) != 1 || strings.Contains(raw, ";a=b") {
					t.Errorf("got\n%s\nwant one framing", raw)
				}
				if lone := strings.ReplaceAll(raw, "\r\n", ""); strings.Contains(lone, "\n") {
					t.Errorf("got %q, want CRLF alone", raw)
				}
			}
		})
	}
}

func TestPipelinedRequestsAreJudgedAlone(t *testing.T) { // M-23
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, rules(newWay(t, proxy.UpstreamOptions{Target: up.addr}))...)})
	var all strings.Builder
	for i := range 100 {
		if i%2 == 0 {
			all.WriteString(get("/x"))
		} else {
			all.WriteString(request("GET", "/x", "Cookie: "+sid+"=mallory"))
		}
	}
	all.WriteString(get("/x", "Connection: close"))
	conn, err := net.Dial("tcp", gw.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, strings.ReplaceAll(all.String(), "\n", "\r\n")) }()
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if ok, no := strings.Count(string(answers), "HTTP/1.1 200"), strings.Count(string(answers), "HTTP/1.1 401"); ok != 51 || no != 50 {
		t.Errorf("got %d × 200 and %d × 401, want 51 and 50", ok, no)
	}
	if n := len(up.requests()); n != 51 {
		t.Errorf("got %d requests upstream, want 51", n)
	}
}

// TestNoStatus: an app whose status is none gets nobody a panic, whichever way the request went.
func TestNoStatus(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 099 OK\nContent-Length: 0\n\n"))
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: "http://" + up.addr})
	for _, method := range []string{"GET", "POST"} {
		if got := gw.fetch(t, method, "/", strings.NewReader("x")); got.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: got %d %.100q, want 502", method, got.StatusCode, got.body)
		}
	}
	if said := gw.log.String(); strings.Contains(said, "panic") {
		t.Errorf("the log tells of a panic: %s", said)
	}
}
