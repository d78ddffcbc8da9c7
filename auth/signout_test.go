package auth_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

func TestSignOut(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	ask := b.get("/.evergate/logout?rd=/w/%3Fa")
	ask.want(t, 200, "<title>Sign out?", "<strong>alice</strong> (Name of alice)", `<form method="post" action="/.evergate/logout">`, `name="rd" value="/w/?a"`, `<a href="/w/?a">Stay signed in</a>`)
	b.get("/still").want(t, 200, "the app")

	p := b.submit(b.get("/.evergate/logout"))
	p.want(t, 200, "<title>Signed out", "<strong>alice</strong>, you are signed out of", `href="/.evergate/login?rd=%2F"`)
	if got := p.Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("L-05 got Clear-Site-Data %q", got)
	}
	h.got()
	b.get("/app").want(t, 200, "<h1>Sign in</h1>")
	if got := h.got(); len(got) != 0 {
		t.Errorf("after signing out the app got %+v", got)
	}
	b.get("/.evergate/logout").want(t, 200, "You are signed out of")
}

func TestSignOutGoesOn(t *testing.T) {
	h := open(t)
	for _, c := range []struct{ name, uri, body string }{
		{"rd in the form", "/.evergate/logout", "rd=%2Fpublic"},
		{"rd in the address", "/.evergate/logout?rd=/public", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.browser()
			b.signIn("/", "alice")
			p := b.do("POST!", c.uri, urlencoded, c.body)
			p.want(t, 303)
			if got := p.Header.Get("Location"); got != "/public" {
				t.Errorf("got Location %q, want /public", got)
			}
		})
	}
}

func TestSignOutThatDoesNotHappen(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	ask := b.get("/.evergate/logout")
	h.sessions.set(func() { h.sessions.fault = &auth.Unavailable{What: "the session store"} })
	p := b.submit(ask)
	p.want(t, 503, "<h1>Error: You are still signed in</h1>", "You are NOT signed out.", `href="/.evergate/logout`)
	if got := p.Header.Values("Set-Cookie"); len(got) != 0 || p.Header.Get("Retry-After") == "" || p.Header.Get("Clear-Site-Data") != "" {
		t.Errorf("got Set-Cookie %q, Retry-After %q: the cookie must stay", got, p.Header.Get("Retry-After"))
	}
	h.sessions.set(func() { h.sessions.fault = nil })
	b.get("/app").want(t, 200, "the app")
}

func TestCrossSite(t *testing.T) {
	h := open(t)
	creds := url.Values{"username": {"bob"}, "password": {"bobbob"}}.Encode()
	for _, c := range []struct {
		name   string
		header []string
		want   int // of both; 0 is success
	}{
		{"our own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", h.URL}, 0},
		{"an older browser on our own page", []string{"Sec-Fetch-Site", "", "Origin", h.URL}, 0},
		{"a program", []string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""}, 0},
		{"X-01 another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"X-01 another site, older browser", []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, 403},
		{"X-01 a sibling host", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://sub.gw.test"}, 403},
		{"X-03 Origin: null", []string{"Sec-Fetch-Site", "", "Origin", "null"}, 403},
		{"X-03 Origin: null and cross-site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403},
		{"another site, of which Referer alone tells", []string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Referer", "http://evil.example/"}, 403},
		{"our own page, of which Referer alone tells", []string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Referer", h.URL + "/.evergate/login"}, 0},
		{"another port is another origin", []string{"Sec-Fetch-Site", "", "Origin", "http://127.0.0.1:1"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.browser()
			b.signIn("/", "alice")
			p := b.do("POST!", "/.evergate/login", urlencoded, creds, c.header...)
			if want := cmp.Or(c.want, 303); p.StatusCode != want {
				t.Errorf("login: got %d, want %d", p.StatusCode, want)
			}
			p = b.do("POST!", "/.evergate/logout", urlencoded, "", c.header...)
			if want := cmp.Or(c.want, 200); p.StatusCode != want {
				t.Errorf("logout: got %d, want %d", p.StatusCode, want)
			}
			h.got()
			b.get("/whose")
			got := h.got()
			if signedOut := len(got) == 0; signedOut != (c.want == 0) {
				t.Errorf("afterwards the app got %+v", got)
			}
			if c.want == 403 && (len(got) != 1 || got[0].user != "alice") {
				t.Errorf("another site changed who is signed in: %+v", got)
			}
		})
	}
	t.Run("a page at http under our own name, older browser", func(t *testing.T) {
		h := open(t, func(c *auth.HandlerConfig) {
			u := *c.PublicURL
			u.Scheme = "https"
			c.PublicURL = &u
		})
		for origin, want := range map[string]int{h.URL: 403, strings.ToUpper(h.URL): 403, strings.Replace(h.URL, "http:", "https:", 1): 303} {
			if p := h.browser().do("POST!", "/.evergate/login", urlencoded, creds, "Sec-Fetch-Site", "", "Origin", origin); p.StatusCode != want {
				t.Errorf("from %s: got %d, want %d", origin, p.StatusCode, want)
			}
		}
	})
	t.Run("L-01 an image cannot sign out", func(t *testing.T) {
		b := h.browser()
		b.signIn("/", "alice")
		b.get("/.evergate/logout", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
		b.get("/app").want(t, 200, "the app")
	})
}

func TestMethodsAndPaths(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		method, path string
		want         int
		allow        string
	}{
		{"GET", "/.evergate/ping", 200, ""},
		{"HEAD", "/.evergate/ping", 200, ""},
		{"POST", "/.evergate/ping", 405, "GET, HEAD"},
		{"OPTIONS", "/.evergate/session", 405, "GET, HEAD"},
		{"HEAD", "/.evergate/login", 200, ""},
		{"PUT", "/.evergate/login", 405, "GET, HEAD, POST"},
		{"DELETE", "/.evergate/logout", 405, "GET, HEAD, POST"},
		{"POST", "/.evergate/session", 405, "GET, HEAD"},
		{"POST", "/.evergate/landed", 405, "GET, HEAD"},
		{"POST", "/.evergate/resend", 405, "GET, HEAD"},
		{"GET", "/.evergate/style.css", 200, ""},
		{"HEAD", "/.evergate/style.css?v=1", 200, ""},
		{"GET", "/.evergate/icon.svg", 200, ""},
		{"POST", "/.evergate/style.css", 405, "GET, HEAD"},
		{"GET", "/.evergate/jwks.json", 200, ""},
		{"HEAD", "/.evergate/session.js", 200, ""},
		{"POST", "/.evergate/session.js", 405, "GET, HEAD"},
		{"GET", "/.evergate/", 404, ""},
		{"GET", "/.evergate/login/", 404, ""},
		{"GET", "/.evergate/LOGIN", 404, ""},
		{"GET", "/.evergate/%6cogin", 404, ""},
		{"GET", "/.evergate/auth", 404, ""},
		{"GET", "/.evergate/metrics", 404, ""},
		{"POST", "/.evergate/nothing", 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			p := h.browser().do(c.method+"!", c.path, "", "")
			p.want(t, c.want)
			if got := p.Header.Get("Allow"); got != c.allow {
				t.Errorf("got Allow %q, want %q", got, c.allow)
			}
			cacheable := c.want == 200 && (strings.Contains(c.path, "style.css") || strings.Contains(c.path, "icon.svg") || strings.Contains(c.path, "session.js") || strings.Contains(c.path, "jwks"))
			if got := p.Header.Get("Cache-Control"); (got == "no-store") == cacheable {
				t.Errorf("got Cache-Control %q", got)
			}
			if p.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("X-05 another origin is allowed to read")
			}
		})
	}
	if p := h.browser().get("/.evergate/ping"); p.body != "ok\n" {
		t.Errorf("ping: got %q", p.body)
	}
}

func TestSessionForScripts(t *testing.T) {
	h := open(t)
	b := h.browser()
	for _, header := range [][]string{nil, {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*", "Referer", h.URL + "/spa"}} {
		p := b.do("GET!", "/.evergate/session", "", "", header...)
		p.want(t, 401, `"login_url":"`+h.URL+`/.evergate/login?rd=`)
		if got := p.Header.Get("Content-Type"); got != "application/problem+json" || p.Header.Get("Www-Authenticate") == "" {
			t.Errorf("got %q, want problem+json with a challenge, whoever asks", got)
		}
	}
	b.signIn("/", "alice")
	p := b.get("/.evergate/session", "Sec-Fetch-Mode", "cors", "Accept", "*/*")
	p.want(t, 200)
	var got map[string]any
	if err := json.Unmarshal([]byte(p.body), &got); err != nil {
		t.Fatalf("got no JSON: %v in %s", err, p.body)
	}
	for key, want := range map[string]any{
		"user": "alice", "provider": "local", "subject": "alice", "name": "Name of alice", "email": "alice@example.org", "auth_time": "2026-03-04T12:00:00Z",
		"ends": "2026-03-06T12:00:00Z", "ends_in": 172800.0, "idle_ends": "2026-03-04T13:00:00Z", "idle_ends_in": 3600.0,
		"renews": "2026-03-04T11:59:59Z", "renews_in": 0.0,
	} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
	if strings.Contains(p.body, "ACCESS-TOKEN") || strings.Contains(strings.ToLower(p.body), "token") {
		t.Errorf("the answer holds a token: %s", p.body)
	}
	if got := p.Header; got.Get("Content-Type") != "application/json" || got.Get("Cache-Control") != "no-store" || got.Get("Vary") != "Cookie" {
		t.Errorf("got headers %v", got)
	}
	h.sessions.set(func() { h.sessions.fault = &auth.Unavailable{What: "the session store"} })
	p = b.get("/.evergate/session")
	p.want(t, http.StatusServiceUnavailable, `"code":"unavailable"`)
	if p.Header.Get("Retry-After") == "" || p.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an outage is not said as one: %v", p.Header)
	}
}
