package attacks

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// headersBack are about what comes back, and about cookies.
var headersBack = []attack{
	{"H-24", "critical", "the app answers with `Set-Cookie` under the gateway's names, that of the dashboard's visits at any port among them, in several spellings, beside one of its own",
		"its own arrives, and none of the others; the log has it", func(t *testing.T, l *lab) {
			l.app.answers(t, func(*got) string {
				var lines string
				for _, name := range []string{"__Host-Http-evergate", " __Host-Http-evergate ", "=__Host-Http-evergate", "__Host-Http-evergate-flow", "__HOST-HTTP-EVERGATE", "\"__Host-Http-evergate\"", "__Host-Http-evergate-turned",
					"evergate-admin-9180", "Evergate-Admin-80", "__Host-evergate-admin"} {
					lines += "Set-Cookie: " + name + "=FIXED; Path=/; Secure; HttpOnly\r\n"
				}
				return answer(200, lines+"Set-Cookie: mine=1; Path=/\r\nset-cookie: yours=2\r\n", "")
			})
			for _, r := range []*reply{l.get("/public/x"), l.get("/x", l.signedIn("alice"))} {
				if got := r.Header["Set-Cookie"]; !slices.Equal(got, []string{"mine=1; Path=/", "yours=2"}) {
					t.Errorf("the browser got Set-Cookie: %q, want those of the app's own", got)
				}
			}
			l.saw(traces{app: 2})
			if said := l.out.from(l.before.log); !strings.Contains(said, "upstream tried to set a cookie of the gateway") {
				t.Error("the log does not say so")
			}
		}},
	{"H-25", "medium", "the app answers `Secure-Session-Registration`, `Secure-Session-Challenge`, their older names, `Clear-Site-Data: \"*\"` and `\"cookies\"`, `X-Accel-Redirect`",
		"they are removed; of Clear-Site-Data all but the cookies is left", func(t *testing.T, l *lab) {
			lines := "X-Accel-Redirect: /admin/\r\nX-Sendfile: /etc/passwd\r\nX-Sendfile2: /etc/passwd 0-9\r\nX-Lighttpd-Send-Tempfile: /etc/passwd\r\n"
			for _, name := range []string{"Secure-Session-Registration", "Secure-Session-Challenge", "Sec-Session-Registration", "Sec-Session-Challenge", "Sec-Secure-Session-Id"} {
				lines += name + ": (ES256);path=\"/bind\";challenge=\"c\"\r\n"
			}
			for _, data := range []string{`"cookies"`, `"*"`, `"COOKIES", "cache"`, `cookies`} {
				l.app.answers(t, func(*got) string { return answer(200, lines+"Clear-Site-Data: "+data+"\r\n", "") })
				r := l.get("/public/x")
				for name, values := range r.Header {
					if strings.Contains(name, "Session") || strings.HasPrefix(name, "X-Accel") || strings.HasPrefix(name, "X-Send") || strings.HasPrefix(name, "X-Lighttpd") {
						t.Errorf("the browser got %s: %q", name, values)
					}
				}
				left := strings.ToLower(r.Header.Get("Clear-Site-Data"))
				if strings.Contains(left, "cookies") || strings.Contains(left, `"*"`) || (left != "") != strings.ContainsAny(data, "*,") {
					t.Errorf("of Clear-Site-Data: %s the browser got %s", data, left)
				}
			}
			l.saw(traces{app: 4})
		}},
	{"H-27", "high", "the session cookie between others, in one line, in two and as crumbs of HTTP/2; twice; and under names that read like it; and the cookies of visits to the dashboard on the same host",
		"the app gets the others to the byte; with the cookie twice nobody is signed in", func(t *testing.T, l *lab) {
			own := strings.TrimPrefix(l.signedIn("alice"), "Cookie: ")
			name, value, _ := strings.Cut(own, "=")
			for _, lines := range [][]string{{"Cookie: a=1; " + own + `; b="x y"`}, {"Cookie: " + own + "; a=1", `Cookie: b="x y"`}, {`Cookie: a=1; b="x y"; ` + own}} {
				l.get("/x", lines...).status(t, 200)
			}
			l.headersCrumbs("/x", "a=1", own, `b="x y"`).status(t, 200)
			l.get("/public/x", "Cookie: a=1; "+own+`; b="x y"; `+own).status(t, 200)
			l.get("/public/x", `Cookie: a=1; evergate-admin-9180=visit; __Host-evergate-admin=visit; EVERGATE-ADMIN-80=visit; b="x y"`).status(t, 200)
			l.denied(l.get("/x", "Cookie: a=1; "+own+`; b="x y"; `+name+"=other"))
			l.denied(l.get("/x", "Cookie: "+own, "Cookie: "+own))
			l.denied(l.headersCrumbs("/x", own, own))
			l.get("/public/x", "Cookie: a=1; "+strings.Join([]string{" " + name + " = " + value, "=" + own, `"` + name + `"=` + value, strings.ToUpper(name) + "=" + value,
				name + "-flow=1", name + "-turned=1", name}, "; ")+`; b="x y"`).status(t, 200)
			for i, g := range l.saw(traces{app: 7}) {
				g.headersClean(t)
				if got := g.Header["Cookie"]; !slices.Equal(got, []string{`a=1; b="x y"`}) {
					t.Errorf("%d: the app got Cookie: %q", i, got)
				}
				if i < 4 {
					g.headersSpeaksFor(t, l, "alice")
				} else if g.Header["X-Forwarded-User"] != nil && i == 4 {
					t.Errorf("the cookie twice: the app is told of %q", g.Header["X-Forwarded-User"])
				}
			}
		}},
	{"H-30", "medium", "50 requests with `Expect: 100-continue`, whose bodies look like requests, to an app that answers 417 without reading them; `Expect: foo`",
		"each gets its 417, no body is taken for a request, and requests afterwards get their own answers; `Expect: foo` is 417 at once", func(t *testing.T, l *lab) {
			sent, late := 0, map[string]bool{}
			for sent-len(late) < 50 {
				if sent++; sent > 150 {
					t.Fatalf("%d of 150 requests took more than a second", len(late))
				}
				target := fmt.Sprintf("/refuses/smuggled/%d", sent)
				smuggled := "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"
				head := l.request("POST", "/refuses/x", "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(smuggled)))
				began := time.Now()
				all, _ := l.sendFor(patience, head+smuggled)
				if time.Since(began) >= time.Second { // for which the gateway waits; then it may send the body (RFC 9110 section 10.1.1)
					late[target] = true
				}
				if len(all) == 2 && all[0].StatusCode == 100 {
					all = all[1:]
				}
				if len(all) != 1 || all[0].StatusCode != 417 {
					t.Fatalf("got %d answers, the first %d %s, want one of 417", len(all), all[0].StatusCode, all[0].body)
				}
			}
			if r := l.get("/refuses/after"); r.body != "after" {
				t.Errorf("a request afterwards got %d %q", r.StatusCode, r.body)
			}
			l.get("/public/x", "Expect: foo").status(t, 417)
			got := slices.DeleteFunc(headersRefused.taken(), func(uri string) bool { return late[uri] })
			if slices.ContainsFunc(got, func(uri string) bool { return strings.Contains(uri, "smuggled") }) || len(got) != sent+1 {
				t.Errorf("the app took %d requests, the last for %q; want %d, and none of the bodies", len(got), got[max(0, len(got)-1):], sent+1)
			}
			l.saw(traces{})
		}},
}

func headersGarbage(t *testing.T, l *lab) {
	cookie := l.signedIn("alice")
	from := func(ip, target string, lines ...string) *reply {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := tls.DialWithDialer(dialer, "tcp", l.address, l.tlsConfig(gatewayHost, "http/1.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, l.request("GET", target, lines...))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s as %s: %v", target, ip, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return &reply{res, string(body)}
	}
	const proxy, peer = "127.0.0.2", "127.0.0.1"
	var want []string
	for _, c := range []struct {
		lines  []string
		client string // as the proxy tells it; "" is not to be told
	}{
		{[]string{","}, ""}, {[]string{""}, ""}, {[]string{"unknown"}, ""}, {[]string{"fe80::1%eth0"}, ""}, {[]string{"1.2.3.4:99"}, ""}, {[]string{"[::1]"}, ""},
		{[]string{"192.0.2.1", headersEvil}, ""}, {[]string{"192.0.2.1, "}, ""}, {[]string{"0x7f.1"}, ""}, {[]string{"127.1"}, ""}, {[]string{strings.Repeat(proxy+", ", 1000) + proxy}, ""},
		{[]string{headersEvil, "192.0.2.1"}, "192.0.2.1"}, {[]string{"::ffff:10.0.0.1"}, "10.0.0.1"}, {[]string{strings.Repeat("10.0.0.1, ", 1000) + "192.0.2.1"}, "192.0.2.1"},
	} {
		var lines []string
		for _, v := range c.lines {
			lines = append(lines, "X-Forwarded-For: "+v)
		}
		from(peer, "/public/x", lines...).status(t, 200)
		from(proxy, "/public/x", lines...).status(t, 200)
		want = append(want, peer, c.client)
		if c.client == "" {
			want[len(want)-1] = proxy
		}
		from(proxy, "/near/x", append(lines, cookie)...).status(t, 403)
	}
	from(peer, "/near/x", "X-Forwarded-For: ,", cookie).status(t, 200) // so that 403 above is for the garbage
	want = append(want, peer)
	for i, g := range l.saw(traces{app: len(want)}) {
		if got := g.Header["X-Forwarded-For"]; len(got) != 1 || i < len(want) && got[0] != want[i] {
			t.Errorf("request %d: the app is told of %q, want %s", i, got, want[i])
		}
	}
}

// headersCrumbs sends GET over HTTP/2, with each cookie in a field of its own.
func (l *lab) headersCrumbs(target string, cookies ...string) *reply {
	l.t.Helper()
	transport := &http.Transport{TLSClientConfig: l.tlsConfig(gatewayHost), ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, l.address)
		}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest("GET", "https://"+l.host+target, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header["Cookie"] = cookies // which net/http sends apart (RFC 9113 section 8.2.3)
	res, err := transport.RoundTrip(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		l.t.Fatalf("the gateway speaks %s", res.Proto)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return &reply{res, string(body)}
}

// headersRefuser is an app that answers what expects 100 with 417 and leaves the connection
// open, so that a body that came all the same is read as a request.
type headersRefuser struct {
	net.Listener
	mu   sync.Mutex // guards uris
	uris []string
}

// headersRefused is the one of TestHeaders.
var headersRefused *headersRefuser

func newHeadersRefuser(t *testing.T) *headersRefuser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &headersRefuser{Listener: l}
	headersRefused = r
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return r
}

func (r *headersRefuser) url() string { return "http://" + r.Addr().String() }

func (r *headersRefuser) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.uris = append(r.uris, req.RequestURI)
		r.mu.Unlock()
		said := answer(417, "", "")
		if req.Header.Get("Expect") == "" {
			said = answer(200, "", strings.TrimPrefix(req.RequestURI, "/refuses/"))
		}
		if _, err := io.WriteString(c, said); err != nil {
			return
		}
	}
}

func (r *headersRefuser) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.uris)
}
