package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// bank is an app with a form, which asks by itself for a sign-in of the last minute below
// /vault/ (RFC 9470): the access token tells it when that was.
type bank struct {
	*httptest.Server
	mu   sync.Mutex // guards sent
	sent []string
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/vault/") && time.Since(authTime(r)) > time.Minute {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication", error_description="the vault", max_age="60"`)
			http.Error(w, "the vault asks who you are", http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			b.mu.Lock()
			b.sent = append(b.sent, r.Header.Get("X-Forwarded-User")+" "+r.PostFormValue("amount"))
			b.mu.Unlock()
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>bank</title><link rel="icon" href="data:,"><p id="user">%s</p><p id="at">%s</p>
<form method="post" action="/transfer/"><input name="amount" id="amount"><button id="send">Send</button></form>`, r.Header.Get("X-Forwarded-User"), r.RequestURI)
	}))
	t.Cleanup(b.Close)
	return b
}

// authTime is when the person behind a request signed in, by its access token.
func authTime(r *http.Request) time.Time {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	var claims struct {
		AuthTime int64 `json:"auth_time"`
	}
	if len(parts) == 3 {
		if raw, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(raw, &claims)
		}
	}
	return time.Unix(claims.AuthTime, 0)
}

// TestStepUpByPassword: two minutes after signing in, what asks for a fresh sign-in gets
// one, and a form that was being sent is kept over it.
func TestStepUpByPassword(t *testing.T) {
	t.Parallel()
	long.take(t)
	const password = "correct horse battery"
	app, port := newBank(t), freePort(t)
	dir := t.TempDir()
	url := "http://127.0.0.1:" + port
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%[1]s
public_url: %[2]s
admin: { listen: "127.0.0.1:%[3]s" }
identity: [ local: { users_file: users.yaml } ]
routes:
  - upstream: %[4]q
  - match: { path: /transfer/ }
    upstream: %[4]q
    allow: [ { max_auth_age: 1m } ] # and a minute for the clocks
`, port, url, freePort(t), app.URL))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	evergate(t, dir, password+"\n", "user", "add", "--config", config, "--password-stdin", "alice")
	start(t, dir, binary, "serve", "--config", config).awaitHTTP(t, url+"/.evergate/ping")

	b := newBrowser(t)
	p := b.tab()
	at := func(p *tab, path string) {
		t.Helper()
		p.until("at "+path, patience, fmt.Sprintf(`location.pathname + location.search + location.hash == %q && document.querySelector("#user")?.innerText == "alice"`, path))
	}
	again := func(p *tab) {
		t.Helper()
		p.until("asked who it is", patience, `document.querySelector("h1")?.innerText == "Confirm that it is you" && document.querySelector("#username")?.value == "alice"`)
	}
	confirm := func(p *tab) {
		t.Helper()
		p.until("the focus is on the password, for the name is there", patience, `document.activeElement?.id == "password"`)
		p.fill("#password", password)
		p.click("button[type=submit]")
	}
	p.open(url + "/transfer/?q=1")
	p.signIn("alice", password)
	at(p, "/transfer/?q=1") // fresh enough
	p.open(url + "/vault/")
	at(p, "/vault/")
	p.open(url + "/page")
	signedIn := time.Now()
	p.fill("#amount", "100")
	time.Sleep(time.Until(signedIn.Add(123 * time.Second)))

	// The app's own challenge leads through the sign-in, and nothing of it is left open.
	vault := b.tab()
	vault.open(url + "/vault/?door=1#left")
	again(vault)
	vault.everyLook("step-up")

	// What asks for less is open all the while.
	other := b.tab()
	other.open(url + "/other")
	at(other, "/other")

	p.click("#send")
	again(p)
	if text := p.text("main"); !strings.Contains(text, "You are signed in as alice. This address asks for a sign-in within the last minute.") || !strings.Contains(text, "What you were sending is kept") {
		t.Errorf("the page says %q", text)
	}
	confirm(p)
	p.until("the kept form is offered", patience, `location.pathname == "/.evergate/resend"`)
	p.click("button[type=submit]")
	at(p, "/transfer/")
	app.mu.Lock()
	if len(app.sent) != 1 || app.sent[0] != "alice 100" {
		t.Errorf("the bank got %q, want the form once", app.sent)
	}
	app.mu.Unlock()
	confirm(vault)
	at(vault, "/vault/?door=1#left")
	p.faultless(noFavicon)
	vault.faultless(noFavicon)
}

// providersFont is what the pages of panva's provider ask the world for.
const providersFont = "fonts.googleapis.com"

// TestStepUpAtPanva: a provider that knows classes is asked for one, and for a fresh
// sign-in; a script hears of it and sends its page there; an app on a host of its own too.
func TestStepUpAtPanva(t *testing.T) {
	t.Parallel()
	app, port := newHostsApp(t), freePort(t)
	const otp = "urn:evergate.test:otp"
	p := newPanva(t, "http://apps.localhost:"+port, 60, func(config, _ map[string]any) { config["acrs"] = []string{otp} })
	newGatewayAt(t, "apps.localhost", port, panvaConfig(p.url, app.URL, "", fmt.Sprintf(`  - match: { path: /admin/ }
    upstream: %[1]q
    allow: [ { groups: [staff], acr: [%[2]q] } ]
  - match: { host: shop.localhost, path: /admin/ }
    upstream: %[1]q
    allow: [ { amr: [otp], max_auth_age: 5m } ]
  - { match: { host: shop.localhost }, upstream: %[1]q }
`, app.URL, otp)), map[string]string{"secret": "secret of evergate, with a space"})
	url, shop := "http://apps.localhost:"+port, "http://shop.localhost:"+port

	signIn := func(tab *tab) {
		t.Helper()
		tab.until("the provider asks who it is", patience, `document.querySelector("input[name=login]")`)
		tab.fill("input[name=login]", "alice")
		tab.fill("input[name=password]", "x")
		asking := eval[string](tab, "location.href")
		tab.click("button[type=submit]")
		tab.until("past the provider's question", patience, fmt.Sprintf("location.href != %q", asking))
	}
	consent := func(tab *tab) {
		t.Helper()
		tab.until("the provider asks for consent", patience, `document.querySelector("input[name=prompt][value=consent]")`)
		tab.click("button[type=submit]")
	}
	at := func(tab *tab, want string) {
		t.Helper()
		tab.until("at "+want, patience, fmt.Sprintf(`location.href == %q && document.querySelector("#user")?.innerText == "alice"`, want))
	}
	b := newBrowser(t)
	one := b.tab()
	one.open(url + "/page")
	signIn(one)
	consent(one)
	at(one, url+"/page")

	// A script that asks for more than the sign-in is gets a challenge, and no redirect.
	var told struct {
		Status    int
		Challenge string
		Problem   struct {
			Code     string
			LoginURL string `json:"login_url"`
		}
	}
	got := eval[string](one, `fetch("/admin/data").then(async (r) => JSON.stringify({Status: r.status, Challenge: r.headers.get("WWW-Authenticate"), Problem: await r.json()}))`)
	if err := json.Unmarshal([]byte(got), &told); err != nil || told.Status != 401 || told.Problem.Code != "insufficient_user_authentication" ||
		!strings.Contains(told.Challenge, `error="insufficient_user_authentication"`) || !strings.Contains(told.Challenge, `acr_values="`+otp+`"`) {
		t.Fatalf("the script is told %s (%v)", got, err)
	}
	eval[bool](one, fmt.Sprintf("(location.href = %q, true)", told.Problem.LoginURL))
	signIn(one)
	at(one, url+"/page")
	if got := eval[int](one, `fetch("/admin/data").then((r) => r.status)`); got != 200 {
		t.Errorf("after the further sign-in the script gets %d", got)
	}

	// What is signed in like that goes straight on, on the other host too.
	two := b.tab()
	two.open(url + "/admin/?q=1#part")
	at(two, url+"/admin/?q=1#part")
	two.open(shop + "/admin/?q=2#part")
	at(two, shop+"/admin/?q=2#part")

	// Another person, straight to the far host: what it asks comes along.
	three := newBrowser(t).tab()
	three.open(shop + "/")
	signIn(three)
	consent(three)
	at(three, shop+"/")
	three.open(shop + "/admin/?q=3#part")
	// It knows no way to be asked for a method, only for a sign-in that is new; and one by
	// password is not what is asked for.
	signIn(three)
	signIn(three) // by prompt=login, once
	three.until("told that it is not enough", patience, `document.querySelector("h1")?.innerText == "A stronger sign-in is needed"`)
	three.everyLook("step-up-insufficient")
	three.open(shop + "/")
	at(three, shop+"/")
	one.faultless(noFavicon, providersFont, "status of 401")
	two.faultless(noFavicon, providersFont)
	three.faultless(noFavicon, providersFont, "status of 403")
}

// TestStepUpAtAStubbornProvider: one that heeds no classes ends at a page, after one
// prompt=login and not before.
func TestStepUpAtAStubbornProvider(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 60, func(config, _ map[string]any) { config["acrs"], config["stubborn"] = []string{"gold"}, true })
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", fmt.Sprintf("  - { match: { path: /admin/ }, upstream: %q, allow: [ { acr: [gold] } ] }\n", app.URL)),
		map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	at := who.get(g.url + "/admin/")
	if !strings.Contains(at.url.Path, "/interaction/") {
		t.Fatalf("at %s (%d), want to be asked anew by the provider:\n%.500s", at.url, at.status, at.body)
	}
	at = who.submit(at, alice)
	if at.status != http.StatusForbidden || at.url.Path != "/.evergate/callback/oidc" || !strings.Contains(at.body, "A stronger sign-in is needed") {
		t.Fatalf("at %s (%d), want the page that says so:\n%.500s", at.url, at.status, at.body)
	}
	who.get(g.url + "/other").told(t)
	if s := p.stats(t); s.Grants["authorization_code"] != 3 {
		t.Errorf("the provider gave %d codes, want one for the sign-in, one with acr_values and one with prompt=login", s.Grants["authorization_code"])
	}
}
