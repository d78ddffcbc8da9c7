package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// deciding are routes whose apps a proxy in front knows.
func deciding() []*proxy.Route {
	return []*proxy.Route{
		{Name: "all", Host: "gw.test"},
		{Name: "public", Host: "gw.test", Path: "/public/", Policy: auth.Policy{Public: true}},
		{Name: "admin", Host: "gw.test", Path: "/admin/", Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"admin"}}}}},
		{Name: "wiki", Host: "*.wiki.test", RequestHeaders: proxy.Headers{Set: map[string]string{"x-wiki-user": "{user}"}}},
		{Name: "own", Host: "gw.test", Path: "/moved", Answer: &proxy.Redirect{To: "/x", Status: 307}},
		{Name: "shared", Host: "gw.test", Path: "/shared/", Methods: []string{"GET", "POST"}, PassPreflight: true},
		{Name: "open", Host: "gw.test", Path: "/open/", Policy: auth.Policy{Public: true}, PassHeaders: []string{"Authorization"}},
	}
}

// asked is a gateway that a proxy in front asks.
type asked struct {
	*gateway
	gate *proxy.Gate
}

// newAsked has proxies of one dialect ask g, from an address that is trusted.
func newAsked(t testing.TB, dialect proxy.Dialect, g *proxy.Gate, trusted ...string) *asked {
	t.Helper()
	if g.Router == nil {
		g.Router = newRouter(t, deciding()...)
	}
	if trusted == nil {
		trusted = []string{"127.0.0.0/8"}
	}
	a := &asked{gateway: &gateway{log: &logs{}}, gate: g}
	g.Log = slog.New(slog.NewTextHandler(a.log, nil))
	f := &proxy.ForwardAuth{Gate: g, Dialect: dialect, PublicURL: &url.URL{Scheme: "https", Host: "gw.test:8443"}}
	var prefixes []netip.Prefix
	for _, s := range trusted {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	f.Trusted = prefixes
	a.Server = httptest.NewServer(f.Handler(func(next http.Handler) http.Handler {
		return web.Serve(next, web.Options{Log: g.Log, TrustedProxies: prefixes})
	}))
	t.Cleanup(a.Close)
	return a
}

// ask is the question of a proxy that is no nginx and no Envoy.
func ask(method, uri string, lines ...string) string {
	return askAs(method, "gw.test:8443", uri, lines...)
}

func askAs(method, host, uri string, lines ...string) string {
	lines = append([]string{"X-Forwarded-Method: " + method, "X-Forwarded-Proto: https", "X-Forwarded-Host: " + host,
		"X-Forwarded-Uri: " + uri, "X-Forwarded-For: 192.0.2.7"}, lines...)
	return "GET /.evergate/auth HTTP/1.1\nHost: evergate:9091\n" + strings.Join(lines, "\n") + "\n\n"
}

// challenged answers as the pages do.
func challenged(w http.ResponseWriter, r *http.Request, absent *auth.Absent) error {
	w.Header().Set("X-Reason", absent.Reason)
	if web.IsNavigation(r) {
		w.Header().Set("Location", "/.evergate/login?rd="+url.QueryEscape(r.URL.RequestURI()))
		w.WriteHeader(http.StatusFound)
		return nil
	}
	return &web.Error{Status: 401, Code: "login_required"}
}

func TestForwardAuthAnswers(t *testing.T) {
	s := newSession()
	s.due = fresh
	quiet := newSession()
	turned := func(r *http.Request) bool { return strings.Contains(r.Header.Get("Cookie"), "turned") }
	const html = "Accept: text/html"
	for _, tt := range []struct {
		name    string
		who     auth.Authenticator
		request string
		status  int
		nginx   int
		header  map[string]string
	}{
		{"signed in", alice(quiet), ask("GET", "/x?a=1;b=%zz", aliceCookie), 200, 200, map[string]string{
			"Authorization": "Bearer good.token", "X-Forwarded-User": "alice", "X-Forwarded-Groups": "staff,dev", "X-Forwarded-Email": "alice@example.com",
			"X-Forwarded-Preferred-Username": "ali", "X-Wiki-User": "", "Cache-Control": "no-store", "Vary": "Cookie", "Set-Cookie": ""}},
		{"nobody opens a page", alice(nil), ask("GET", "/x?a=1&b=2", html), 302, 401, map[string]string{"Location": "https://gw.test:8443/.evergate/login?rd=%2Fx%3Fa%3D1%26b%3D2"}},
		{"nobody fetches", alice(nil), ask("GET", "/x"), 401, 401, map[string]string{"Content-Type": "application/problem+json"}},
		{"nobody posts", alice(nil), ask("POST", "/x"), 401, 401, nil},
		{"a public page", alice(nil), ask("GET", "/public/x"), 200, 200, map[string]string{"Authorization": "", "X-Forwarded-User": ""}},
		{"a public page and somebody", alice(quiet), ask("GET", "/public/x", aliceCookie), 200, 200, map[string]string{"X-Forwarded-User": "alice"}},
		{"not in the group", alice(quiet), ask("GET", "/admin/", aliceCookie, html), 403, 403, nil},
		{"an outage", fails(&auth.Unavailable{What: "the session store", RetryAfter: 7 * time.Second}), ask("GET", "/x"), 503, 403, map[string]string{"Retry-After": "7"}},
		{"a detour", fails(&auth.Detour{Cookies: []*http.Cookie{{Name: "probe", Value: "p"}}}), ask("GET", "/x?y", html), 307, 401,
			map[string]string{"Location": "https://gw.test:8443/x?y", "Set-Cookie": "probe=p"}},
		{"an unknown path", alice(quiet), ask("GET", "/moved/on", aliceCookie), 200, 200, nil},
		{"the gateway's own answer", alice(quiet), ask("GET", "/moved", aliceCookie), 403, 403, map[string]string{"Location": ""}},
		{"the gateway's own page", alice(quiet), ask("GET", "/.evergate/login", aliceCookie), 403, 403, nil},
		{"the gateway's own page, cased", alice(quiet), ask("GET", "/.EVERGATE/auth", aliceCookie), 404, 403, nil},
		{"another host", alice(quiet), askAs("GET", "evil.test", "/x", aliceCookie, html), 403, 403, map[string]string{"Location": ""}},
		{"a host below a named one", alice(quiet), askAs("GET", "a.wiki.test", "/x", aliceCookie), 200, 200, map[string]string{"X-Wiki-User": "alice"}},
		{"two readings", alice(quiet), ask("GET", "/public/..%2fadmin/", aliceCookie), 400, 403, nil},
		{"dots", alice(quiet), ask("GET", "/public/../admin/", aliceCookie), 400, 403, nil},
		{"an unknown method", alice(quiet), ask("GETT", "/x", aliceCookie), 501, 403, nil},
		{"CONNECT", alice(quiet), ask("CONNECT", "/x", aliceCookie), 405, 403, nil},
		{"HEAD and nobody", alice(nil), ask("HEAD", "/x"), 401, 401, nil},
		{"a preflight", alice(quiet), ask("OPTIONS", "/shared/", aliceCookie, "Origin: https://app.test", "Access-Control-Request-Method: POST"), 200, 200,
			map[string]string{"X-Forwarded-User": "", "Authorization": ""}},
		{"a preflight elsewhere", alice(nil), ask("OPTIONS", "/x", "Origin: https://app.test", "Access-Control-Request-Method: POST"), 401, 401, nil},
		{"OPTIONS", alice(nil), ask("OPTIONS", "/x"), 401, 401, nil},
		{"a socket", alice(quiet), ask("GET", "/x", aliceCookie, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "Origin: https://gw.test:8443"), 200, 200, nil},
		{"a socket whose key the proxy keeps to itself, as it opens it", alice(quiet), ask("GET", "/x", aliceCookie, "Sec-WebSocket-Version: 13", "Origin: https://gw.test:8443"), 200, 200, nil},
		{"a socket of a foreign page", alice(quiet), ask("GET", "/x", aliceCookie, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Origin: https://evil.test"), 403, 403, nil},
		{"a socket of a page on another port", alice(quiet), ask("GET", "/x", aliceCookie, "Sec-WebSocket-Version: 13", "Origin: https://gw.test"), 403, 403, nil},
		{"a client's own Authorization", alice(nil), ask("GET", "/public/x", "Authorization: Bearer evil"), 200, 200, map[string]string{"Authorization": ""}},
		{"one that the route lets pass", alice(nil), ask("GET", "/open/", "Authorization: Basic x"), 200, 200, map[string]string{"Authorization": "Basic x"}},
		{"and somebody is signed in", alice(quiet), ask("GET", "/open/", aliceCookie, "Authorization: Basic x"), 200, 200, map[string]string{"Authorization": "Bearer good.token"}},
		{"a cookie is due and a page is opened", alice(s), ask("GET", "/x?a=%2e", aliceCookie, html), 303, 401, map[string]string{
			"Location": "https://gw.test:8443/.evergate/rotate?rd=%2Fx%3Fa%3D%252e", "Set-Cookie": "", "Authorization": ""}},
		{"it was sent round just now", alice(s), ask("GET", "/x", aliceCookie+"; turned=1", html), 200, 200, map[string]string{"Set-Cookie": ""}},
		{"a cookie is due and a script fetches", alice(s), ask("GET", "/x", aliceCookie), 200, 200, map[string]string{"Set-Cookie": ""}},
		{"a cookie is due and a form is sent", alice(s), ask("POST", "/x", aliceCookie, html), 200, 200, map[string]string{"Set-Cookie": ""}},
		{"a cookie is due and the page is denied", alice(s), ask("GET", "/admin/", aliceCookie, html), 403, 403, map[string]string{"Set-Cookie": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, dialect := range proxy.Dialects {
				a := newAsked(t, dialect, &proxy.Gate{Auth: tt.who, Challenge: challenged, Turned: turned, PublicHost: "gw.test"})
				want := tt.status
				if dialect == proxy.Nginx {
					want = tt.nginx
				}
				res := a.send(t, inDialect(t, dialect, tt.request))
				if res.StatusCode != want || res.err != nil {
					t.Errorf("%s: got %d %s %v, want %d", dialect, res.StatusCode, res.body, res.err, want)
				}
				for name, value := range tt.header {
					if got := strings.Join(res.Header[name], "|"); got != value {
						t.Errorf("%s: %s: got %q, want %q", dialect, name, got, value)
					}
				}
				if want == 200 {
					for _, name := range append(proxy.IdentityHeaders, "X-Wiki-User") {
						if len(res.Header[name]) != 1 { // the client's own would stay in its place
							t.Errorf("%s: %s is there %d times, want 1", dialect, name, len(res.Header[name]))
						}
					}
				}
			}
		})
	}
	if s.delivered > 0 {
		t.Errorf("handles were delivered %d times, want never: the front proxy would attach them when the app answers", s.delivered)
	}
}

// inDialect says a question of ask's in the words of another dialect.
func inDialect(t *testing.T, dialect proxy.Dialect, request string) string {
	t.Helper()
	field := func(name string) string {
		_, rest, _ := strings.Cut(request, "\n"+name+": ")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	method, host, uri := field("X-Forwarded-Method"), field("X-Forwarded-Host"), field("X-Forwarded-Uri")
	_, rest, _ := strings.Cut(request, "X-Forwarded-For:")
	switch dialect {
	case proxy.Nginx: // $host has no port
		host, _, _ = strings.Cut(host, ":")
		return fmt.Sprintf("GET /.evergate/auth HTTP/1.0\nHost: evergate\nX-Original-URL: https://%s%s\nX-Original-Method: %s\nX-Forwarded-For:%s", host, uri, method, rest)
	case proxy.Envoy:
		return fmt.Sprintf("%s /.evergate/auth%s HTTP/1.1\nHost: %s\nX-Forwarded-Proto: https\nX-Forwarded-For:%s", method, uri, host, rest)
	}
	return request
}

// TestForwardAuthGuessesNothing has questions that are not clear, each of which one of the
// two sides could take for another.
func TestForwardAuthGuessesNothing(t *testing.T) {
	whole := ask("GET", "/x", aliceCookie)
	nginx := inDialect(t, proxy.Nginx, whole)
	without := func(s, name string) string {
		head, rest, ok := strings.Cut(s, name+":")
		_, rest, _ = strings.Cut(rest, "\n")
		if !ok {
			t.Fatal("no " + name)
		}
		return head + rest
	}
	with := func(s, line string) string { return strings.Replace(s, "\n\n", "\n"+line+"\n\n", 1) }
	for _, tt := range []struct {
		name    string
		dialect proxy.Dialect
		request string
		status  int
	}{
		{"whole", proxy.Traefik, whole, 200},
		{"another dialect's headers say nothing", proxy.Traefik, with(whole, "X-Original-URL: https://gw.test/public/"), 200},
		{"another dialect", proxy.Nginx, whole, 403},
		{"no method", proxy.Traefik, without(whole, "X-Forwarded-Method"), 403},
		{"no scheme", proxy.Traefik, without(whole, "X-Forwarded-Proto"), 403},
		{"no host", proxy.Traefik, without(whole, "X-Forwarded-Host"), 403},
		{"no path", proxy.Traefik, without(whole, "X-Forwarded-Uri"), 403},
		{"no client", proxy.Traefik, without(whole, "X-Forwarded-For"), 403},
		{"two paths", proxy.Traefik, with(whole, "X-Forwarded-Uri: /public/"), 403},
		{"two methods", proxy.Caddy, with(whole, "x-forwarded-method: POST"), 403},
		{"an alias with _", proxy.Traefik, with(whole, "X_Forwarded_Uri: /public/"), 403},
		{"an alias with .", proxy.Traefik, with(whole, "X.Forwarded.Host: evil.test"), 403},
		{"an alias of the client", proxy.HAProxy, with(whole, "X-Forwarded_For: 10.0.0.1"), 403},
		{"an empty path", proxy.Traefik, strings.Replace(whole, "X-Forwarded-Uri: /x", "X-Forwarded-Uri:", 1), 403},
		{"an absolute URL for a path", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: https://gw.test/public/", 1), 403},
		{"no slash", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: x", 1), 403},
		{"a star", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: *", 1), 403},
		{"a broken escape", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: /%zz", 1), 403},
		{"a space", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: /x y", 1), 400},
		{"a fragment", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: /x#/public/", 1), 400},
		{"two slashes", proxy.Traefik, strings.Replace(whole, "Uri: /x", "Uri: //evil.test/public/", 1), 400},
		{"two protocols to change to", proxy.Traefik, with(with(whole, "Upgrade: websocket"), "Upgrade: h2c"), 403},
		{"an empty label", proxy.Traefik, strings.Replace(whole, "Host: gw.test:8443", "Host: .wiki.test", 1), 403},
		{"a list of hosts", proxy.Traefik, strings.Replace(whole, "Host: gw.test:8443", "Host: gw.test, evil.test", 1), 403},
		{"a user in the host", proxy.Traefik, strings.Replace(whole, "Host: gw.test:8443", "Host: x@gw.test", 1), 403},
		{"a scheme of nothing", proxy.Traefik, strings.Replace(whole, "Proto: https", "Proto: wss", 1), 403},
		{"two schemes", proxy.Traefik, strings.Replace(whole, "Proto: https", "Proto: https,http", 1), 403},
		{"nginx, whole", proxy.Nginx, nginx, 200},
		{"nginx, no URL", proxy.Nginx, without(nginx, "X-Original-URL"), 403},
		{"nginx, no method", proxy.Nginx, without(nginx, "X-Original-Method"), 403},
		{"nginx, two URLs", proxy.Nginx, with(nginx, "X-Original-Url: https://gw.test/public/"), 403},
		{"nginx, an alias", proxy.Nginx, with(nginx, "X_Original_URL: https://gw.test/public/"), 403},
		{"nginx, a path for a URL", proxy.Nginx, strings.Replace(nginx, "https://gw.test/x", "/x", 1), 403},
		{"nginx, an absolute request line", proxy.Nginx, strings.Replace(nginx, "gw.test/x", "gw.testhttp://evil.test/x", 1), 403},
		{"nginx, no path", proxy.Nginx, strings.Replace(nginx, "https://gw.test/x", "https://gw.test", 1), 403},
		{"nginx, unparsable", proxy.Nginx, strings.Replace(nginx, "https://gw.test/x", "https://gw.test:x/x", 1), 403},
		{"envoy, no scheme", proxy.Envoy, without(inDialect(t, proxy.Envoy, whole), "X-Forwarded-Proto"), 403},
		{"envoy, no path", proxy.Envoy, strings.Replace(inDialect(t, proxy.Envoy, whole), "/.evergate/auth/x", "/.evergate/auth", 1), 403},
		{"envoy, another folder", proxy.Envoy, strings.Replace(inDialect(t, proxy.Envoy, whole), "/.evergate/auth/x", "/.evergate/authx", 1), 404},
		{"another path", proxy.Traefik, strings.Replace(whole, "/.evergate/auth", "/.evergate/auth/", 1), 404},
		{"an escaped spelling", proxy.Traefik, strings.Replace(whole, "/.evergate/auth", "/.evergate/%61uth", 1), 404},
		{"a page of the gateway", proxy.Traefik, strings.Replace(whole, "/.evergate/auth", "/.evergate/login", 1), 404},
		{"HEAD asks", proxy.Traefik, strings.Replace(without(whole, "X-Forwarded-Uri"), "GET", "HEAD", 1), 403},
		{"health checks", proxy.Traefik, "GET /.evergate/auth HTTP/1.1\nHost: x\nUser-Agent: kube-probe/1.30\n\n", 403},
	} {
		a := newAsked(t, tt.dialect, &proxy.Gate{Auth: alice(newSession()), Challenge: challenged, PublicHost: "gw.test"})
		if res := a.send(t, tt.request); res.StatusCode != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, res.StatusCode, res.body, tt.status)
		}
	}
}

// TestForwardAuthAnswersTrustedProxiesAlone: whoever else gets here could ask as anybody's
// proxy.
func TestForwardAuthAnswersTrustedProxiesAlone(t *testing.T) {
	a := newAsked(t, proxy.Traefik, &proxy.Gate{Auth: alice(newSession()), Challenge: challenged}, "192.0.2.0/24")
	defer func() {
		if a.Close(); strings.Count(a.log.String(), "level=WARN") != 1 || !strings.Contains(a.log.String(), "asked by a peer outside of trusted_proxies") {
			t.Errorf("want one warning for two questions:\n%s", a.log)
		}
	}()
	_ = a.send(t, ask("GET", "/x"))
	if res := a.send(t, ask("GET", "/public/", aliceCookie)); res.StatusCode != 403 || res.Header["X-Forwarded-User"] != nil || !strings.Contains(res.body, "trusted_proxies") {
		t.Errorf("got %d %s, want 403 that names trusted_proxies", res.StatusCode, res.body)
	}
}

// TestForwardAuthReadsNoBody: what a proxy announces and does not send, or sends, is not
// taken for the next question (F-12).
func TestForwardAuthReadsNoBody(t *testing.T) {
	a := newAsked(t, proxy.Traefik, &proxy.Gate{Auth: alice(newSession()), Challenge: challenged})
	for _, body := range []string{"Content-Length: 300", "Transfer-Encoding: chunked"} {
		res := a.send(t, ask("POST", "/x", aliceCookie, body))
		if res.StatusCode != 200 || !res.Close {
			t.Errorf("%s: got %d, close %v; want 200 and the connection closed", body, res.StatusCode, res.Close)
		}
	}
	if res := a.send(t, ask("POST", "/x", aliceCookie, "Content-Length: 0")); res.Close {
		t.Error("a question without a body costs the connection")
	}
}

// TestForwardAuthIsALineOfTheRequest: the log tells of the request that is asked about.
func TestForwardAuthIsALineOfTheRequest(t *testing.T) {
	a := newAsked(t, proxy.Traefik, &proxy.Gate{Auth: alice(newSession()), Challenge: challenged})
	res := a.send(t, ask("POST", "/x?secret=1", aliceCookie))
	a.Close()
	for _, want := range []string{"method=POST", "host=gw.test:8443", "path=/x ", "client=192.0.2.7", "decision=allowed", "subject=alice", "request_id=" + res.Header.Get("X-Request-Id")} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("the line lacks %s:\n%s", want, a.log)
		}
	}
	if strings.Contains(a.log.String(), "secret") || strings.Contains(a.log.String(), "good.token") {
		t.Errorf("the log has a query or a token:\n%s", a.log)
	}
}

// TestNotCarried: a proxy in front hands a request over that it was told no about, and may
// pass: its browser asks once more, with what was due to it.
func TestNotCarried(t *testing.T) {
	s := newSession()
	s.due = fresh
	g := &proxy.Gate{Auth: alice(s), Challenge: challenged, Router: newRouter(t, deciding()...),
		Turned: func(r *http.Request) bool { return strings.Contains(r.Header.Get("Cookie"), "turned") },
		Turn:   func(h http.Header) { h.Add("Set-Cookie", "turned=1") }}
	gw := newGateway(t, g)
	res := gw.send(t, get("/x?y=%2e"))
	if res.StatusCode != 307 || res.Header.Get("Location") != "/x?y=%2e" || strings.Join(res.Header["Set-Cookie"], "|") != fresh+"|turned=1" {
		t.Errorf("got %d %v, want 307 to the same address, with the cookie", res.StatusCode, res.Header)
	}
	for _, request := range []string{strings.Replace(get("/x"), "=alice", "=alice; turned=1", 1), strings.Replace(get("/x", "Content-Length: 0"), "GET", "POST", 1)} {
		if res = gw.send(t, request); res.StatusCode != 503 || !strings.Contains(res.body, "not_carried") {
			t.Errorf("got %d %s, want 503 and not_carried", res.StatusCode, res.body)
		}
	}
	for _, tt := range []struct {
		request string
		status  int
	}{{get("/admin/"), 403}, {request("GET", "/x"), 401}, {request("GET", "/x", "Accept: text/html"), 302}, {get("/.evergate/auth"), 404}} {
		if res = gw.send(t, tt.request); res.StatusCode != tt.status {
			t.Errorf("%s: got %d, want %d", tt.request, res.StatusCode, tt.status)
		}
	}
}

// TestForwardAuthSignsOutOfApps by the app's own address.
func TestForwardAuthSignsOutOfApps(t *testing.T) {
	ended := 0
	g := &proxy.Gate{Auth: alice(newSession()), Challenge: challenged, Router: newRouter(t, &proxy.Route{Host: "gw.test", LogoutPaths: []string{"/logout"}}),
		SignOut: func(h http.Header, _ *http.Request) (string, error) {
			ended++
			h.Add("Set-Cookie", "gone")
			return "/bye", nil
		}}
	a := newAsked(t, proxy.Caddy, g)
	res := a.send(t, ask("POST", "/logout", aliceCookie, "Sec-Fetch-Site: same-origin"))
	if res.StatusCode != 200 || ended != 1 || res.Header["Set-Cookie"] != nil || res.Header.Get("X-Forwarded-User") != "alice" {
		t.Errorf("got %d, %d ended, %v; want the app to have the request, and the session ended", res.StatusCode, ended, res.Header)
	}
	if a.send(t, ask("POST", "/logout", aliceCookie, "Sec-Fetch-Site: cross-site")); ended != 1 {
		t.Error("another site's page signed somebody out")
	}
}

// TestForwardAuthLimits: 429 is for the browser too.
func TestForwardAuthLimits(t *testing.T) {
	g := &proxy.Gate{Auth: alice(newSession()), Challenge: challenged, Router: newRouter(t, &proxy.Route{Host: "gw.test",
		RateLimits: []proxy.RateLimit{{Requests: 1, Per: time.Hour, By: proxy.ByUser}}})}
	a := newAsked(t, proxy.Traefik, g)
	first, second := a.send(t, ask("GET", "/x", aliceCookie)), a.send(t, ask("GET", "/x", aliceCookie))
	if first.StatusCode != 200 || second.StatusCode != 429 || second.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, then %d %v; want 200, then 429 and Retry-After", first.StatusCode, second.StatusCode, second.Header)
	}
}

// TestForwardAuthTellsWhatAppsWant: an app's own credential and headers that routes set.
func TestForwardAuthTellsWhatAppsWant(t *testing.T) {
	key := func() (secret.Text, error) { return secret.New("k3y"), nil }
	way := newWay(t, proxy.UpstreamOptions{Target: "127.0.0.1:9"})
	g := &proxy.Gate{Auth: alice(newSession()), Challenge: challenged, Router: newRouter(t,
		&proxy.Route{Host: "gw.test", Path: "/api/", Upstream: way, APIKey: &proxy.APIKey{Header: "x-api-key", Key: key}},
		&proxy.Route{Host: "gw.test", RequestHeaders: proxy.Headers{Set: map[string]string{"X-Who": "{user}", "Accept-Language": "en"}}})}
	a := newAsked(t, proxy.Traefik, g)
	api, other := a.send(t, ask("GET", "/api/", aliceCookie)), a.send(t, ask("GET", "/x", aliceCookie))
	for _, tt := range []struct{ got, want string }{
		{strings.Join(api.Header["X-Api-Key"], "|"), "k3y"}, {strings.Join(other.Header["X-Api-Key"], "|"), ""},
		{strings.Join(other.Header["X-Who"], "|"), "alice"}, {strings.Join(api.Header["X-Who"], "|"), ""},
		{fmt.Sprint(len(other.Header["X-Api-Key"]), len(api.Header["X-Who"]), len(other.Header["Accept-Language"])), "1 1 0"},
		{strings.Join(g.Router.Told(), " "), strings.Join(proxy.IdentityHeaders, " ") + " X-Api-Key X-Who"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// FuzzForwardAuth: no question makes it decide about another path than the one in it, and
// none is answered in a way that HTTP has no word for.
func FuzzForwardAuth(f *testing.F) {
	for _, s := range []string{"/x", "/admin/", "/public/..%2fadmin", "//x", "/%61dmin/", "/x?y#z", "https://gw.test/x"} {
		f.Add("GET", "gw.test", s, "https")
	}
	gate := &proxy.Gate{Auth: alice(newSession()), Router: newRouter(f, deciding()...), Challenge: challenged, PublicHost: "gw.test"}
	var decided *proxy.Decision
	gate.Decided = func(_ http.Header, _ *http.Request, d *proxy.Decision) { decided = d }
	ask := &proxy.ForwardAuth{Gate: gate, Dialect: proxy.Caddy, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, PublicURL: &url.URL{Scheme: "https", Host: "gw.test"}}
	h := ask.Handler(func(next http.Handler) http.Handler { return web.Serve(next, web.Options{}) })
	f.Fuzz(func(t *testing.T, method, host, uri, scheme string) {
		r := httptest.NewRequest(http.MethodGet, "/.evergate/auth", nil)
		r.RemoteAddr = "192.0.2.1:1234"
		r.Header = http.Header{"X-Forwarded-Method": {method}, "X-Forwarded-Host": {host}, "X-Forwarded-Uri": {uri}, "X-Forwarded-Proto": {scheme},
			"X-Forwarded-For": {"198.51.100.1"}, "Cookie": {sid + "=alice"}}
		w := httptest.NewRecorder()
		decided = nil
		h.ServeHTTP(w, r)
		res := w.Result()
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != 200 {
			return
		}
		want, bad := proxy.Clean(uri, 0)
		if bad != nil || decided == nil || decided.Target.Path != want.Path {
			t.Fatalf("%q passes by a decision about %+v", uri, decided)
		}
		if strings.HasPrefix(want.Path, "/admin/") {
			t.Fatalf("%q passes, and alice is no admin", uri)
		}
	})
}

// TestNobodyGoesRoundForEver: a browser that keeps no cookie is sent round once in a while,
// and gets its page in between.
func TestNobodyGoesRoundForEver(t *testing.T) {
	s := newSession()
	s.due = fresh
	never := func(*http.Request) bool { return false }
	a := newAsked(t, proxy.Caddy, &proxy.Gate{Auth: alice(s), Challenge: challenged, Turned: never})
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Challenge: challenged, Turned: never, Turn: func(http.Header) {}, Router: newRouter(t, deciding()...)})
	var asked, carried []int
	for range 3 {
		asked = append(asked, a.send(t, ask("GET", "/x", aliceCookie, "Accept: text/html")).StatusCode)
		carried = append(carried, gw.send(t, get("/x", "Accept: text/html")).StatusCode)
	}
	if got := fmt.Sprint(asked, carried); got != "[303 200 200] [307 503 503]" {
		t.Errorf("got %s, want one redirect each, and then an answer", got)
	}
}
