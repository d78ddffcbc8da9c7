package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const boundRoutes = `  - { upstream: "APP" }
  - { match: { host: wiki.evergate.test }, upstream: "APP" }
`

// signInBound signs alice in at an address, and waits until her session is bound there.
func (g *boundGateway) signInBound(p *tab, said *bindings, address string) {
	g.t.Helper()
	p.open(address)
	p.signIn("alice", boundPassword)
	p.atApp(address)
	said.until(g.t, "created Success", 1)
}

// atApp waits for the app at an address.
func (p *tab) atApp(address string) {
	p.t.Helper()
	p.until("the app at "+address, patience, fmt.Sprintf(`document.readyState == "complete" && location.href == %q && document.querySelector("#user")?.innerText == "alice"`, address))
}

// tryASocket says whether a WebSocket to the app opens.
const tryASocket = `new Promise((done) => { const ws = new WebSocket("wss://" + location.host + "/socket"); ws.onopen = () => done("open"); ws.onclose = () => done("closed") })`

// untilOver waits until the proof that a browser got last is over.
func untilOver() { time.Sleep(boundFor + 1500*time.Millisecond) }

// TestBoundSessionGoesOn: over several lives of the bound cookie, with pages of two hosts that
// ask every second and open streams and sockets, nobody is asked to sign in and nothing fails.
func TestBoundSessionGoesOn(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	b := g.newBoundBrowser()
	apps := b.tab()
	said := apps.bindings()
	g.signInBound(apps, said, g.url("apps")+"/")
	wiki := b.tab()
	wiki.open(g.url("wiki") + "/")
	wiki.atApp(g.url("wiki") + "/")
	said.until(t, "created Success", 2)
	g.mustHave(2, "session.bound")

	const life = 35 * time.Second
	for _, p := range []*tab{apps, wiki} {
		eval[bool](p, "setInterval(poll, 1000), stream(), socket(), true")
	}
	time.Sleep(life)
	for _, p := range []*tab{apps, wiki} {
		if got := eval[string](p, "JSON.stringify([Object.keys(statuses), broken])"); got != `[["200"],[]]` {
			t.Errorf("got the statuses, and the streams and sockets that broke: %s, want 200 alone and none", got)
		}
		if n := eval[int](p, "Math.min(statuses[200], streams, sockets)"); n < 15 {
			t.Errorf("the page asked %d times in %v, want more", n, life)
		}
	}
	// A proof is good for ten seconds and given two before that, by whichever request comes then.
	refreshed := said.count("refreshed Refreshed")
	if least, most := 2*3, 2*6; refreshed < least || refreshed > most {
		t.Errorf("on two hosts the browser proved itself %d times in %v, want %d to %d times: %q", refreshed, life, least, most, said.said())
	}
	t.Logf("in %v the browser proved itself %d times on two hosts", life, refreshed)

	// After a pause requests are held back until the proof is there: a page, and a socket.
	for _, p := range []*tab{apps, wiki} {
		p.open("about:blank")
	}
	untilOver()
	for host, p := range map[string]*tab{"apps": apps, "wiki": wiki} {
		p.open(g.url(host) + "/next")
		p.atApp(g.url(host) + "/next")
	}
	untilOver()
	if got := eval[string](apps, tryASocket); got != "open" {
		t.Errorf("a socket as the first after a pause is %s, want open", got)
	}
	g.mustHave(0, "session.device_mismatch")
	g.mustHave(1, "session.started")
	var wrong []map[string]any
	for _, l := range linesOf(t, g.log(), "msg", "request") {
		status, _ := l["status"].(float64)
		if l["session"] == nil && l["path"] == "/told" || status == http.StatusUnauthorized || status >= 500 {
			wrong = append(wrong, l)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("the gateway answered %d requests wrongly, the first like %v", len(wrong), wrong[0])
	}
	apps.faultless()
	wiki.faultless()
}

// TestBoundSessionFromElsewhere: Chromium proves no key for what a page of another origin leads
// to, and sends the request without (the draft's allowed_refresh_initiators). Who follows a link
// after a pause arrives all the same, with what is after the #. Pages of a sister host count as
// the app's own.
func TestBoundSessionFromElsewhere(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	b := g.newBoundBrowser()
	p := b.tab()
	said := p.bindings()
	g.signInBound(p, said, g.url("apps")+"/")
	p.open(g.url("wiki") + "/")
	p.atApp(g.url("wiki") + "/")
	said.until(t, "created Success", 2)
	untilOver()

	// From another site, to both hosts.
	mail := b.tab()
	for _, to := range []string{"/page?q=1#part", "/"} {
		for _, host := range []string{"wiki", "apps"} {
			mail.open(g.app.URL) // without the gateway, at another site
			_, mark := mail.heard(0)
			eval[bool](mail, fmt.Sprintf("(location.href = %q, true)", g.url(host)+to))
			mail.atApp(g.url(host) + to)
			answers, _ := mail.heard(mark)
			asked := slices.ContainsFunc(answers, func(a answer) bool { return a.status == http.StatusOK && strings.Contains(a.url, "/.evergate/login?") })
			if first := to != "/"; asked != first {
				t.Errorf("%s%s: on the way the browser was asked for the proof: %t, want %t: %v", host, to, asked, first, answers)
			}
		}
	}
	// From a sister host: its picture, and its link.
	p.open(g.url("wiki") + "/")
	p.atApp(g.url("wiki") + "/")
	untilOver()
	before := said.count("refreshed Refreshed")
	if got := eval[string](p, fmt.Sprintf("fetch(%q, { mode: 'no-cors', credentials: 'include' }).then((r) => r.type)", g.url("apps")+"/told")); got != "opaque" {
		t.Errorf("got %s", got)
	}
	if n := said.count("refreshed Refreshed"); n != before+1 {
		t.Errorf("a page of a sister host had the key proven %d times, want once", n-before)
	}
	var told []map[string]any
	for end := time.Now().Add(patience); len(told) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		told = linesOf(t, g.log(), "path", "/told")
	}
	if len(told) != 1 || told[0]["status"] != float64(http.StatusOK) {
		t.Errorf("what it asked was answered %v, want 200", told)
	}
	g.mustHave(0, "session.device_mismatch")
	g.mustHave(1, "session.started")
	p.faultless()
	mail.faultless()
}

// TestCopiedJarOfABoundSession: all cookies of a browser, in another one.
func TestCopiedJarOfABoundSession(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	p := g.newBoundBrowser().tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	jar := p.jar()
	if !slices.ContainsFunc(jar, func(c *cookie) bool { return c.Name == "__Host-evergate-bound" && c.HTTPOnly && c.Secure }) {
		t.Errorf("there is no bound cookie in the jar: %v", jar)
	}
	taken := time.Now()
	other := g.newTrustingBrowser()
	thief := other.tab()
	thief.takeJar(jar)
	// As long as the bound cookie is good, so is the copy. That is what it is short for.
	thief.open(home)
	thief.atApp(home)
	if since := time.Since(taken); since > boundFor {
		t.Fatalf("this machine took %v for it: nothing can be said", since)
	}
	eval[bool](p, "window.polling = setInterval(poll, 1000), true")
	time.Sleep(time.Until(taken.Add(boundFor + 2500*time.Millisecond))) // with rotation_grace

	if got := eval[string](thief, `fetch("/told").then((r) => r.json().then((j) => r.status + " " + j.code + " " + j.reason))`); got != "401 login_required device" {
		t.Errorf("the copy is answered %q, want 401 for want of the device", got)
	}
	if got := eval[string](thief, tryASocket); got != "closed" {
		t.Errorf("a socket with the copy is %s, want it refused", got)
	}
	page := other.tab()
	page.open(home)
	page.until("the sign-in page", patience, `document.querySelector("#password") && document.body.innerText.includes("bound to the device")`)
	page.everyLook("bound-elsewhere")
	mismatch := g.mustHave(1, "session.device_mismatch")
	if mismatch[0]["count"] != 1.0 || mismatch[0]["user"] != "alice" {
		t.Errorf("got %v, want the first of alice's session", mismatch[0])
	}
	if got := eval[string](p, "JSON.stringify(Object.keys(statuses))"); got != `["200"]` {
		t.Errorf("meanwhile the first browser got %s, want 200 alone", got)
	}
	// Again and again, while the first browser does nothing: the session ends. Had it proven its
	// key in between, that would have begun anew.
	eval[bool](p, "clearInterval(polling), true")
	time.Sleep(time.Second)
	for end := time.Now().Add(90 * time.Second); len(g.audited("session.revoked")) == 0; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatal("the session is not revoked")
		}
		if got := eval[int](thief, `fetch("/told").then((r) => r.status)`); got != http.StatusUnauthorized {
			t.Fatalf("the copy is answered %d", got)
		}
	}
	if got := g.mustHave(1, "session.revoked"); got[0]["reason"] != "device" {
		t.Errorf("got %v, want the device for a reason", got[0])
	}
	p.open(home)
	p.until("the sign-in page", patience, `document.querySelector("#password")`)
	said.until(t, "ended ServerRequested", 1)
	p.signIn("alice", boundPassword)
	p.atApp(home)
	said.until(t, "created Success", 2)
}

// TestBoundSessionsOutliveTheGateway: it is started again, and its key ring gets a new key; what
// the browsers were given to sign before is good still.
func TestBoundSessionsOutliveTheGateway(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	p := g.newBoundBrowser().tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	g.stop(t)
	untilOver()
	g.serve()
	p.open(home + "again")
	p.atApp(home + "again")
	said.until(t, "refreshed Refreshed", 1)

	// As docs/key-rotation.md says; and as if five minutes had gone since.
	evergate(t, g.dir, "", "key", "new", "--add", "ring")
	text, err := os.ReadFile(filepath.Join(g.dir, "ring"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(string(text), ".", 3)
	parts[1] = fmt.Sprint(time.Now().Add(-10 * time.Minute).Unix())
	writeFile(t, g.dir, "ring", strings.Join(parts, "."))
	g.mustHave(1, "keys.reloaded")
	bound := func() (value string) {
		for _, c := range p.cookies(home) {
			if c.Name == "__Host-evergate-bound" {
				value = c.Value
			}
		}
		return value
	}
	key := func(sealed string) string { id, _, _ := strings.Cut(sealed, "."); return id }
	old := bound()
	for range 2 {
		untilOver()
		p.open(home)
		p.atApp(home)
	}
	if now := bound(); key(now) == key(old) || now == "" {
		t.Errorf("the bound cookie was %.12s… and is %.12s…, want it under another key", old, now)
	}
	said.until(t, "refreshed Refreshed", 3)
	g.mustHave(0, "session.device_mismatch")
	g.mustHave(1, "session.started")
	p.faultless()
}

// TestSignOutOfABoundSession: the browser forgets the key with its next proof.
func TestSignOutOfABoundSession(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	p := g.newBoundBrowser().tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	p.signOut(g.url("apps"))
	said.none(t, "ended ServerRequested")
	untilOver()
	p.open(home)
	p.until("the sign-in page", patience, `document.querySelector("#password")`)
	said.until(t, "ended ServerRequested", 1)
	refused := func() (n int) {
		for _, l := range linesOf(t, g.log(), "path", "/.evergate/dbsc/refresh") {
			if l["status"] != float64(http.StatusOK) {
				n++
			}
		}
		return n
	}
	if n := refused(); n != 0 {
		t.Errorf("%d refreshes were answered by errors, want {\"continue\":false}", n)
	}
	p.signIn("alice", boundPassword)
	p.atApp(home)
	said.until(t, "created Success", 2)
	g.mustHave(2, "session.bound")
	g.mustHave(0, "session.device_mismatch")
	p.faultless()
}

// TestRouteThatRequiresADevice: who can bind their session gets in, also straight from the
// sign-in, which the browser binds a moment later.
func TestRouteThatRequiresADevice(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes+`  - { match: { path: /vault/ }, upstream: "APP", device_bound: require }
`)
	vault := g.url("apps") + "/vault/?q=1"
	without := g.newTrustingBrowser().tab()
	without.open(vault + "#part")
	without.signIn("alice", boundPassword)
	without.until("the page that waits for the key", patience, `document.body.innerText.includes("this page tries again by itself")`)
	began := time.Now()
	without.shot("bound-wait")

	p := g.newBoundBrowser().tab()
	said := p.bindings()
	p.open(vault + "#part")
	p.signIn("alice", boundPassword)
	p.until("the app", patience, fmt.Sprintf(`location.href.startsWith(%q) && document.querySelector("#user")?.innerText == "alice"`, vault))
	said.until(t, "created Success", 1)
	untilOver()
	p.open("about:blank")
	p.open(vault)
	p.atApp(vault)
	p.faultless("403")

	// A browser that cannot is told so, once it is clear.
	without.until("the page that says so", time.Until(began.Add(time.Minute+patience)), `document.body.innerText.includes("sign in again")`)
	without.everyLook("bound-required")
	without.open(g.url("apps") + "/")
	without.atApp(g.url("apps") + "/")
	if got := eval[int](without, `fetch("/vault/").then((r) => r.status)`); got != http.StatusForbidden {
		t.Errorf("a script is answered %d, want 403", got)
	}
}

// TestSigningQuotaOfChromium: Chromium signs six times in nine minutes for all hosts of a site
// together, its registrations among them. Up to two minutes before its end a bound cookie is
// renewed by the next request, so that one of ten seconds uses it all up in a moment. Then
// requests come without the proof and say so: nobody is served and nobody is signed out.
func TestSigningQuotaOfChromium(t *testing.T) {
	t.Parallel()
	g := newBoundGateway(t, boundRoutes)
	features := "DeviceBoundSessions:ForceEnableForTesting/true,EnableBoundSessionCredentialsSoftwareKeysForManualTesting,DeviceBoundSessionsDevTools"
	p := g.newTrustingBrowser(chromedp.Flag("enable-features", features)).tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	for range 10 {
		if got := eval[int](p, `fetch("/told").then((r) => r.status)`); got != http.StatusOK {
			t.Errorf("with a proof that is good: got %d, want 200", got)
		}
		time.Sleep(200 * time.Millisecond)
	}
	said.until(t, "refreshed SigningQuotaExceeded ahead", 1)
	if n := said.count("refreshed Refreshed ahead"); n != 5 {
		t.Errorf("after the registration the browser signed %d times, want 5: %q", n, said.said())
	}
	untilOver()
	if got := eval[string](p, `fetch("/told").then((r) => r.status + " " + (r.headers.get("Retry-After") > 0))`); got != "503 true" {
		t.Errorf("without the proof: got %s, want 503 and when to come back", got)
	}
	p.open(home)
	p.until("the page that says so", patience, `document.body.innerText.includes("your sign-in is kept")`)
	p.shot("bound-quota")
	g.mustHave(0, "session.device_mismatch")
	g.mustHave(0, "session.revoked")
}
