package attacks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func init() { sections = append(sections, logouts) }

func TestSignOut(t *testing.T) {
	t.Parallel()
	providers := map[string]*oidctest.Provider{"corp": oidctest.Start(t),
		"partner": oidctest.Start(t, oidctest.Config(func(c *idp.Config) { c.SigningAlg = "ES256" }))}
	idtokenPublish(providers["corp"], oidctest.LogoutForgeries(providers["corp"]))
	logoutRevokesAt(t, providers["corp"])
	l := signinLab(t, setup{identity: signinConfig("corp", providers["corp"].Issuer) + signinConfig("partner", providers["partner"].Issuer),
		routes: `  - match: { path: /legacy/ }
    logout_paths: [/legacy/logout]
    upstream: %[1]q
` + usualRoutes}, providers)
	logouts.try(t, l)
}

// logoutRevoking is locked while a case holds up what is said to corp's revocation endpoint.
var logoutRevoking sync.RWMutex

// logoutGone counts those that would not wait for it.
var logoutGone atomic.Int64

// logoutRevokesAt has p name a revocation endpoint that leads to its own.
func logoutRevokesAt(t *testing.T, p *oidctest.Provider) {
	issuer, err := url.Parse(p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(issuer) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, _ := io.ReadAll(r.Body) // or it does not show that the client is gone
		r.Body = io.NopCloser(bytes.NewReader(form))
		stop := context.AfterFunc(r.Context(), func() { logoutGone.Add(1) })
		logoutRevoking.RLock()
		defer logoutRevoking.RUnlock()
		stop()
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	p.Turn(func(k *idp.Knobs) {
		others := k.MutateMetadata
		k.MutateMetadata = func(md map[string]any) {
			others(md)
			md["revocation_endpoint"] = front.URL + "/revoke"
		}
	})
}

// logouts are about who ends a session, and what is left of it then.
var logouts = &section{name: "Signing out", test: "TestSignOut", attacks: slices.Concat([]attack{
	{"L-01", "high", "an image, a form and a frame on another site that lead to `/.evergate/logout`, to the account page's sign-out and to the app's own",
		"nobody is signed out: GET asks, POST has to come from the gateway's own pages, and the app's own counts for a page of the same origin alone", func(t *testing.T, l *lab) {
			cookie := l.signinAs("corp", oidctest.Alice)
			img := []string{cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Referer: https://evil.test/"}
			for _, target := range []string{"/.evergate/logout", "/.evergate/logout?rd=/x&confirm=yes&_method=POST", "/.evergate/logout?logout=1"} {
				for _, method := range []string{"GET", "HEAD"} {
					l.logoutKept(l.logoutSend(method, target, "", img...))
				}
				l.logoutKept(l.signinVisit(target, cookie))
			}
			for _, from := range [][]string{{"Origin: https://evil.test", "Sec-Fetch-Site: cross-site"}, {"Origin: https://evil.test"}, {"Origin: null"}, {"Sec-Fetch-Site: same-site"}, {"Origin: http://" + l.host}} {
				for _, target := range []string{"/.evergate/logout", "/.evergate/account/signout"} {
					r := l.post(target, "all=1&rd=/", append(from, cookie)...)
					r.status(t, http.StatusForbidden)
					l.logoutKept(r)
				}
			}
			for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
				l.logoutKept(l.logoutSend(method, "/.evergate/logout", "", cookie))
			}
			l.logoutKept(l.get("/legacy/logout", img...))
			l.logoutKept(l.get("/legacy/logout", cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"))
			l.logoutKept(l.get("/legacy/logout", cookie, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"))
			l.get("/app", cookie).status(t, http.StatusOK)
			l.signinSaw(traces{app: 4})
		}},
	{"L-02", "critical", "a sign-out, and then everything that the browser had before", "the session is gone from the store, its tokens are revoked at the provider, the cookie is deleted with its attributes, and the browser goes to the provider's sign-out with id_token_hint and state", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		cookie := l.signinAs("corp", oidctest.Bob)
		p.ResetStats()
		r := l.logoutOwn("/after?x=1", cookie)
		to, err := r.Location()
		if err != nil || r.StatusCode != http.StatusSeeOther {
			t.Fatalf("got %d %.200q, want the way to the provider", r.StatusCode, r.body)
		}
		q := to.Query()
		if !strings.HasPrefix(to.String(), p.Issuer+"/logout?") || q.Get("client_id") != oidctest.ClientID || q.Get("post_logout_redirect_uri") != "https://"+l.host+"/.evergate/logout" || q.Get("state") == "" ||
			idtokenClaims(t, q.Get("id_token_hint"))["sub"] != oidctest.Bob.Subject {
			t.Errorf("the browser is sent to %s", to)
		}
		l.secrets.add("an ID token", q.Get("id_token_hint"))
		var gone *http.Cookie
		for _, c := range r.Cookies() {
			if strings.HasSuffix(c.Name, "evergate") {
				gone = c
			}
		}
		if gone == nil || gone.MaxAge >= 0 || gone.Value != "" || !gone.Secure || !gone.HttpOnly || gone.Path != "/" || gone.Domain != "" || gone.SameSite != http.SameSiteLaxMode {
			t.Errorf("the cookie that deletes is %v", gone)
		}
		for _, target := range []string{"/app", "/public/../app", "/legacy/x", "/.evergate/session"} {
			if got := l.get(target, cookie); got.StatusCode == http.StatusOK {
				t.Errorf("%s with the cookie of before: got %d", target, got.StatusCode)
			}
		}
		l.get("/public/x", cookie).status(t, http.StatusOK)
		l.eventually("the provider revoked both tokens", func() bool { return p.Stats().Revocations == 2 && p.LiveGrants(oidctest.Bob.Subject) == 0 })
		for _, g := range l.signinSaw(traces{app: 1, sessions: -1, events: []string{"session.ended/signed_out"}}) {
			g.without(t, "X-Forwarded-User", "Authorization", "X-Forwarded-Email", "Cookie")
		}
		// The provider sends the browser back with the state; it goes on, once it is out.
		if back := l.get("/.evergate/logout?state=" + url.QueryEscape(q.Get("state"))); back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/after?x=1" {
			t.Errorf("back from the provider: got %d to %q", back.StatusCode, back.Header.Get("Location"))
		}
	}},
	{"L-03", "medium", "a sign-out while the provider's revocation endpoint answers 503, and while the provider is gone", "the session here ends all the same, at once, and the audit log tells that the tokens live on", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		for _, away := range []func() (back func()){
			func() func() {
				l.signinTurn("corp", func(k *idp.Knobs) { k.RevocationStatus = http.StatusServiceUnavailable })
				return func() { p.Turn(func(k *idp.Knobs) { k.RevocationStatus = 0 }) }
			},
			func() func() { p.Stop(); return p.Restart },
		} {
			cookie := l.signinAs("corp", oidctest.Alice)
			back := away()
			func() {
				logoutRevoking.Lock() // so that who waits for an answer gets none
				defer logoutRevoking.Unlock()
				if r := l.logoutOwn("/", cookie); r.StatusCode != http.StatusSeeOther || logoutGone.Load() != 0 {
					t.Errorf("got %d, after %d times that a revocation was waited for in vain; want to go on", r.StatusCode, logoutGone.Load())
				}
			}()
			l.denied(l.get("/app", cookie))
			l.signinSaw(traces{sessions: -1, events: []string{"session.ended/signed_out", "session.revoke_failed"}})
			back()
		}
	}},
	{"L-04", "medium", "coming back from the provider with no state, a changed one, one of a sign-in, one twice, and with `rd` and `state` that lead away", "the page that says that nobody is signed in, and no redirect; for whoever is signed in still, the question", func(t *testing.T, l *lab) {
		login := l.signinBegin("corp").to.Query().Get("state")
		cookie := l.signinAs("corp", oidctest.Alice)
		to, err := l.logoutOwn("/after", cookie).Location()
		if err != nil {
			t.Fatal(err)
		}
		state := to.Query().Get("state")
		other := l.signinAs("corp", oidctest.Bob)
		for _, query := range []string{"", "?state=", "?state=made-up", "?state=" + state[:len(state)-6] + "AAAAAA", "?state=" + url.QueryEscape(login), "?state=" + state + "&state=" + state, "?state=https://evil.test/", "?rd=https://evil.test/",
			"?rd=//evil.test&state=x", "?at=<script>", "?to=https://evil.test/", "?post_logout_redirect_uri=https://evil.test/", "?id_token_hint=x&state=" + state[:20]} {
			r := l.signinVisit("/.evergate/logout" + query)
			if r.status(t, http.StatusOK); r.Header.Get("Location") != "" || r.Header.Get("Refresh") != "" || strings.Contains(r.body, "evil.test") || strings.Contains(r.body, "<script>") || !strings.Contains(r.body, "Signed out") {
				t.Errorf("%s: got %q %q %.300q", query, r.Header.Get("Location"), r.Header.Get("Refresh"), r.body)
			}
			if asks := l.signinVisit("/.evergate/logout"+query, other); asks.StatusCode != http.StatusOK || asks.Header.Get("Location") != "" || !strings.Contains(asks.body, "Sign out?") {
				t.Errorf("%s, signed in: got %d to %q", query, asks.StatusCode, asks.Header.Get("Location"))
			}
		}
		l.get("/app", other).status(t, http.StatusOK)
		l.signinSaw(traces{app: 1})
	}},
	{"L-05", "medium", "the Back button after a sign-out, and a page that is asked for again with `If-None-Match`", "pages of people are `private` at least, the sign-out has the browser drop its cache, and what is asked for again is refused, never 304", func(t *testing.T, l *lab) {
		cookie := l.signinAs("corp", oidctest.Alice)
		l.app.answers(t, func(g *got) string {
			if g.Header.Get("If-None-Match") != "" {
				return "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"
			}
			return answer(200, "ETag: \"a\"\r\nCache-Control: public, max-age=600\r\n", "hers")
		})
		if cc := l.get("/app", cookie).Header.Get("Cache-Control"); !strings.Contains(cc, "private") && !strings.Contains(cc, "no-store") || strings.Contains(cc, "public") {
			t.Errorf("a page of hers has Cache-Control %q", cc)
		}
		l.get("/app", cookie, `If-None-Match: "a"`).status(t, http.StatusNotModified)
		r := l.logoutOwn("/", cookie)
		if r.Header.Get("Clear-Site-Data") != `"cache"` || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("the sign-out has Clear-Site-Data %q and Cache-Control %q", r.Header.Get("Clear-Site-Data"), r.Header.Get("Cache-Control"))
		}
		for _, lines := range [][]string{{cookie, `If-None-Match: "a"`}, {`If-None-Match: "a"`}, {cookie, "If-Modified-Since: Fri, 27 Nov 2026 00:00:00 GMT"}, {cookie, "Range: bytes=0-1"}, {cookie, "Cache-Control: only-if-cached"}} {
			back := l.get("/app", lines...)
			l.denied(back)
			if !strings.Contains(back.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("the refusal has Cache-Control %q", back.Header.Get("Cache-Control"))
			}
		}
		l.signinSaw(traces{app: 2, sessions: -1, events: []string{"session.ended/signed_out"}})
	}},
}, logoutTokens)}

// logoutSend sends any method.
func (l *lab) logoutSend(method, target, body string, lines ...string) *reply {
	l.t.Helper()
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	if method != "HEAD" {
		return l.one(l.request(method, target, lines...) + body)
	}
	c := l.dial(gatewayHost)
	defer c.Close()
	if _, err := fmt.Fprint(c, l.request(method, target, lines...)); err != nil {
		l.t.Fatal(err)
	}
	return l.logoutReadTo(c, method)
}

// logoutOwn signs out as the gateway's own page does.
func (l *lab) logoutOwn(rd, cookie string) *reply {
	l.t.Helper()
	return l.post("/.evergate/logout", url.Values{"rd": {rd}}.Encode(), cookie, "Origin: https://"+l.host, "Sec-Fetch-Site: same-origin")
}

// logoutKept fails the case if an answer takes the cookie away.
func (l *lab) logoutKept(r *reply) {
	l.t.Helper()
	for _, c := range r.Cookies() {
		if strings.HasSuffix(c.Name, "evergate") && c.MaxAge < 0 {
			l.t.Errorf("the answer %d deletes the session cookie", r.StatusCode)
		}
	}
	if r.StatusCode >= 500 {
		l.t.Errorf("got %d", r.StatusCode)
	}
}
