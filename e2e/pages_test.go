package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// gatewayPage is a page of the gateway's own: how people come to see it, and by what it is
// known. To have a page looked at is to add one to gatewayPages.
type gatewayPage struct {
	name   string
	status int
	path   string // where the browser is then
	has    string // a selector that finds something on it
	says   string // a part of its text, in English

	// before is done by each visitor, then happens once, then open by each visitor. Only
	// open has to be there. Where there is before, it is done when the test begins.
	before func(v *visitor)
	then   func(w *pagesWorld)
	open   func(v *visitor)

	framed        bool // open shows it in a frame
	forOperators  bool // it is in English, may be large and goes on to tell what is new
	isList        bool // it is as large as what it lists
	sendsAnywhere bool // its form goes to the app, which may lead on to anywhere
}

// remembersEnds says that a session's end is known for a while after it. As long as it is not,
// the store forgets a session as it ends, and with it why.
const remembersEnds = true

// loginForm finds the form for local users.
const loginForm = `form[action="/.evergate/login"] input[name=password]`

func gatewayPages() []*gatewayPage {
	idle, limit := "nothing happened", "lifetime"
	if !remembersEnds {
		idle, limit = "You are signed out", "You are signed out"
	}
	ripe := func(w *pagesWorld) { time.Sleep(time.Until(w.ready.Add(68 * time.Second))) }
	return append(codesPages(), []*gatewayPage{
		{name: "sign in", status: 200, path: "/.evergate/login", has: loginForm, says: "User name",
			open: func(v *visitor) { v.visit("plain", "/page?a=b") }},
		{name: "sign in refused", status: 401, path: "/.evergate/login", has: anAlert, says: "do not match",
			open: func(v *visitor) {
				v.visit("plain", "/page")
				v.signIn("alice", "not-the-password")
				v.until("a refusal", patience, alerted)
			}},
		{name: "sign in throttled", status: 429, path: "/.evergate/login", has: anAlert, says: "Too many attempts",
			open: func(v *visitor) {
				for range 30 { // ten failures are free; each further one lengthens the wait
					v.visit("plain", "/page")
					v.signIn("mallory", "guess")
					v.until("a refusal", patience, alerted)
					if res, _ := v.document(); res.Status == 429 {
						return
					}
				}
			}},
		{name: "sign in where there are providers", status: 200, path: "/.evergate/login", has: `a[href*="/login/corp"]`, says: "The corp provider",
			open: func(v *visitor) { v.visit("apps", "/page?a=b") }},
		{name: "straight on", status: 200, path: "/.evergate/login", has: `a[data-go]`, says: "The works provider",
			open: func(v *visitor) {
				v.hold("*/.evergate/login/works*")
				v.visit("one", "/page")
			}},
		{name: "provider unreachable", status: 503, path: "/.evergate/login/gone", has: `a[href*="try="]`, says: "The gone provider",
			open: func(v *visitor) {
				v.hold("*&try=*")
				v.visit("apps", "/page")
				v.click(`a[href*="/login/gone"]`)
				v.until("the page that says so", patience, `document.querySelector("a[href*='try=']")`)
			}},
		{name: "provider unreachable at expiry", status: 503, path: "/page", has: `a[href="/page"]`, says: "still signed in",
			before: func(v *visitor) { v.enterBy("apps", "fickle"); v.until("the app", patience, atTheApp) },
			then:   func(w *pagesWorld) { w.fickle.Stop(); time.Sleep(3 * time.Second) },
			open: func(v *visitor) {
				v.visit("apps", "/page")
				v.hold("*/page") // which it asks for again by itself
			}},
		{name: "provider said no", status: 403, path: "/.evergate/callback/strict", has: `a[href*="select_account"]`, says: "The strict provider",
			open: func(v *visitor) { v.visit("apps", "/.evergate/login/strict?rd=/page") }},
		{name: "account not allowed", status: 403, path: "/.evergate/callback/closed", has: `a[href*="select_account"]`, says: "alice@example.com",
			open: func(v *visitor) {
				v.enterBy("apps", "closed")
				v.until("back", patience, `location.pathname == "/.evergate/callback/closed"`)
			}},
		{name: "bad callback", status: 400, path: "/.evergate/callback/corp", has: `a[href="/.evergate/login"]`, says: "not begun here",
			open: func(v *visitor) { v.visit("apps", "/.evergate/callback/corp?code=x&state=made-up") }},
		// What a browser asks for after signing in that keeps no cookie.
		{name: "sign in did not stick", status: 400, path: "/.evergate/landed", has: `main li`, says: "cookies",
			open: func(v *visitor) { v.visit("plain", "/.evergate/landed?rd=/page") }},
		{name: "session ended by the operator", status: 200, path: "/.evergate/login", has: loginForm, says: "whoever runs this gateway",
			open: func(v *visitor) {
				v.enter("plain", "/page", "carol")
				v.w.revoke("plain", "carol")
				v.visit("plain", "/page")
			}},
		{name: "session ended from another device", status: 200, path: "/.evergate/login", has: loginForm, says: "another device",
			open: func(v *visitor) {
				v.enter("plain", "/page", "alice")
				old := v.sessionCookie("plain")
				v.forget() // from now on it is another device
				v.enter("plain", "/page", "alice")
				v.visit("plain", "/.evergate/account")
				v.click("form:has(input[value=others]) button")
				v.until("the others are signed out", patience, `document.querySelector(".note[role=status]")`)
				v.putBack("plain", old)
				v.visit("plain", "/page")
			}},
		{name: "session ended for safety", status: 200, path: "/.evergate/login", has: `a[data-rd]`, says: "copy of its cookie",
			open: func(v *visitor) {
				v.visit("one", "/page")
				v.atProvider()
				v.until("the app", patience, atTheApp)
				old, used := v.sessionCookie("one"), map[string]time.Time{}
				await(v.t, "the cookie of the sign-in is spent", func() bool {
					sent := v.sessionCookie("one").Value
					v.visit("one", "/page")
					if now := v.sessionCookie("one").Value; now == old.Value || now != sent {
						return false
					}
					if used[sent].IsZero() { // it is spent a second after the next one was used
						used[sent] = time.Now()
					}
					return time.Since(used[sent]) > 1500*time.Millisecond
				})
				v.putBack("one", old)
				v.visit("one", "/page")
			}},
		{name: "sign out asked", status: 200, path: "/.evergate/logout", has: `form[action="/.evergate/logout"] button`, says: "alice",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/.evergate/logout")
			}},
		{name: "signed out", status: 200, path: "/.evergate/logout", has: `[data-evergate-ended]`, says: "signed out",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.signOutAt("apps")
			}},
		{name: "signed out but not at the provider", status: 200, path: "/.evergate/logout", has: `[data-evergate-ended]`, says: "The works provider",
			open: func(v *visitor) {
				v.visit("one", "/page")
				v.atProvider()
				v.until("the app", patience, atTheApp)
				v.signOutAt("one")
			}},
		{name: "denied", status: 403, path: "/finance/books", has: `a[href*="/.evergate/logout"]`, says: "finance",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/finance/books")
			}},
		{name: "from another site", status: 403, path: "/.evergate/logout", has: `a[href="/"]`, says: "Another site",
			open: func(v *visitor) {
				v.visit("little", "/public/foreign?to="+v.w.at("apps")+"/.evergate/logout")
				v.click("button")
				v.until("a refusal", patience, `location.pathname == "/.evergate/logout"`)
			}},
		{name: "app unreachable", status: 502, path: "/down/page", has: `a[href="/down/page"]`, says: "app",
			open: func(v *visitor) { v.visit("apps", "/down/page") }},
		{name: "app too slow", status: 504, path: "/slow/page", has: `a[href="/slow/page"]`, says: "app",
			open: func(v *visitor) { v.visit("apps", "/slow/page") }},
		{name: "sign in to send a form", status: 200, path: "/.evergate/login", has: loginForm, says: "is kept",
			open: func(v *visitor) { v.sendFormTooLate() }},
		{name: "send the form", status: 200, path: "/.evergate/resend", has: `input[name=evergate_form]`, says: "alice", sendsAnywhere: true,
			open: func(v *visitor) {
				v.sendFormTooLate()
				v.signIn("alice", pagesPassword)
				v.until("the offer to send it", patience, `location.pathname == "/.evergate/resend"`)
			}},
		{name: "form gone", status: 410, path: "/.evergate/resend", has: `a[href="/form"]`, says: "not kept any more",
			open: func(v *visitor) {
				v.sendFormTooLate()
				v.signIn("alice", pagesPassword)
				v.until("the offer to send it", patience, `location.pathname == "/.evergate/resend"`)
				offer := eval[string](v.tab, "location.href")
				v.signOutAt("apps") // which forgets the form
				v.enter("apps", "/page", "alice")
				v.open(offer)
			}},
		{name: "inside a frame", status: 401, path: "/inside", has: `a[target=_top]`, says: "frame", framed: true,
			open: func(v *visitor) { v.visit("apps", "/public/frame") }},
		{name: "no such page of the gateway", status: 404, path: "/.evergate/nothing", has: "h1", says: "no such page",
			open: func(v *visitor) { v.visit("apps", "/.evergate/nothing") }},
		{name: "nothing at this address", status: 404, path: "/elsewhere", has: "h1", says: "Nothing is served",
			open: func(v *visitor) { v.visit("little", "/elsewhere") }},
		{name: "unknown host", status: 421, path: "/page", has: "h1", says: "not served here",
			open: func(v *visitor) { v.visit("stranger", "/page") }},
		{name: "bad address", status: 400, path: "/a%2Fb", has: "h1", says: "cannot be served",
			open: func(v *visitor) { v.visit("apps", "/a%2Fb") }},
		{name: "too many requests", status: 429, path: "/busy/page", has: `a[href="/busy/page"]`, says: "Too many requests",
			open: func(v *visitor) {
				v.visit("apps", "/busy/page")
				v.visit("apps", "/busy/page")
			}},
		{name: "body too large", status: 413, path: "/public/upload", has: "h1", says: "64 KiB",
			open: func(v *visitor) {
				v.visit("apps", "/public/upload")
				v.click("button")
				v.until("a refusal", patience, `document.title != "app"`)
			}},
		{name: "account", status: 200, path: "/.evergate/account", has: `form[action="/.evergate/account/signout"] button`, says: "dora", isList: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "dora")
				v.forget() // from now on it is another device
				v.enter("apps", "/page", "dora")
				v.visit("apps", "/.evergate/account")
			}},
		{name: "passkeys", status: 200, path: "/.evergate/account/passkeys", has: `button[data-make]`, says: "Nobody can be talked out of it",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/.evergate/account/passkeys")
			}},
		{name: "change password", status: 200, path: "/.evergate/account/password", has: `input[autocomplete=new-password]`, says: "password",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/.evergate/account/password")
			}},
		{name: "change password refused", status: 403, path: "/.evergate/account/password", has: anAlert, says: "current password",
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/.evergate/account/password")
				v.fill("#current", "not-the-password")
				v.fill("#new", "another horse and battery")
				v.fill("#again", "another horse and battery")
				v.click(`main button[type=submit]`)
				v.until("a refusal", patience, alerted)
			}},
		{name: "invite", status: 200, path: "/.evergate/invite", has: `input[name=code]`, says: "one-time code",
			open: func(v *visitor) { v.visit("plain", "/.evergate/invite") }},
		{name: "invite refused", status: 403, path: "/.evergate/invite", has: anAlert, says: "This code is not good",
			open: func(v *visitor) {
				v.visit("plain", "/.evergate/invite")
				v.fill("#code", "AAAAA-AAAAA")
				v.click(`main button[type=submit]`)
				v.until("a refusal", patience, alerted)
			}},
		{name: "set password", status: 200, path: "/.evergate/invite", has: `input[autocomplete=new-password]`, says: "carol",
			open: func(v *visitor) {
				v.visit("plain", "/.evergate/invite")
				v.fill("#code", v.w.invite("plain", "carol"))
				v.click(`main button[type=submit]`)
				v.until("a form for the password", patience, `document.querySelector("#new")`)
			}},
		{name: "dashboard", status: 200, path: "/operator/", has: `h2`, says: "enewal", forOperators: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/operator/")
			}},
		{name: "dashboard of sessions", status: 200, path: "/operator/sessions", has: `table a`, says: "dora", forOperators: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "dora")
				v.visit("apps", "/operator/sessions?user=local%2Fdora")
			}},
		{name: "dashboard asks before it ends them", status: 200, path: "/operator/revoke", has: `form button`, says: "dora", forOperators: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "dora")
				v.visit("apps", "/operator/revoke?user=local%2Fdora")
			}},
		{name: "dashboard of what happened", status: 200, path: "/operator/timeline", has: `time`, says: "alice", forOperators: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/operator/timeline")
			}},
		{name: "dashboard of the config", status: 200, path: "/operator/config", has: `pre`, says: "public_url", forOperators: true,
			open: func(v *visitor) {
				v.enter("apps", "/page", "alice")
				v.visit("apps", "/operator/config")
			}},
		{name: "dashboard wants the token", status: 200, path: "/signin", has: `input[type=password]`, says: "token", forOperators: true,
			open: func(v *visitor) { v.open(v.w.admin["apps"] + "/") }},
		{name: "session ended idle", status: 200, path: "/.evergate/login", has: loginForm, says: idle,
			before: func(v *visitor) { v.enter("idle", "/page", "alice") },
			then:   ripe,
			open:   func(v *visitor) { v.visit("idle", "/page") }},
		{name: "session ended at its limit", status: 200, path: "/.evergate/login", has: loginForm, says: limit,
			before: func(v *visitor) { v.enter("limit", "/page", "alice") },
			then:   ripe,
			open:   func(v *visitor) { v.visit("limit", "/page") }},
	}...)
}

// TestPages has people come to every page of the gateway through the real thing, and looks
// at each as different people see it: light, dark, with colours of their own, at 320 px, without
// scripts, from right to left. axe-core finds nothing, everything is reached and pressed, nothing
// sticks out, no policy is violated, and the HTML is HTML.
func TestPages(t *testing.T) {
	t.Parallel()
	needPagesTools(t)
	long.take(t)
	w := newPagesWorld(t)
	b := w.browser()
	pages := gatewayPages()
	prepared := map[*gatewayPage][]*visitor{}
	for _, p := range pages {
		if p.before != nil {
			for _, how := range ways {
				v := w.newVisitor(t, b, how)
				p.before(v)
				prepared[p] = append(prepared[p], v)
			}
		}
	}

	w.ready = time.Now()

	var mu sync.Mutex // guards documents
	var documents []pagesDocument
	const most = 4                       // at a time: there are two cores, and every page has its waits
	crews := make(chan []*visitor, most) // a visitor for each way, who has time
	for range most {
		crews <- make([]*visitor, len(ways))
	}
	t.Run("each", func(t *testing.T) {
		for _, p := range pages {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				if p.then != nil {
					p.then(w)
				}
				crew := <-crews
				defer func() { crews <- crew }()
				for i, how := range ways {
					t.Run(how.name, func(t *testing.T) {
						v := crew[i]
						crew[i] = nil // whoever gets stuck does not come back
						switch {
						case p.before != nil:
							v = prepared[p][i]
							v.t = t
						case v == nil:
							v = w.newVisitor(b.t, b, how)
							v.t = t
						default:
							v.t = t
							v.beginAnew()
						}
						html, policy := v.lookAt(p)
						mu.Lock()
						documents = append(documents, pagesDocument{t.Name(), html, policy})
						mu.Unlock()
						crew[i] = v
					})
				}
			})
		}
	})
	judgePages(t, documents)
}

// lookAt opens a page and looks at it.
func (v *visitor) lookAt(p *gatewayPage) (html, policy string) {
	v.t.Helper()
	v.tab.mu.Lock()
	mark := len(v.faults)
	v.tab.mu.Unlock()
	p.open(v)
	if p.framed {
		v.lookInside()
	}
	await(v.t, "all of the page", func() bool { return see[string](v, "document.readyState") == "complete" })
	if at := see[string](v, "location.pathname"); at != p.path {
		v.stuck(fmt.Sprintf("got a page at %s, want it at %s", at, p.path))
	}
	if see[bool](v, fmt.Sprintf("document.querySelector(%q) == null", p.has)) {
		v.stuck("the page lacks " + p.has)
	}
	if text := see[string](v, "document.body.innerText"); see[string](v, "document.documentElement.lang") == "en" && !strings.Contains(text, p.says) {
		v.stuck(fmt.Sprintf("the page does not say %q", p.says))
	}
	html, policy = v.check(p)
	for _, fault := range v.complaints(mark) {
		v.t.Errorf("the browser complains: %s", fault)
	}
	return html, policy
}
