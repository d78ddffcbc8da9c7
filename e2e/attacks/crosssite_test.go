package attacks

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func init() { sections = append(sections, crossSite) }

func TestCrossSite(t *testing.T) {
	t.Parallel()
	crossSite.try(t, newLab(t, setup{routes: usualRoutes + `  - match: { path: /guarded/ }
    csrf: on
    upstream: %[1]q
  - match: { path: /shared/, methods: [POST, GET] }
    cors_preflight: pass
    upstream: %[1]q
  - match: { path: /shared/admin/ }
    cors_preflight: pass
    allow: [ groups: [admin] ]
    upstream: %[1]q
`}))
}

// crossSiteSenders are what browsers say of a page of another site that sends something, and
// what a page could make of it.
var crossSiteSenders = [][]string{
	{"Origin: https://evil.test"},
	{"Origin: https://evil.test", "Sec-Fetch-Site: cross-site"},
	{"Sec-Fetch-Site: cross-site"},
	{"Sec-Fetch-Site: same-site", "Origin: https://" + otherHost},
	{"Origin: https://" + gatewayHost + ".evil.test"},
	{"Origin: https://evil.test/" + gatewayHost},
	{"Origin: https://evil.test", "Referer: https://" + gatewayHost + "/"},
	{"Origin: https://evil.test", "X-Forwarded-Host: evil.test", "X-Original-Host: evil.test"},
	{"Origin: https://evil.test", "X-HTTP-Method-Override: GET"},
}

// crossSite are requests that another site makes a browser send, and what it would do with
// the answers.
var crossSite = &section{name: "Cross-site requests and framing", test: "TestCrossSite", attacks: []attack{
	{"X-01", "high", "POST by a page of another site: to sign in, sign out, change a password, end a device, to an app with `csrf: on`, and to the operator's listener",
		"403 before anything happens, whatever else is said of where it comes from; the operator's listener wants its token besides", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, from := range crossSiteSenders {
				l.crossSiteRefuses(cookie, from)
			}
			l.get("/x", cookie).status(t, 200) // she is signed in still
			var refused []string
			for _, path := range []string{"/api/sessions/revoke", "/api/reload"} {
				refused = append(refused, "admin.refused/credentials")
				if status := l.crossSitePost(path, "application/json", `{"user":"alice"}`, "Origin: https://evil.test"); status != 401 {
					t.Errorf("the operator's %s answers %d to another site", path, status)
				}
			}
			for _, path := range []string{"/", "/signin", "/revoke", "/reload"} {
				if status := l.crossSitePost(path, "application/x-www-form-urlencoded", "user=alice", "Origin: https://evil.test", "Sec-Fetch-Site: cross-site"); status < 400 || status >= 500 {
					t.Errorf("the dashboard's %s answers %d to another site", path, status)
				}
				if status := l.crossSitePost(path, "application/x-www-form-urlencoded", "user=alice", "Referer: http://evil.test/"); status < 400 || status >= 500 {
					t.Errorf("the dashboard's %s answers %d to a page that only Referer names", path, status)
				}
			}
			l.saw(traces{app: 1, events: refused})
		}},
	{"X-03", "medium", "the same with `Origin: null`, of a sandboxed frame or a redirect, and with a `Referer` alone",
		"403: null is nobody's origin", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			l.crossSiteRefuses(cookie, []string{"Origin: null"})
			l.crossSiteRefuses(cookie, []string{"Origin: null", "Sec-Fetch-Site: cross-site"})
			for _, from := range []string{"Origin: NULL", "Referer: https://evil.test/", "Origin:"} {
				l.post("/guarded/x", "a=1", cookie, from).status(t, 403)
			}
			l.post("/guarded/x", "a=1", cookie).status(t, 403) // nobody says where it comes from
			l.post("/guarded/x", "a=1", cookie, "Origin: https://"+l.host).status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"X-04", "high", "preflights of another site's page for the gateway's pages and for apps, with credentials and with the header for private networks",
		"no `Access-Control-Allow-…`, and nothing at an app that did not ask for preflights", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, method := range []string{"POST", "GET", "DELETE"} {
				for _, at := range []string{"/.evergate/session", "/.evergate/login", "/.evergate/logout", "/.evergate/account", "/.evergate/session.js", "/x", "/admin/", "/guarded/"} {
					r := l.one(l.request("OPTIONS", at, cookie, "Origin: https://evil.test", "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: authorization, x-forwarded-user",
						"Access-Control-Request-Private-Network: true"))
					r.crossSiteGrantsNothing(t, at)
				}
			}
			// Whoever is signed in may ask apps by OPTIONS, as by any method: /x and /guarded/ got theirs.
			for _, g := range l.saw(traces{app: 6}) {
				if g.URL.Path == "/admin/" {
					t.Errorf("the app got %q", g.head())
				}
			}
		}},
	{"X-05", "high", "`Origin: https://evil.test`, `null`, the gateway's own, to all of the gateway's answers, and to an app that says nothing of origins",
		"no `Access-Control-Allow-Origin`, so that there is none to vary by Origin; public keys and metadata alone say `*`, the same to everybody and without credentials", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, origin := range []string{"https://evil.test", "null", "https://" + l.host, "https://" + otherHost} {
				for _, at := range []string{"/.evergate/session", "/.evergate/login", "/.evergate/logout", "/.evergate/account", "/.evergate/session.js", "/.evergate/none", "/admin/"} {
					l.get(at, cookie, "Origin: "+origin).crossSiteGrantsNothing(t, at)
				}
				for _, at := range []string{"/.evergate/jwks.json", "/.evergate/.well-known/openid-configuration"} {
					r := l.get(at, cookie, "Origin: "+origin)
					if got := r.Header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != "*" || r.Header["Access-Control-Allow-Credentials"] != nil || r.Header["Set-Cookie"] != nil {
						t.Errorf("%s is answered with %v", at, r.Header)
					}
				}
				l.get("/nothing", "Origin: "+origin).crossSiteGrantsNothing(t, "a page for nobody")
			}
			l.app.answers(t, func(*got) string { return answer(200, "", "") })
			l.get("/x", cookie, "Origin: https://evil.test").crossSiteGrantsNothing(t, "an app")
			l.saw(traces{app: 1})
		}},
	{"X-06", "medium", "a body of `text/plain` that reads as JSON or as a form, JSON, multipart, no type and two, to the pages that change something",
		"415, and nothing changes", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			form := crossSiteForm()
			for _, kind := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencoded, text/plain", "text/plain; application/x-www-form-urlencoded"} {
				for _, body := range []string{form, `{"username":"alice","password":"` + password + `"}`} {
					for _, at := range []string{"/.evergate/login", "/.evergate/logout", "/.evergate/account/password", "/.evergate/account/signout"} {
						r := l.one(l.request("POST", at, cookie, "Origin: https://"+l.host, "Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(body))) + body)
						r.status(t, 415)
					}
				}
			}
			l.get("/x", cookie).status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"X-07", "high", "every page that the gateway shows, looked at for what lets another site frame it, read it or run a script in it",
		"`frame-ancestors 'none'`, X-Frame-Options, COOP, CORP, nosniff, a Referrer-Policy, `no-store`; no script and no style in the page itself. " +
			"What is shown inside a frame has no form, and leads to the page outside", crossSitePages},
	{"X-08", "high", "requests of scripts without a session: `fetch`, XMLHttpRequest, `Accept: application/json`, images, event streams, WebSockets, beside a navigation",
		"401 with problem+json and no way to anywhere; the navigation alone is sent to the sign-in page of this host", func(t *testing.T, l *lab) {
			for _, lines := range [][]string{
				{"Accept: application/json"}, {"Accept: */*"}, {}, {"X-Requested-With: XMLHttpRequest", "Accept: text/html"},
				{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/html"}, {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Accept: text/html"},
				{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"}, {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: worker", "Accept: text/html"},
				{"Accept: text/event-stream"}, {"Authorization: Bearer x", "Accept: application/json"}, {"Origin: https://evil.test", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site"},
			} {
				for _, method := range []string{"GET", "POST", "PUT", "OPTIONS"} {
					r := l.one(l.request(method, "/x", lines...))
					r.status(t, 401)
					if at := r.Header.Get("Location"); at != "" || method != "HEAD" && r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("Set-Cookie") != "" || r.Header.Get("Refresh") != "" {
						t.Errorf("%s %q is answered with %v", method, lines, r.Header)
					}
					r.crossSiteGrantsNothing(t, "a 401")
				}
			}
			r := l.get("/x", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html")
			r.status(t, 302, 303)
			l.denied(r)
			l.saw(traces{})
		}},
	{"X-09", "critical", "to a route with `cors_preflight: pass`: preflights, with a session and without, and requests that look like one: without Origin, with a body, by another method, for a path beside it",
		"a preflight passes without any identity; everything else is decided on as ever", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			flight := []string{"Origin: https://app.test", "Access-Control-Request-Method: POST"}
			with := func(lines ...string) []string { return append(lines, flight...) }
			l.one(l.request("OPTIONS", "/shared/x", flight...)).status(t, 200)
			l.one(l.request("OPTIONS", "/shared/x", with(cookie, "Authorization: Bearer "+headersEvil, "X-Forwarded-User: "+headersEvil, "X_Auth_User: "+headersEvil)...)).status(t, 200)
			l.one(l.request("OPTIONS", "/shared/admin/x", with(cookie)...)).status(t, 200)
			for _, method := range []string{"POST", "GET", "PUT", "DELETE", "options", "QUERY"} {
				r := l.one(l.request(method, "/shared/x", flight...))
				if r.status(t, 401, 403, 405, 501, 404); r.StatusCode == 200 {
					t.Errorf("%s: %d", method, r.StatusCode)
				}
			}
			l.denied(l.one(l.request("OPTIONS", "/shared/admin/x", "Access-Control-Request-Method: POST")))
			l.denied(l.one(l.request("OPTIONS", "/shared/admin/x", "Origin: https://app.test")))
			l.denied(l.one(l.request("OPTIONS", "/x", flight...)))
			l.denied(l.one(l.request("OPTIONS", "/admin/", flight...)))
			l.denied(l.one(l.request("OPTIONS", "/shared/admin/x", with("Content-Length: 1")...) + "x"))
			l.denied(l.one(l.request("OPTIONS", "/shared/admin/x", with("Transfer-Encoding: chunked")...) + "0\r\n\r\n"))
			l.denied(l.one(l.request("OPTIONS", "/shared/admin/x", with("Upgrade: websocket")...)))
			l.one(l.request("OPTIONS", "/shared/../admin/", flight...)).status(t, 400)
			l.one(l.request("OPTIONS", "/shared/x", "Origin: https://app.test", "Access-Control-Request-Method: PUT")).status(t, 401, 405) // no such method there
			for _, g := range l.saw(traces{app: 3}) {
				g.headersClean(t)
				g.without(t, "Authorization", "X-Forwarded-User", "X-Forwarded-Groups", "X-Forwarded-Email", "X-Forwarded-Preferred-Username")
				if g.Method != "OPTIONS" || len(g.body) > 0 || strings.Contains(g.head(), "evergate") {
					t.Errorf("the app got %q", g.raw)
				}
			}
		}},
}}

func crossSiteForm() string {
	return url.Values{"username": {"alice"}, "password": {password}, "rd": {"/"}, "which": {"all"}, "current": {password}, "new": {"another few words"}}.Encode()
}

// crossSiteRefuses sends what changes something as a page of another site does.
func (l *lab) crossSiteRefuses(cookie string, from []string) {
	l.t.Helper()
	for _, at := range []string{"/.evergate/login", "/.evergate/logout", "/.evergate/account/password", "/.evergate/account/signout", "/guarded/x"} {
		for _, as := range []string{cookie, "Cookie: a=1"} {
			r := l.post(at, crossSiteForm(), append([]string{as}, from...)...)
			if r.status(l.t, 403); r.StatusCode != 403 {
				l.t.Errorf("%s by %q", at, from)
			}
			if r.Header.Get("Set-Cookie") != "" {
				l.t.Errorf("%s by %q sets %q", at, from, r.Header["Set-Cookie"])
			}
		}
	}
}

// crossSitePost sends to the admin listener what a browser would, without its token.
func (l *lab) crossSitePost(path, kind, body string, lines ...string) (status int) {
	l.t.Helper()
	req, err := http.NewRequest("POST", "http://"+l.admin+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// crossSiteGrantsNothing fails the case if an answer lets pages of other origins read it.
func (r *reply) crossSiteGrantsNothing(t *testing.T, what string) {
	t.Helper()
	for name, values := range r.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Timing-Allow-Origin" {
			t.Errorf("%s is answered with %s: %q", what, name, values)
		}
	}
}

// crossSiteInline finds what a page must not have: code or style of its own.
var crossSiteInline = regexp.MustCompile(`(?i)<script(?:>|\s[^>]*[^>]*>\s*[^<\s])|<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<iframe|<object|<base`)

func crossSitePages(t *testing.T, l *lab) {
	cookie := l.signedIn("alice")
	const html = "Accept: text/html"
	pages := map[string]*reply{
		"sign in": l.get("/.evergate/login?rd=%2Fx", html), "sign out": l.get("/.evergate/logout", html, cookie), "signed out": l.get("/.evergate/logout", html),
		"account": l.get("/.evergate/account", html, cookie), "password": l.get("/.evergate/account/password", html, cookie), "resend": l.get("/.evergate/resend", html, cookie),
		"landed": l.get("/.evergate/landed?rd=%2F", html), "no such page": l.get("/.evergate/none", html), "denied": l.get("/admin/", html, cookie), "refused": l.get("/a//b", html),
		"another site": l.post("/.evergate/login", crossSiteForm(), html, "Origin: https://evil.test"), "a method": l.one(l.request("PUT", "/.evergate/login", html)),
	}
	for name, r := range pages {
		if r.StatusCode == 303 || r.StatusCode == 302 {
			t.Errorf("%s: there is no page, but a way to %s", name, r.Header.Get("Location"))
			continue
		}
		if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
			t.Errorf("%s: %s is no page", name, kind)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := r.Header[header]; len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("%s: %s is %q, want %s", name, header, got, want)
			}
		}
		// Forms lead on to a provider or to an app's own host, and browsers ask the policy for that too.
		policy := strings.Replace(r.Header.Get("Content-Security-Policy"), "form-action 'self' https:", "form-action 'self'", 1)
		for _, bad := range []string{"unsafe", "http:", "https:", "*", "data:"} {
			if strings.Contains(policy, bad) {
				t.Errorf("%s: the policy has %s: %s", name, bad, policy)
			}
		}
		for _, need := range []string{"default-src 'none'", "base-uri 'none'", "; form-action 'self'", "; frame-ancestors 'none'"} {
			if !strings.Contains(policy, need) {
				t.Errorf("%s: the policy lacks %s: %s", name, need, policy)
			}
		}
		if bad := crossSiteInline.FindString(r.body); bad != "" {
			t.Errorf("%s: the page has %q", name, bad)
		}
	}
	framed := l.get("/x", html, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site")
	framed.status(t, 401)
	if strings.Contains(framed.body, "<form") || strings.Contains(framed.body, "<script") || !strings.Contains(framed.body, "/.evergate/login") {
		t.Errorf("inside a frame is shown %s", framed.body)
	}
	l.saw(traces{events: []string{"login.failed/cookie_lost"}}) // of "landed"
}
