package attacks

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
)

// signinPages are about what a browser is shown and where it is sent.
var signinPages = []attack{
	{"S-11", "high", "`?error=x&error_description=<script>` with and without a sign-in under way, and markup for an error", "a page with nothing of it, and with a policy that runs no script of a page; no redirect", func(t *testing.T, l *lab) {
		const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>`
		var events []string
		for _, q := range []url.Values{{"error": {"access_denied"}, "error_description": {evil}}, {"error": {evil}}, {"error": {"login_required"}, "error_uri": {"javascript:alert(1)"}, "error_description": {"\r\nSet-Cookie: a=b"}}} {
			events = append(events, l.signinRefused(l.signinVisit("/.evergate/callback/corp?"+q.Encode())))
			f := l.signinBegin("corp")
			q.Set("state", f.to.Query().Get("state"))
			q.Set("iss", l.providers["corp"].Issuer)
			r := l.signinVisit("/.evergate/callback/corp?"+q.Encode(), f.cookie)
			events = append(events, l.signinRefused(r))
			for _, bad := range []string{"alert(", "onerror", "javascript:"} {
				if strings.Contains(r.body, bad) {
					t.Errorf("the page for %v has %q", q, bad)
				}
			}
			if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe-inline") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the page has Content-Security-Policy %q and X-Content-Type-Options %q", csp, r.Header.Get("X-Content-Type-Options"))
			}
			if len(r.Header.Values("Set-Cookie")) != 1 {
				t.Errorf("the page sets %q, want the cookie of the sign-in deleted and no more", r.Header.Values("Set-Cookie"))
			}
		}
		l.signinSaw(traces{events: events})
	}},
	{"S-12", "high", "a form on another site, on a sister site and without an origin that posts an attacker's name and password to the sign-in page", "403 and no session: nobody works in the attacker's account", func(t *testing.T, l *lab) {
		form := url.Values{"username": {"bob"}, "password": {password}, "rd": {"/"}}.Encode()
		for _, from := range [][]string{{"Origin: https://evil.test"}, {"Origin: null"}, {"Origin: https://evil.gw.test"}, {"Origin: https://" + gatewayHost + ":1"}, {"Origin: http://" + l.host},
			{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site", "Origin: https://app.gw.test"}, {"Sec-Fetch-Site: cross-site", "Origin: https://" + l.host}} {
			r := l.post("/.evergate/login", form, from...)
			if r.status(t, http.StatusForbidden); len(r.Cookies()) != 0 {
				t.Errorf("%q: it sets %q", from, r.Header.Values("Set-Cookie"))
			}
		}
		for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "application/json"} {
			l.one(l.request("POST", "/.evergate/login", "Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(form)))+form).status(t, http.StatusUnsupportedMediaType)
		}
		l.signinSaw(traces{})
	}},
	{"S-13", "medium", "a browser that keeps no cookie, with a provider that sends it straight back", "after three rounds a page says so; after a sign-in whose cookie is not there a page says so", func(t *testing.T, l *lab) {
		f := l.signinBegin("corp")
		rounds := 0
		for ; rounds < 10; rounds++ {
			r := l.signinVisit(l.signinAnswer(f, oidctest.Alice).RequestURI())
			if r.StatusCode != http.StatusSeeOther {
				l.signinRefused(r)
				break
			}
			f = l.signinAway("corp", r)
		}
		if rounds != 2 {
			t.Errorf("the browser was sent round %d times after the first, want 2", rounds)
		}
		r := l.signinWhole("corp", oidctest.Alice)
		l.signinDone(r)
		if r = l.get(r.Header.Get("Location")); r.Header.Get("Location") != "" || r.Header.Get("Refresh") != "" {
			t.Errorf("the page after a lost cookie goes on to %q %q", r.Header.Get("Location"), r.Header.Get("Refresh"))
		}
		r.status(t, http.StatusBadRequest)
		l.signinSaw(traces{sessions: 1, events: []string{"login.failed/bad_callback", "login.failed/cookie_lost", "session.started"}})
	}},
	{"S-16", "medium", "a sign-in that a third party begins: `?iss=https://evil&target_link_uri=https://evil&login_hint=…&redirect_uri=…`", "none of it is heeded: it goes to the configured provider with the gateway's own callback, and ends at the start page", func(t *testing.T, l *lab) {
		evil := url.Values{}
		for _, name := range []string{"iss", "target_link_uri", "redirect_uri", "rd", "issuer", "request", "request_uri", "client_id", "scope", "response_type", "response_mode", "login_hint", "acr", "state", "nonce", "code_challenge"} {
			evil.Set(name, "https://evil.test/")
		}
		f := l.signinAway("corp", l.get("/.evergate/login/corp?"+evil.Encode()))
		if !strings.HasPrefix(f.to.String(), l.providers["corp"].Issuer+"/authorize?") || strings.Contains(f.to.RawQuery, "evil") {
			t.Errorf("it goes to %s", f.to)
		}
		if got := f.to.Query().Get("redirect_uri"); got != "https://"+l.host+"/.evergate/callback/corp" {
			t.Errorf("it is to come back to %s", got)
		}
		r := l.signinVisit(l.signinAnswer(f, oidctest.Alice).RequestURI(), f.cookie)
		cookie := l.signinDone(r)
		if to := l.get(r.Header.Get("Location"), cookie).Header.Get("Location"); to != "/" {
			t.Errorf("it ends at %q, want /", to)
		}
		if r := l.get("/.evergate/login?" + evil.Encode()); strings.Contains(r.body+r.Header.Get("Location"), "evil.test") {
			t.Errorf("the sign-in page has what a third party said: %d %q", r.StatusCode, r.Header.Get("Location"))
		}
		l.signinSaw(traces{sessions: 1, events: []string{"session.started"}})
	}},
	{"S-17", "medium", "30 tabs of one browser that begin a sign-in before the first one ends", "at most 10 cookies and 6 KiB of them, the oldest go; every tab ends signed in, the oldest after having begun anew", func(t *testing.T, l *lab) {
		jar, tabs := signinJar{}, []*signinFlow{}
		for range 30 {
			r := l.get("/.evergate/login/corp?rd=/wanted", jar.line())
			jar.take(r)
			tabs = append(tabs, l.signinAway("corp", r))
			if n := len(jar.line()); len(jar) > 10 || n > 6<<10+1000 {
				t.Fatalf("after %d tabs the browser has %d cookies of %d bytes", len(tabs), len(jar), n)
			}
		}
		done, on := 0, 0
		slices.Reverse(tabs[1:])
		for _, f := range tabs { // the oldest has lost its cookie
			for range 2 {
				r := l.signinVisit(l.signinAnswer(f, oidctest.Alice).RequestURI(), jar.line())
				jar.take(r)
				if to := r.Header.Get("Location"); strings.HasPrefix(to, l.providers["corp"].Issuer) {
					f = l.signinAway("corp", r)
					continue
				} else if strings.HasPrefix(to, "/.evergate/landed") {
					done++
				} else if to == "/wanted" {
					on++
				} else {
					t.Errorf("a tab got %d to %q %.200q", r.StatusCode, to, r.body)
				}
				break
			}
		}
		if done < 8 || done+on != 30 {
			t.Errorf("%d tabs ended signed in and %d went on, want 8 or more and 30 in all", done, on)
		}
		if r := l.get("/app", jar.line()); r.StatusCode != http.StatusOK {
			t.Errorf("in the end: got %d, want the app", r.StatusCode)
		}
		l.signinSaw(traces{app: 1, sessions: done, events: slices.Repeat([]string{"session.started"}, done)})
	}},
	{"S-21", "high", "a step-up that alice begins and bob ends, with alice's cookie along", "a session of bob's alone: hers ends, and her name, her groups and her cookie open nothing in it", func(t *testing.T, l *lab) {
		alice := l.signinAs("corp", oidctest.Alice)
		r := l.signinVisit("/strong/x", alice)
		for range 5 {
			to := r.Header.Get("Location")
			if strings.HasPrefix(to, l.providers["corp"].Issuer) {
				break
			}
			if to == "" { // a page on the way
				to = "/.evergate/login/corp?rd=/strong/x&acr_values=gold"
			}
			r = l.get(to, alice)
		}
		f := l.signinAway("corp", r)
		if f.to.Query().Get("acr_values") != "gold" {
			t.Errorf("the provider is asked for acr %q, want gold", f.to.Query().Get("acr_values"))
		}
		bob := l.signinDone(l.signinVisit(l.signinAnswer(f, oidctest.Bob).RequestURI(), alice+"; "+strings.TrimPrefix(f.cookie, "Cookie: ")))
		l.denied(l.get("/strong/hers", alice))
		l.get("/strong/his", bob).status(t, http.StatusOK)
		all := l.signinSaw(traces{app: 1, events: []string{"session.started", "session.ended/replaced"}})
		if len(all) == 1 && (all[0].Header.Get("X-Forwarded-User") != "corp/subject-of-bob" || all[0].Header.Get("X-Forwarded-Groups") != "staff" || bytes.Contains(all[0].raw, []byte("alice"))) {
			t.Errorf("the app got\n%s", all[0].head())
		}
	}},
}
