package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// frontTTL is the life of an access token on the journey, in seconds.
const frontTTL = 8

// frontJourney is what a person does on a day, in Chromium, with a front proxy that asks:
// sign-in, renewals, a page that is not theirs, another host, sockets, large bodies, the
// end of the session and the way back, sign-out.
func frontJourney(t *testing.T, front frontProxy) {
	t.Parallel() // it mostly waits
	app, port := newFrontApp(t), freePort(t)
	certs := newCertificates(t, "apps.evergate.test", "wiki.evergate.test", "shop.evergate.test")
	url := func(host string) string { return "https://" + host + ".evergate.test:" + port }
	provider := newPanva(t, url("apps"), frontTTL, func(_, client map[string]any) { delete(client, "backchannel_logout_uri") })
	s := newFrontSetup(t, front, url("apps"), port, fmt.Sprintf(`identity:
  - oidc:
      issuer: %[1]s
      client_id: evergate
      client_secret_file: secret
      scopes: [openid, profile, email, groups, offline_access]
      claims: { user: preferred_username }
session: { rotation_grace: 1s }
routes:
  - upstream: %[2]q
  - { match: { path: /denied/ }, allow: [ groups: [nobody] ], upstream: %[2]q }
  - { match: { host: wiki.evergate.test }, upstream: %[2]q }
  - match: { host: shop.evergate.test }
  - { match: { host: shop.evergate.test, path: /answer }, public: true, respond: { body: "from the gateway" } }
`, provider.url, app.URL), map[string]string{"secret": "secret of evergate, with a space"}, certs, "--app", "shop.evergate.test="+app.URL)

	b := newBrowser(t, chromedp.Flag("host-resolver-rules", "MAP *.evergate.test 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true))
	p := b.tab()
	at := func(want string) {
		t.Helper()
		p.until("the app at "+want, patience, fmt.Sprintf(`location.href == %q && document.querySelector("#user")?.innerText == "alice"`, want))
	}
	cookie := func(host string) string {
		t.Helper()
		for _, c := range p.cookies(url(host)) {
			if c.Name == "__Host-Http-evergate" {
				return c.Value
			}
		}
		t.Fatalf("the browser has no session cookie for %s", host)
		return ""
	}
	told := func() (got struct{ User, Token string }) {
		t.Helper()
		text := eval[string](p, `fetch("/told").then((r) => r.text())`)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.User != "alice" || !strings.HasPrefix(got.Token, "Bearer ") {
			t.Fatalf("the app was told %s", text)
		}
		return got
	}
	step := func(what string) { t.Logf("%v %s", time.Now().Format("15:04:05.000"), what) }

	step("sign in, on a host of its own, back to the very page")
	p.open(url("wiki") + "/page?q=1%2F2#part")
	p.until("the provider asks who it is", patience, `document.querySelector("input[name=login]")`)
	p.fill("input[name=login]", "alice")
	p.fill("input[name=password]", "x")
	p.click("button[type=submit]")
	p.until("the provider asks for consent", patience, `document.querySelector("input[name=prompt][value=consent]")`)
	p.click("button[type=submit]")
	at(url("wiki") + "/page?q=1%2F2#part")
	if host, uri := p.text("#host"), p.text("#uri"); host != "wiki.evergate.test:"+port || uri != "/page?q=1%2F2" {
		t.Errorf("the app was asked for %s at %s", uri, host)
	}

	step("another host; one whose app only the front proxy knows")
	p.open(url("shop") + "/")
	at(url("shop") + "/")
	if got := eval[string](p, `fetch("/answer").then((r) => r.text())`); got != "from the gateway" {
		t.Errorf("what the gateway answers itself: %q", got)
	}
	p.open(url("apps") + "/")
	at(url("apps") + "/")

	step("three renewals, and the cookie rotates")
	first, before := cookie("apps"), told()
	seen := map[string]bool{first: true}
	grants := provider.stats(t).Grants["refresh_token"]
	for i := range 3 {
		time.Sleep(frontTTL * time.Second)
		if i == 0 { // a page, which is sent round by the gateway for its cookie
			p.open(url("apps") + "/round?x=1")
			at(url("apps") + "/round?x=1")
		} else if status := eval[int](p, `fetch("/.evergate/rotate").then((r) => r.status)`); status != http.StatusNoContent {
			t.Errorf("rotate: got %d", status)
		}
		now := told()
		if now.Token == before.Token {
			t.Errorf("a token's life later the app got the same token")
		}
		before = now
		seen[cookie("apps")] = true
	}
	if len(seen) < 3 {
		t.Errorf("the browser had %d different cookies over three renewals, want 3 or more", len(seen))
	}
	if n := provider.stats(t).Grants["refresh_token"] - grants; n < 3 {
		t.Errorf("the provider renewed %d times, want three times or more", n)
	}

	step("200 requests at once at the end of a token's life")
	time.Sleep(frontTTL * time.Second)
	renewed := len(provider.renewals(t))
	got := eval[string](p, `Promise.all(Array.from({length: 200}, (_, i) => fetch("/told?" + i).then((r) => r.json())))
		.then((all) => all.length + " " + new Set(all.map((a) => a.user)).size + " " + new Set(all.map((a) => a.token)).size)`)
	// Where they take that long, the next token comes to its end as well.
	n := provider.onceForEachExpiry(t, renewed, frontTTL/2*time.Second)
	var answers, users, tokens int
	if _, err := fmt.Sscan(got, &answers, &users, &tokens); err != nil || answers != 200 || users != 1 || tokens < 1 || tokens > n {
		t.Errorf("got %q, want 200 answers, one user, and no more tokens than the provider gave: %d", got, n)
	}

	step("a page that is not theirs")
	p.open(url("apps") + "/denied/x")
	p.until("the page that says no", patience, `document.body?.innerText.includes("alice")`)
	p.shot("front-" + front.dialect() + "-denied")
	p.open(url("apps") + "/")
	at(url("apps") + "/")

	if got := eval[int](p, `fetch("/denied/x").then((r) => r.status)`); got != http.StatusForbidden {
		t.Errorf("a script at a page that is not theirs: got %d", got)
	}

	step("a WebSocket, and large bodies")
	const socket = `new Promise((done) => { const w = new WebSocket("wss://" + location.host + "/socket");
		w.onopen = () => w.send("hello"); w.onmessage = (e) => { done(e.data); w.close() }; w.onerror = w.onclose = () => done("no") })`
	if got := eval[string](p, socket); got != "hello" {
		t.Errorf("the WebSocket says %q", got)
	}
	client := frontClient(t, s.listen)
	for origin, want := range map[string]int{url("apps"): http.StatusSwitchingProtocols, "https://evil.evergate.test:" + port: http.StatusForbidden} {
		if got := frontUpgrade(t, s.listen, "apps.evergate.test:"+port, "websocket", "__Host-Http-evergate="+cookie("apps"), origin); got != want {
			t.Errorf("a WebSocket from a page of %s: got %d, want %d", origin, got, want)
		}
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	want := fmt.Sprintf("%d %x <nil>", len(large), sha256.Sum256(large))
	// As a Blob: of a string the browser would tell the test all that it sends.
	const post = `fetch("/body", {method: "POST", body: new Blob(["0123456789abcdef".repeat(2 << 20)])})`
	if got := eval[string](p, post+`.then((r) => r.text())`); got != want {
		t.Errorf("the app took %s, want %s", got, want)
	}

	step("an upload while nobody is signed in")
	for _, expect := range []string{"", "100-continue"} {
		req, err := http.NewRequest(http.MethodPost, url("apps")+"/body", bytes.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Mode", "cors")
		if expect != "" {
			req.Header.Set("Expect", expect)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("an upload with nobody signed in: %v", err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"login_url"`) {
			t.Errorf("an upload with nobody signed in: got %d %.200s", res.StatusCode, body)
		}
	}

	step("the session ends, and back in")
	evergate(t, s.dir, "", "session", "revoke", "--config", s.config, "--user", "alice")
	apart := `.then(async (r) => r.status + " " + r.redirected + " " + r.headers.get("Content-Type") + " " + new URL((await r.json()).login_url, location.href).pathname)`
	if got := eval[string](p, `fetch("/told")`+apart); got != "401 false application/problem+json /.evergate/login" {
		t.Errorf("a script with nobody signed in gets %q", got)
	}
	if got := eval[string](p, post+apart); got != "401 false application/problem+json /.evergate/login" {
		t.Errorf("its upload gets %q", got)
	}
	if got := eval[string](p, socket); got != "no" {
		t.Errorf("with nobody signed in the WebSocket says %q", got)
	}
	p.open(url("apps") + "/again?y=2")
	p.until("the page that says why, and asks", patience, `location.pathname == "/.evergate/login" && document.querySelector("main a, main button")`)
	p.click("main a, main button")
	const consent = `document.querySelector("input[name=prompt][value=consent]")`
	p.until("back, or asked for consent once more", patience, consent+` || document.querySelector("#user")`)
	if eval[bool](p, "Boolean("+consent+")") { // the grant was taken back with the session
		p.click("button[type=submit]")
	}
	at(url("apps") + "/again?y=2")

	step("sign out")
	p.open(url("apps") + "/.evergate/logout")
	p.until("the page that asks", patience, `document.title.includes("Sign out")`)
	p.click("button[type=submit]")
	// The way on to the provider is closed: this provider speaks plain http, and a form of an
	// https page leads to https alone (form-action).
	await(t, "the session is over", func() bool {
		return !strings.Contains(evergate(t, s.dir, "", "session", "list", "--config", s.config), "alice")
	})
	app.taken()
	p.open(url("wiki") + "/page")
	p.until("the page that asks before it signs in again", patience, `location.pathname == "/.evergate/login" || document.querySelector("input[name=login], input[name=prompt]")`)
	if got := app.taken(); len(got) > 0 {
		t.Errorf("after signing out the app got %v", got)
	}
	if stats := provider.stats(t); stats.MostRefreshing > 1 || len(stats.Errors) > 0 {
		t.Errorf("the provider counted %+v", stats)
	}
	p.faultless("status of 401", "status of 403", "WebSocket", "directive: \"form-action", providersFont, noFavicon)
	step("done")
}
