package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secureheaders"
	"github.com/evergate/evergate/proxy"
)

// TestProtectionIsWired: what the file says of a route's protection is what it does.
func TestProtectionIsWired(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "origin")
		_, _ = io.WriteString(w, r.Method)
	}))
	defer app.Close()
	g := wired(t, fmt.Sprintf(`
  - { public: true, match: { path: /csrf/ }, upstream: %[1]q, csrf: { except: [/csrf/hook], origins: ["https://portal.example.com"] } }
  - { public: true, match: { path: /off/ }, upstream: %[1]q, csrf: off }
  - { public: true, match: { path: /basic }, upstream: %[1]q, secure_headers: basic }
  - public: true
    match: { path: /more }
    respond: { body: x }
    secure_headers: { level: strict, overwrite: true, except: [X-Frame-Options], set: { Referrer-Policy: no-referrer } }
  - name: slow
    public: true
    match: { path: /slow/ }
    upstream: %[1]q
    rate_limit: { requests: 60, per: 1h, burst: 2, by: address }
`, app.URL))
	server := httptest.NewServer(g.Public)
	defer server.Close()
	for _, tt := range []struct {
		path, site, origin string
		status             int
	}{
		{"/csrf/x", "cross-site", "https://evil.example", 403},
		{"/csrf/x", "cross-site", "https://portal.example.com", 200},
		{"/csrf/x", "", "https://portal.example.com", 200},
		{"/csrf/x", "", server.URL, 200},
		{"/csrf/x", "same-site", "http://other.localhost", 403},
		{"/csrf/hook", "cross-site", "https://evil.example", 200},
		{"/off/x", "cross-site", "https://evil.example", 200},
	} {
		header := []string{"Origin", tt.origin}
		if tt.site != "" {
			header = append(header, "Sec-Fetch-Site", tt.site)
		}
		if res, body := fetch(t, "POST", server.URL+tt.path, header...); res.StatusCode != tt.status {
			t.Errorf("%s from %s (%s): got %d %s, want %d", tt.path, tt.origin, tt.site, res.StatusCode, body, tt.status)
		}
	}
	res, _ := fetch(t, "GET", server.URL+"/basic")
	if h := res.Header; h.Get("Referrer-Policy") != "origin" || h.Get("X-Frame-Options") != "SAMEORIGIN" || h.Get("Content-Security-Policy") != "" {
		t.Errorf("basic: got %v", h)
	}
	res, _ = fetch(t, "GET", server.URL+"/more")
	if h := res.Header; h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Strict-Transport-Security") != "" {
		t.Errorf("strict: got %v", h)
	}
	for i, want := range []int{200, 200, 429} {
		if res, body := fetch(t, "GET", server.URL+"/slow/"); res.StatusCode != want || res.Header.Get("RateLimit-Policy") != `"address-3600s";q=60;w=3600` {
			t.Errorf("request %d: got %d %v %s, want %d", i+1, res.StatusCode, res.Header, body, want)
		}
	}
	w := httptest.NewRecorder()
	g.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if want := `evergate_rate_limited_total{route="slow"} 1`; !strings.Contains(w.Body.String(), want+"\n") {
		t.Errorf("the metrics lack %s", want)
	}
}

// TestRateLimitOverAReload: what somebody has used stays used when the config changes
// around the limit, and begins anew when the limit itself does.
func TestRateLimitOverAReload(t *testing.T) {
	const limited = `
  - { public: true, match: { path: /limited }, respond: { body: x }, rate_limit: { requests: 2, per: 1h } }
`
	g := wired(t, limited)
	server := httptest.NewServer(g.Public)
	defer server.Close()
	expect := func(what string, statuses ...int) {
		t.Helper()
		for i, want := range statuses {
			if res, _ := fetch(t, "GET", server.URL+"/limited"); res.StatusCode != want {
				t.Errorf("%s, request %d: got %d, want %d", what, i+1, res.StatusCode, want)
			}
		}
	}
	reload := func(routes string) {
		t.Helper()
		now := g.config()
		cfg, err := config.Parse("evergate.yaml", []byte("public_url: http://localhost:8080\nidentity: [ local: { users_file: "+now.Identity[0].Local.UsersFile+" } ]\n"+
			"data_dir: "+now.DataDir+"\nroutes:\n"+routes), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		next, err := g.prepare(cfg)
		if err == nil {
			err = g.wire(next)
		}
		if err != nil {
			t.Fatal(err)
		}
		g.begin(next)
	}
	expect("at first", 200, 200, 429)
	reload(limited + "  - { public: true, match: { path: /new }, respond: { body: y } }\n")
	expect("with another route", 429)
	reload(strings.Replace(limited, "body: x", "body: z", 1))
	expect("with another answer", 429)
	reload(strings.Replace(limited, "requests: 2", "requests: 3", 1))
	expect("with another limit", 200, 200, 200, 429)
}

// TestProtectionIsRehearsed: tests of a config know what csrf refuses, and use up no limit.
func TestProtectionIsRehearsed(t *testing.T) {
	const text = `public_url: https://apps.example.com
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { path: /w/ }, upstream: "http://127.0.0.1:1", csrf: { except: [/w/hook] }, rate_limit: { requests: 1, per: 24h } }
tests:
  - { request: { method: POST, url: /w/x, headers: { Sec-Fetch-Site: cross-site } }, identity: { user: ann }, expect: { decision: refused, status: 403 } }
  - { request: { method: POST, url: /w/x, headers: { Sec-Fetch-Site: same-origin } }, identity: { user: ann }, expect: { decision: allowed, path: /w/x } }
  - { request: { method: POST, url: /w/hook, headers: { Sec-Fetch-Site: cross-site } }, identity: { user: ann }, expect: { decision: allowed, path: /w/hook } }
  - { request: /w/y, identity: { user: ann }, expect: { decision: allowed, path: /w/y } }
`
	try := func(text string) error {
		cfg, err := config.Parse("x", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return runTests(t.Context(), cfg)
	}
	if err := try(text); err != nil {
		t.Error(err)
	}
	if err := try(strings.Replace(text, "csrf: {", "csrf: { origins: [\"https://a.example\"],", 1)); err != nil {
		t.Error(err)
	}
	if err := try(strings.Replace(text, "csrf: { except: [/w/hook] }, ", "", 1)); err == nil || !strings.Contains(err.Error(), "tests[0].expect") {
		t.Errorf("without the shield: got %v, want the first test to fail", err)
	}
}

// TestProtectionGuide: its table of headers is the one that answers get, and the words
// that it names are said.
func TestProtectionGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/protection.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	listed := map[string][2]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z-]+)` \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
		basic, strict, _ := strings.Cut(m[2], "|")
		value := func(s string) string {
			return strings.Trim(strings.TrimSuffix(strings.TrimSpace(s), ", over https alone"), "`")
		}
		listed[m[1]] = [2]string{value(basic), value(strict)}
	}
	for i, level := range secureheaders.Levels {
		for _, l := range secureheaders.Of(level) {
			if listed[l.Name][i] != l.Value {
				t.Errorf("%s of %s: the guide says %q, want %q", l.Name, level, listed[l.Name][i], l.Value)
			}
		}
	}
	if got, want := len(listed), len(secureheaders.Names("strict")); got != want {
		t.Errorf("the guide lists %d headers, want %d", got, want)
	}
	code := sources(t, "../../proxy/*.go") + sources(t, "../../internal/metrics/*.go")
	for _, word := range []string{"cross_site", "method_override", "rate_limited", proxy.RateLimited, "evergate_rate_limited_total"} {
		if !strings.Contains(text, "`"+word+"`") || !strings.Contains(code, `"`+word+`"`) {
			t.Errorf("%s is not in both the guide and the code", word)
		}
	}
}
