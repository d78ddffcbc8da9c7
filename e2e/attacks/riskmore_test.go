package attacks

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
)

// riskSend posts a form as a page of the app does, and returns the id under which it is kept, or
// "" where it went to the app.
func riskSend(j *jar, address, target, form string) (kept string) {
	j.l.t.Helper()
	r := j.keep(j.l.post(target, form, j.lines("X-Forwarded-For: "+address, "X-Forwarded-Proto: https", "Origin: https://"+j.l.host, "Referer: https://"+j.l.host+target,
		"Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: document")...))
	if r.StatusCode == http.StatusOK {
		return ""
	}
	r.status(j.l.t, http.StatusSeeOther)
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		j.l.t.Fatal(err)
	}
	return to.Query().Get("form")
}

// riskAgain signs somebody in once more, as the page asks for it that the session was sent to.
func riskAgain(j *jar, address, user string, page url.Values) {
	j.l.t.Helper()
	page.Set("username", user)
	page.Set("password", password)
	j.keep(j.l.post("/.evergate/login", page.Encode(), j.lines("X-Forwarded-For: "+address, "X-Forwarded-Proto: https", "Origin: https://"+j.l.host)...)).status(j.l.t, http.StatusSeeOther)
}

var riskNetworks = attack{"RS-5", "medium", "a copied session cookie by a browser that looks like the owner's, from another network, with `new_network: step_up`; before that, its owner between two networks",
	"the owner signs in once in each network and then goes to and fro; the thief is asked to sign in, and so is the owner, and the thief's network is none of theirs afterwards",
	func(t *testing.T, l *lab) {
		const home, office, thiefs = "192.0.2.7", "198.51.100.1", "203.0.113.9"
		owner, served := l.newJar(riskFirefox).riskIn(home, "bob"), 0
		passes := func(j *jar, addresses ...string) {
			t.Helper()
			for _, a := range addresses {
				j.riskAt(a, "/").status(t, 200)
				served++
			}
		}
		passes(owner, home)
		l.denied(owner.riskAt(office, "/"))
		riskAgain(owner, office, "bob", url.Values{"rd": {"/"}})
		passes(owner, office, home, office, home)
		for range 2 {
			thief := owner.copy(riskFirefox)
			l.denied(thief.riskAt(thiefs, "/"))
			l.denied(owner.riskAt(home, "/"))
			riskAgain(owner, home, "bob", url.Values{"rd": {"/"}})
			passes(owner, home, office)
			l.denied(thief.riskAt(thiefs, "/"))
		}
		l.riskHears("new_network", "new_network", "new_network")
		l.saw(traces{app: served, sessions: 3, any: true})
	}}

var riskOver = attack{"RS-6", "high", "a copied session cookie in another browser, with `changed_browser: revoke`",
	"the session ends for both at the first request, with its refresh token; `session.revoked` with the reason `changed_browser`, and a page that says why",
	func(t *testing.T, l *lab) {
		owner := l.newJar(riskFirefox).riskIn("192.0.2.7", "alice")
		owner.riskAt("192.0.2.7", "/").status(t, 200)
		l.denied(owner.copy(riskChrome).riskAt("203.0.113.9", "/secret"))
		if e := l.hears("session.revoked"); e["reason"] != "changed_browser" {
			t.Errorf("the audit log has %v", e)
		}
		l.riskHears("changed_browser", "new_network")
		turned := owner.riskAt("192.0.2.7", "/")
		l.denied(turned)
		if page := owner.riskAt("192.0.2.7", turned.Header.Get("Location")); !strings.Contains(page.body, "another browser used it") {
			t.Errorf("the page that %q leads to does not say why: %d", turned.Header.Get("Location"), page.StatusCode)
		}
		owner.riskIn("192.0.2.7", "alice")
		if page := owner.riskAt("192.0.2.7", "/.evergate/account"); !strings.Contains(page.body, "another browser used its sign-in") {
			t.Error("the account page does not say why")
		}
		l.before.requests-- // that of before the sign-in
		l.saw(traces{app: 1, any: true})
	}}

var riskTurns = attack{"RS-7", "high", "a copied session cookie in another browser in another network, in turns with its owner, with `parallel_use: revoke`; and an owner whose VPN comes and goes",
	"the session ends for both once the owner comes back within ten seconds, with the reason `parallel_use`; the VPN is nothing",
	func(t *testing.T, l *lab) {
		owner := l.newJar(riskFirefox).riskIn("192.0.2.7", "alice")
		for range 3 {
			owner.riskAt("192.0.2.7", "/").status(t, 200)
			owner.riskAt("203.0.113.9", "/").status(t, 200)
		}
		l.riskHears()
		owner.riskAt("192.0.2.7", "/").status(t, 200)
		thief := owner.copy(riskChrome)
		thief.riskAt("203.0.113.9", "/").status(t, 200)
		l.denied(owner.riskAt("192.0.2.7", "/"))
		l.denied(thief.riskAt("203.0.113.9", "/"))
		if e := l.hears("session.revoked"); e["reason"] != "parallel_use" {
			t.Errorf("the audit log has %v", e)
		}
		if e := l.riskHears("parallel_use"); len(e) == 1 && (e[0]["before"] != "Chrome on Windows at 203.0.113.0/24" || e[0]["now"] != "Firefox on Linux at 192.0.2.0/24") {
			t.Errorf("got %v, want who was where", e[0])
		}
		l.saw(traces{app: 8, sessions: -1, any: true})
	}}

var riskCookie = attack{"RS-8", "high", "`session.store: cookie`, `changed_browser: revoke`: a copy of all the session's cookies in another browser",
	"the session ends for both, and its refresh token is revoked at the provider",
	func(t *testing.T, l *lab) {
		owner := l.newJar(riskFirefox)
		owner.enter("alice", oidctest.Alice.Password)
		revoked := l.provider().Stats().Revocations
		owner.get("/").status(t, 200)
		l.denied(owner.copy(riskChrome).get("/"))
		if e := l.riskHears("changed_browser"); len(e) == 1 && (e[0]["action"] != "revoke" || e[0]["before"] != "Firefox on Linux") {
			t.Errorf("got %v", e[0])
		}
		l.denied(owner.get("/"))
		renewalRevoked(l, revoked)
		l.saw(traces{app: 1, any: true})
	}}

var riskAsked = attack{"RS-9", "high", "a copied session cookie in another browser, with `changed_browser: step_up`, at an app behind a proxy that asks",
	"as with the gateway in front of the app: yes to the owner, and to both the way to sign in from then on",
	func(t *testing.T, l *lab) {
		owner := l.newJar(riskFirefox).riskIn("192.0.2.7", "alice")
		ask := func(j *jar) string { return l.forwardAsk("GET", "/x", j.lines()...) }
		l.forwardAnswered(ask(owner), 200)
		l.forwardAnswered(ask(owner.copy(riskChrome)), 302, 303)
		l.forwardAnswered(ask(owner), 302, 303)
		l.riskHears("changed_browser")
		l.saw(traces{any: true})
	}}

var riskMadeUp = attack{"RS-10", "medium", "a copied session cookie with headers that a thief makes up: 100 kinds of User-Agent, one of 30 kB, with control characters, none, and then the owner's own, from the owner's network",
	"`risk.changed_browser` four times and no more, each with words of the gateway's own; who looks like the owner is not told apart by these signals, and by the handle that is spent alone (TD-1)",
	func(t *testing.T, l *lab) {
		const home = "192.0.2.7"
		owner := l.newJar(riskFirefox).riskIn(home, "dave")
		x, served := l.line(), 0
		ask := func(agent string) int {
			j := owner.copy(agent)
			served++
			return x.get("/", j.lines("X-Forwarded-For: "+home, "X-Forwarded-Proto: https")...).StatusCode
		}
		browsers, systems := []string{"Edg", "OPR", "Vivaldi", "YaBrowser", "Chrome"}, []string{"Windows", "Macintosh", "CrOS", "FreeBSD"}
		for i := range 100 {
			if code := ask(fmt.Sprintf("Mozilla/5.0 (%s) %s/%d.0", systems[i%4], browsers[i%5], i)); code != 200 {
				t.Fatalf("%d: got %d", i, code)
			}
		}
		for _, agent := range []string{strings.Repeat("Chrome/1.0 ", 3000), "<script>alert(1)</script>", "", riskFirefox} {
			if code := ask(agent); code != 200 {
				t.Errorf("%.40q: got %d", agent, code)
			}
		}
		for _, e := range l.riskHears("changed_browser", "changed_browser", "changed_browser", "changed_browser") {
			if now := fmt.Sprint(e["now"]); strings.ContainsAny(now, "/<(") {
				t.Errorf("the audit log repeats %q", now)
			}
		}
		l.saw(traces{app: served, any: true})
	}}

var riskCorp = attack{"RS-11", "high", "a copied session cookie in another browser, with `changed_browser: step_up`, of somebody whom a provider signs in",
	"the provider is asked for a sign-in that is made just now (`max_age=0`), so that its own session is not enough; the owner goes on after it, in a session that the copy is not of",
	func(t *testing.T, l *lab) {
		owner := l.newJar(riskFirefox)
		owner.enter("alice", oidctest.Alice.Password)
		owner.get("/").status(t, 200)
		thief := owner.copy(riskChrome)
		l.denied(thief.get("/secret"))
		turned := owner.get("/")
		page := owner.get(turned.Header.Get("Location"))
		if page.status(t, 200); !strings.Contains(page.body, "To be safe, sign in again") {
			t.Errorf("the page does not say why: %.2000s", page.body)
		}
		way := regexp.MustCompile(`href="(/\.evergate/login/oidc[^"]*)"`).FindStringSubmatch(page.body)
		if way == nil {
			t.Fatalf("the page leads nowhere: %.2000s", page.body)
		}
		to := owner.keep(l.get(html.UnescapeString(way[1]), owner.lines()...)).Header.Get("Location")
		if !strings.Contains(to, "max_age=0") {
			t.Errorf("the provider is asked by %q", to)
		}
		back := l.provider().SignIn(t, nil, to, "alice", oidctest.Alice.Password)
		landed := owner.keep(l.get(back.RequestURI(), owner.lines()...)).Header.Get("Location")
		if !strings.Contains(landed, "/.evergate/landed") {
			t.Errorf("the sign-in ends at %q", landed)
		}
		owner.get(landed).status(t, 303)
		owner.get("/").status(t, 200)
		l.denied(thief.get("/secret"))
		l.riskHears("changed_browser")
		l.saw(traces{app: 2, any: true, sessions: 1})
	}}
