package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// TestCopiedJarOfABoundSession: all cookies of a browser, in another one.
func TestCopiedJarOfABoundSession(t *testing.T) {
	t.Parallel()
	g, p, said, home := signedInBound(t)
	other := g.newTrustingBrowser()
	thief := other.tab()
	var jar []*cookie
	var over time.Time // when the bound cookie in the jar is
	for tries := 1; ; tries++ {
		if tries > 10 {
			t.Fatalf("in ten tries no bound cookie with most of its life left was copied: nothing can be said: %v", jar)
		}
		p.open(home) // proves the key once more, beside it
		p.atApp(home)
		jar = p.jar()
		i := slices.IndexFunc(jar, func(c *cookie) bool { return c.Name == "__Host-evergate-bound" && c.HTTPOnly && c.Secure })
		if i < 0 {
			continue
		}
		if over = time.UnixMilli(int64(jar[i].Expires * 1000)); time.Until(over) < boundFor*2/3 {
			continue
		}
		thief.takeJar(jar)
		thief.open(home)
		if time.Now().Before(over) {
			break
		}
	}
	// As long as the bound cookie is good, so is the copy. That is what it is short for.
	thief.atApp(home)
	eval[bool](p, "window.polling = setInterval(poll, 1000), true")
	time.Sleep(time.Until(over.Add(2500 * time.Millisecond))) // with rotation_grace

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
	// Whenever the first browser has proven its key, counting begins anew.
	await(t, "the audit log has the mismatch", func() bool { return len(g.audited("session.device_mismatch")) > 0 })
	mismatch := g.audited("session.device_mismatch")
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
	without.until("the page that says so", max(patience, time.Until(began.Add(time.Minute+patience))), `document.body.innerText.includes("sign in again")`)
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
	await(t, "the quota is used up", func() bool {
		if got := eval[int](p, `fetch("/told").then((r) => r.status)`); got != http.StatusOK {
			t.Errorf("with a proof that is good: got %d, want 200", got)
		}
		time.Sleep(200 * time.Millisecond)
		return said.count("refreshed SigningQuotaExceeded ahead") > 0
	})
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

// cookie is one in the jar of a browser.
type cookie = network.Cookie

// jar is all that a browser keeps of cookies.
func (p *tab) jar() []*cookie {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		p.t.Fatalf("read all cookies: %v", err)
	}
	return got.Cookies
}

// takeJar puts the cookies of another browser into this one.
func (p *tab) takeJar(jar []*cookie) {
	p.t.Helper()
	var params network.SetCookiesParams
	for _, c := range jar {
		param := &network.CookieParam{Name: c.Name, Value: c.Value, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: c.SameSite,
			URL: "https://" + c.Domain + c.Path} // and no Domain: they are of one host
		params.Cookies = append(params.Cookies, param)
	}
	if _, err := chromedp.Call(p.ctx, network.SetCookies, params); err != nil {
		p.t.Fatalf("copy the cookies: %v", err)
	}
}
