package proxy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// rules are those of the attack catalogue: /public/ is open, /admin/ wants a
// group that alice is not in, everything else wants a sign-in.
func rules(way *proxy.Upstream) []*proxy.Route {
	return []*proxy.Route{
		{Name: "all", Upstream: way},
		{Name: "public", Path: "/public/", Policy: auth.Policy{Public: true}, Upstream: way},
		{Name: "admin", Path: "/admin/", Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"admin"}}}}, Upstream: way},
	}
}

func TestPathsOnTheWire(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, rules(way)...)})
	for _, tt := range []struct {
		name, target string
		status       int
		wire         string // what the upstream sees; "" is nothing
	}{
		{"a plain path", "/public/x", 200, "/public/x"},
		{"a query byte for byte", "/x?x=1;y=2&z=%zz&\"é", 200, "/x?x=1;y=2&z=%zz&\"é"},
		{"many parameters", "/x?" + strings.Repeat("a=1&", 10001) + "hidden=y", 200, "/x?" + strings.Repeat("a=1&", 10001) + "hidden=y"},
		{"an empty query", "/x?", 200, "/x?"},
		{"canonical, upstream too", "/%7Ea/%c3%a9|%21", 200, "/~a/%C3%A9%7C%21"},
		{"P-01", "/public/../admin/", 400, ""},
		{"P-03", "/public/%2e%2e%2fadmin/", 400, ""},
		{"P-04", "/public/..%2fadmin/", 400, ""},
		{"P-05", "/public/%252e%252e/admin/", 400, ""},
		{"P-06", "/public/..;/admin/", 400, ""},
		{"P-07", "/public;/../admin/", 400, ""},
		{"P-08", "/public/.;/../admin/", 400, ""},
		{"P-09", "//admin/", 400, ""},
		{"P-10", "/.//admin/", 400, ""},
		{"P-11", "///admin/", 400, ""},
		{"P-13", "/public//../admin/", 400, ""},
		{"P-14", "/%2fadmin/", 400, ""},
		{"P-16", "/%61dmin/", 403, ""},
		{"P-16 encoded twice", "/%2561dmin/", 400, ""},
		{"P-18", `/public\..\admin\`, 400, ""},
		{"a full-width slash", "/public/%EF%BC%8F..%EF%BC%8Fadmin/", 400, ""},
		{"P-20", "/admin/#/public/", 400, ""},
		{"P-21", "/admin/%23/public/", 403, ""},
		{"P-22", "/admin/x?/public/", 403, ""},
		{"P-23", "/admin%00/public/", 400, ""},
		{"P-24", "/public/%c0%ae%c0%ae/admin/", 400, ""},
		{"P-25", "/public/%u002e%u002e/admin/", 400, ""},
		{"P-27", "/admin.", 200, "/admin."},
		{"P-28", "/public/%zz", 400, ""},
		{"P-29", "/publicity", 200, "/publicity"},
		{"P-37 encoded slash", "/.evergate%2fadmin", 400, ""},
		{"P-37 encoded dot", "/%2eevergate/logout", 404, ""},
		{"P-37 upper case", "/.EVERGATE/", 404, ""},
		{"P-37 the folder itself", "/.evergate", 404, ""},
		{"an encoded semicolon is data", "/a%3Bb", 200, "/a%3Bb"},
		{"an encoded semicolon that ends a rule's name", "/admin%3B/x", 400, ""},
		{"the absolute form", "http://gw.test/x", 400, ""},
		{"the absolute form of another host", "http://evil.test/x", 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			if res := gw.send(t, get(tt.target)); res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			all := up.requests()[before:]
			if tt.wire == "" {
				if len(all) != 0 {
					t.Errorf("the upstream got %q", all)
				}
				return
			}
			if want := "GET " + tt.wire + " HTTP/1.1\r\n"; len(all) != 1 || !strings.HasPrefix(all[0], want) {
				t.Errorf("got %.300q, want %.300q", all, want)
			}
		})
	}
}

func TestOddPathsPassWhereOneRuleCoversThem(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	public := auth.Policy{Public: true}
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/", Upstream: way},
		&proxy.Route{Path: "/git/", Policy: public, PathChars: proxy.EncodedSlash, Upstream: way},
		&proxy.Route{Path: "/git/admin/", Upstream: way, PathChars: proxy.EncodedSlash},
		&proxy.Route{Path: "/java/", Policy: public, PathChars: proxy.Semicolon | proxy.DoubleSlash, Upstream: way},
		&proxy.Route{Path: "/java/admin/", Upstream: way},
		&proxy.Route{Path: "/root/*/x", Policy: public, PathChars: proxy.EncodedSlash, Upstream: way},
		&proxy.Route{Path: "/foo/*/bar", Policy: public, Upstream: way},
		&proxy.Route{Path: "/ex!act/", Upstream: way},
	)})
	for _, tt := range []struct {
		target string
		status int
	}{
		{"/git/group%2fproject", 200},
		{"/git/group%252fproject", 200},
		{"/git/admin%2fx", 400},   // a decoding upstream serves /git/admin/x
		{"/git/admin%252fx", 400}, // one that decodes twice does
		{"/git%2fx", 400},
		{"/git/a;b", 400},
		{"/git/%2fadmin/x", 400},
		{"/java/a;b=c/d", 200},
		{"/java/a//b", 200},
		{"/java/admin;x/d", 400},
		{"/java//admin/d", 400},
		{"/java/;x/admin/d", 400},
		{"/java/admin%3Bx/d", 400},
		{"/java/a%2fb", 400},
		{"/java;x/a", 400},
		{"/root/a%2fb/x", 400}, // another reading has no route of its own
		{"/other/a%2fb", 400},
		{"/.evergate;x/login", 404},
		{"/git/..%2f.evergate/login", 400},
		{"/foo/secret%23/bar", 400}, // CVE-2026-41059
		{"/foo/secret%3F/bar", 400},
		{"/foo/secret/bar", 200},
		{"/ex%21act/x", 400}, // a decoding upstream serves /ex!act/x
	} {
		before := len(up.requests())
		res := gw.send(t, request("GET", tt.target))
		if res.StatusCode != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.target, res.StatusCode, res.body, tt.status)
		}
		if n := len(up.requests()) - before; (n == 1) != (tt.status == 200) {
			t.Errorf("%s: got %d requests upstream", tt.target, n)
		}
	}
}

func TestMethods(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Upstream: way}, &proxy.Route{Path: "/r", Methods: []string{"GET", "PUT"}, Upstream: way})})
	for _, tt := range []struct {
		name, method, target string
		status               int
		allow                string
	}{
		{"GET", "GET", "/", 200, ""},
		{"WebDAV", "PROPFIND", "/", 200, ""},
		{"P-32 lower case", "get", "/", 501, ""},
		{"P-32 unknown", "GETT", "/", 501, ""},
		{"M-28 CONNECT to a path", "CONNECT", "/", 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		{"M-28 CONNECT to a host", "CONNECT", "internal:22", 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		{"M-29 TRACE", "TRACE", "/", 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		{"P-34 OPTIONS of everything", "OPTIONS", "*", 400, ""},
		{"a method the route does not list", "POST", "/r", 405, "GET, HEAD, PUT"},
		{"HEAD where GET is listed", "HEAD", "/r", 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			res := gw.send(t, strings.Replace(get(tt.target), "GET", tt.method, 1))
			if res.StatusCode != tt.status || res.Header.Get("Allow") != tt.allow {
				t.Errorf("got %d, Allow %q, want %d, %q", res.StatusCode, res.Header.Get("Allow"), tt.status, tt.allow)
			}
			if n := len(up.requests()) - before; (n == 1) != (tt.status == 200) {
				t.Errorf("got %d requests upstream", n)
			}
		})
	}
	if res := gw.send(t, "PRI * HTTP/2.0\n\n"); res.StatusCode != 400 && res.StatusCode != 505 { // P-34
		t.Errorf("PRI: got %d, want 400 or 505", res.StatusCode)
	}
}

func TestHosts(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "own ", r.URL.Path) })
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Own: own, PublicHost: "login.test:8443", Router: newRouter(t,
		&proxy.Route{Host: "gw.test", Path: "/app/", Upstream: way})})
	for _, tt := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"gw.test", "/app/", 200, "ok"},
		{"gw.test", "/x", 404, ""},
		{"evil.test", "/app/", 421, ""},
		{"evil.test", "/.evergate/login", 421, ""},
		{"evil.test", "/.evergate/style.css", 200, "own /.evergate/style.css"}, // of the page that says so
		{"evil.test", "/.evergate/icon.svg", 200, "own /.evergate/icon.svg"},
		{"evil.test", "/.evergate/pages.css", 200, "own /.evergate/pages.css"},
		{"evil.test", "/.evergate/session.js", 421, ""},
		{"evil.test", "/.evergate/style.css/", 421, ""},
		{"gw.test", "/.evergate/login", 200, "own /.evergate/login"},
		{"GW.test.:443", "/.evergate/login", 200, "own /.evergate/login"},
		{"login.test", "/.evergate/login", 200, "own /.evergate/login"},
		{"login.test", "/", 404, ""},
		{"gw.test", "/.evergate", 404, ""},
		{"gw.test", "/.evergate/a%2fb", 400, ""},
		{"gw.test@evil.test", "/app/", 400, ""},
		{"gw.test,evil.test", "/app/", 400, ""},
	} {
		res := gw.send(t, strings.Replace(get(tt.path), "gw.test", tt.host, 1))
		if res.StatusCode != tt.status || tt.body != "" && res.body != tt.body {
			t.Errorf("%s%s: got %d %q, want %d %q", tt.host, tt.path, res.StatusCode, res.body, tt.status, tt.body)
		}
	}
	for _, host := range []string{"gw.test..", "gw.test..:443", "gw..test"} { // H-20
		if res := gw.send(t, "GET /app/ HTTP/1.1\nHost: "+host+"\n\n"); res.StatusCode != 400 || !strings.Contains(res.body, "The Host header holds no host name") {
			t.Errorf("%s: got %d %.200s, want 400 for the host", host, res.StatusCode, res.body)
		}
	}
	if res := gw.send(t, "GET /app/ HTTP/1.1\nHost: gw.test\nHost: evil.test\n\n"); res.StatusCode != 400 { // H-17
		t.Errorf("two Host lines: got %d, want 400", res.StatusCode)
	}
}

// TestRequestsSayTheirHost: a route for every host serves none that nobody names. Health checks may.
func TestRequestsSayTheirHost(t *testing.T) {
	up := newUpstream(t, saysOK)
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "own") })
	gw := newGateway(t, &proxy.Gate{Own: own, Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for request, want := range map[string]int{
		"GET / HTTP/1.0\n\n":                               400,
		"OPTIONS / HTTP/1.0\n\n":                           400,
		"GET / HTTP/1.0\nHost:\n\n":                        400,
		"GET / HTTP/1.1\nHost:\n\n":                        400,
		"GET / HTTP/1.1\nHost: :443\n\n":                   400,
		"GET / HTTP/1.1\nHost: .\n\n":                      400,
		"GET / HTTP/1.1\n\n":                               400,
		"GET /.evergate/login HTTP/1.0\n\n":                400,
		"GET /.evergate/ping/x HTTP/1.0\n\n":               400,
		"GET /.evergate/p%69ng/ HTTP/1.0\n\n":              400,
		"GET /.evergate/ping HTTP/1.0\n\n":                 200,
		"HEAD /.evergate/ping HTTP/1.0\n\n":                200,
		"GET /.evergate/ping HTTP/1.1\nHost:\n\n":          200,
		"GET / HTTP/1.0\nHost: gw.test\n\n":                200,
		"GET /.evergate/login HTTP/1.0\nHost: gw.test\n\n": 200,
	} {
		if res := gw.send(t, request); res.StatusCode != want {
			t.Errorf("%q: got %d %s, want %d", request, res.StatusCode, res.body, want)
		}
	}
	if n := len(up.requests()); n != 1 {
		t.Errorf("%d requests reached the app, want the one with a host", n)
	}
	named := newGateway(t, &proxy.Gate{Own: own, Auth: alice(nil), Router: newRouter(t, &proxy.Route{Host: "gw.test", Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for request, want := range map[string]int{"GET / HTTP/1.0\n\n": 400, "GET /.evergate/ping HTTP/1.0\n\n": 200, "GET /.evergate/ping HTTP/1.0\nHost: evil.test\n\n": 421} {
		if res := named.send(t, request); res.StatusCode != want {
			t.Errorf("where routes name their hosts: %q: got %d %s, want %d", request, res.StatusCode, res.body, want)
		}
	}
}

func TestOutcomes(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	probe := &http.Cookie{Name: "probe", Value: "p", Path: "/", Secure: true}
	unconfirmed := newSession()
	unconfirmed.unconfirmed = true
	outage := &auth.Unavailable{What: "the session store", RetryAfter: 7 * time.Second, Err: errOutage}
	ws := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	for _, tt := range []struct {
		name     string
		who      auth.Authenticator
		request  string
		status   int
		decision string
		header   map[string]string
	}{
		{"signed in", alice(newSession()), get("/x"), 200, proxy.Allowed, nil},
		{"somebody to be confirmed opens a page", alice(unconfirmed), get("/x", "Accept: text/html"), 401, proxy.SignIn, map[string]string{"X-Challenge": auth.Unconfirmed}},
		{"and it fetches", alice(unconfirmed), get("/x", "Accept: text/html", "Sec-Fetch-Mode: cors"), 200, proxy.Allowed, nil},
		{"and it is in a frame", alice(unconfirmed), get("/x", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), 200, proxy.Allowed, nil},
		{"and it posts", alice(unconfirmed), strings.Replace(get("/x", "Accept: text/html", "Content-Length: 0"), "GET", "POST", 1), 200, proxy.Allowed, nil},
		{"and it opens a public page", alice(unconfirmed), get("/public/", "Accept: text/html"), 200, proxy.Public, nil},
		{"and it may not see the page", alice(unconfirmed), get("/admin/", "Accept: text/html"), 401, proxy.SignIn, nil},
		{"nobody on a protected route", alice(nil), request("GET", "/x"), 401, proxy.SignIn, map[string]string{"X-Challenge": auth.NoCookie}},
		{"nobody on a public route", alice(nil), request("GET", "/public/"), 200, proxy.Public, nil},
		{"not in the group", alice(newSession()), get("/admin/"), 403, proxy.Denied, map[string]string{"Cache-Control": "no-store"}},
		{"an outage", fails(outage), get("/x"), 503, proxy.Unavailable, map[string]string{"Retry-After": "7"}},
		{"an outage on a public route", fails(outage), get("/public/"), 200, proxy.Public, nil},
		{"a detour", fails(&auth.Detour{Cookies: []*http.Cookie{probe}}), get("/%7ex?a=%zz"), 307, proxy.Detour,
			map[string]string{"Location": "/~x?a=%zz", "Set-Cookie": "probe=p; Path=/; Secure", "Cache-Control": "private, no-store"}},
		{"a detour of an upgrade", fails(&auth.Detour{Cookies: []*http.Cookie{probe}}), get("/x", ws...), 503, proxy.Detour,
			map[string]string{"Retry-After": "1", "Set-Cookie": "probe=p; Path=/; Secure"}},
		{"a detour on a public route", fails(&auth.Detour{}), get("/public/"), 200, proxy.Public, nil},
		{"an error nobody expected", fails(errOutage), get("/x"), 503, proxy.Unavailable, nil},
		{"an error nobody expected on a public route", fails(errOutage), get("/public/"), 200, proxy.Public, nil},
		{"neither login nor error", fails(nil), get("/x"), 503, proxy.Unavailable, nil},
		{"no authenticator", nil, get("/x"), 503, proxy.Unavailable, nil},
		{"no authenticator on a public route", nil, get("/public/"), 200, proxy.Public, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := newGateway(t, &proxy.Gate{Auth: tt.who, Router: newRouter(t, rules(way)...),
				Challenge: func(w http.ResponseWriter, _ *http.Request, absent *auth.Absent) error {
					w.Header().Set("X-Challenge", absent.Reason)
					w.WriteHeader(401)
					return nil
				}})
			before := len(up.requests())
			res := gw.send(t, tt.request)
			if res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			for name, want := range tt.header {
				if got := strings.Join(res.Header[name], "|"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if got := gw.note(t).Decision; got != tt.decision {
				t.Errorf("decision: got %q, want %q", got, tt.decision)
			}
			all := up.requests()[before:]
			if (len(all) == 1) != (tt.status == 200) {
				t.Errorf("got %d requests upstream", len(all))
			}
			if len(all) == 1 && tt.decision == proxy.Public && tt.name != "and it opens a public page" && len(header(all[0], "X-Forwarded-User")) != 0 {
				t.Errorf("got an identity for nobody:\n%s", all[0])
			}
			if strings.Contains(res.body, "disk on fire") {
				t.Errorf("the cause shows: %s", res.body)
			}
		})
	}
}

func TestTheAccessLineLearns(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, rules(newWay(t, proxy.UpstreamOptions{Target: up.addr}))...)})
	gw.send(t, get("/x"))
	n := gw.note(t)
	if n.Route != "all" || n.Subject != "alice" || n.Session != "s-1" || n.Decision != proxy.Allowed || n.Upstream <= 0 || n.Err != nil {
		t.Errorf("got %+v", n)
	}
}

func TestDeniedSaysWhoAndWhat(t *testing.T) {
	s := newSession()
	s.due = fresh
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, rules(nil)...)})
	res := gw.send(t, get("/admin/x?y=1&z"))
	var problem struct{ User, Missing, Detail, Logout_URL string }
	if err := json.Unmarshal([]byte(res.body), &problem); err != nil {
		t.Fatal(err)
	}
	if problem.User != "alice" || problem.Missing != "group admin" || problem.Logout_URL != "/.evergate/logout?rd=%2Fadmin%2Fx%3Fy%3D1%26z" {
		t.Errorf("got %+v", problem)
	}
	if got := res.Header.Values("Set-Cookie"); len(got) != 1 || got[0] != fresh {
		t.Errorf("the cookie that was due: got %q", got)
	}
	page := gw.send(t, get("/admin/", "Accept: text/html"))
	for _, want := range []string{"signed in as alice", "group admin", `href="/.evergate/logout?rd=%2Fadmin%2F"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("got a page without %q:\n%s", want, page.body)
		}
	}
	if delivered, _, _ := s.counts(); delivered != 2 {
		t.Errorf("got %d deliveries for two answers", delivered)
	}
}

func TestPreflight(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/api/", PassPreflight: true, Methods: []string{"PUT"}, Upstream: way},
		&proxy.Route{Path: "/", Upstream: way})})
	cors := []string{"Origin: https://evil.test", "Access-Control-Request-Method: PUT", "Cookie: " + sid + "=alice; a=1", "Authorization: Bearer evil"}
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"passed on", request("OPTIONS", "/api/x", cors...), 200},
		{"a route that does not say so", request("OPTIONS", "/x", cors[:2]...), 401},
		{"without an origin", request("OPTIONS", "/api/x", cors[1:2]...), 405},
		{"for a method the route does not serve", request("OPTIONS", "/api/x", cors[0], "Access-Control-Request-Method: POST"), 405},
		{"with a body", request("OPTIONS", "/api/x", append(cors, "Content-Length: 1")...) + "x", 405},
		{"another method", request("PUT", "/api/x", cors[:2]...), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			if res := gw.send(t, tt.request); res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			all := up.requests()[before:]
			if (len(all) == 1) != (tt.status == 200) {
				t.Fatalf("got %d requests upstream", len(all))
			}
			for _, raw := range all {
				for _, word := range []string{"Authorization", "Bearer", "X-Forwarded-User", "alice"} {
					if strings.Contains(raw, word) {
						t.Errorf("got %q in\n%s", word, raw)
					}
				}
			}
		})
	}
}

func TestRestore(t *testing.T) {
	bodies := make(chan string, 1)
	up := newUpstream(t, saysOK)
	restore := func(r *http.Request, login *auth.Login) error {
		if r.URL.Query().Get("bad") != "" {
			return &web.Error{Status: 410, Err: errors.New("the form is gone")}
		}
		body := "kept by " + login.Identity.User
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "text/kept")
		bodies <- body
		return nil
	}
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Restore: restore,
		Router: newRouter(t, rules(newWay(t, proxy.UpstreamOptions{Target: up.addr}))...)})
	post := strings.Replace(get("/form", "Content-Length: 0"), "GET", "POST", 1)
	gw.send(t, post)
	if raw, want := up.last(t), <-bodies; !strings.HasSuffix(raw, "\r\n\r\n"+want) || header(raw, "Content-Type")[0] != "text/kept" {
		t.Errorf("got\n%s\nwant the kept form", raw)
	}
	if res := gw.send(t, strings.Replace(post, "/form", "/form?bad=1", 1)); res.StatusCode != 410 {
		t.Errorf("a form that is gone: got %d, want 410", res.StatusCode)
	}
	gw.send(t, get("/form")) // would block on bodies
	gw.send(t, request("POST", "/public/", "Content-Length: 0"))
	if n := len(up.requests()); n != 3 || len(bodies) != 0 {
		t.Errorf("got %d requests upstream, %d forms, want 3 and 0", n, len(bodies))
	}
}
