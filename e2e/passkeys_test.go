package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/evergate/evergate/session/redis/redistest"
)

// keysPassword is that of the people of these tests, who have passkeys.
const keysPassword = "correct horse battery staple"

// keysWorld is two gateways on one Redis, of which each request meets another one, at
// localhost and, for one app, at wiki.localhost.
type keysWorld struct {
	url, wiki string
	replicas  []*gateway
}

// newKeysWorld starts them; second is what the config says of second_factor.
func newKeysWorld(t *testing.T, second string, people ...string) *keysWorld {
	t.Helper()
	need(t, "redis-server", "redis-server")
	redis, port := redistest.Start(t), freePort(t)
	w := &keysWorld{url: "http://localhost:" + port, wiki: "http://wiki.localhost:" + port}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p>`, r.Header.Get("X-Forwarded-User"))
	}))
	t.Cleanup(app.Close)
	shared := t.TempDir()
	key, users := filepath.Join(shared, "evergate.key"), writeFile(t, shared, "users.yaml", "users: {}\n")
	evergate(t, shared, "", "key", "new", "--out", key)
	var front []*httputil.ReverseProxy
	for range 2 {
		own := freePort(t)
		g := &gateway{t: t, dir: t.TempDir(), url: "http://127.0.0.1:" + own, admin: "http://127.0.0.1:" + freePort(t)}
		g.config = writeFile(t, g.dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: %q }
trusted_proxies: [127.0.0.1]
keys: { files: [%q] }
session: { store: redis, redis: { addresses: [%q] } }
identity: [ local: { users_file: %q, second_factor: %s } ]
routes:
  - { match: { host: wiki.localhost }, upstream: %[8]q }
  - { match: { path: /strong/ }, allow: [ { acr: [phr] } ], upstream: %[8]q }
  - { match: { path: /verified/ }, allow: [ { amr: [uv] } ], upstream: %[8]q }
  - { upstream: %[8]q }
`, own, w.url, strings.TrimPrefix(g.admin, "http://"), key, redis.Address(), users, second, app.URL))
		if len(front) == 0 {
			for _, name := range people {
				evergate(t, g.dir, keysPassword+"\n", "user", "add", "--config", g.config, "--password-stdin", name)
			}
		}
		g.serve()
		w.replicas = append(w.replicas, g)
		to, err := url.Parse(g.url)
		if err != nil {
			t.Fatal(err)
		}
		front = append(front, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host; r.SetXForwarded() }})
	}
	var turn atomic.Uint32
	public := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { front[turn.Add(1)%2].ServeHTTP(w, r) }))
	_ = public.Listener.Close() // it is another port
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	public.Listener = l
	public.Start()
	t.Cleanup(public.Close)
	return w
}

// authenticator plugs one into a tab. Verifies says that it can make sure who holds it, and that
// it keeps what signs without being told whose it is.
func (p *tab) authenticator(verifies bool) webauthn.AuthenticatorID {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		p.t.Fatalf("have authenticators: %v", err)
	}
	o := &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportUsb, AutomaticPresenceSimulation: true}
	if verifies {
		o.Transport, o.HasResidentKey, o.HasUserVerification, o.IsUserVerified = webauthn.AuthenticatorTransportInternal, true, true, true
	}
	got, err := chromedp.Call(p.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: o})
	if err != nil {
		p.t.Fatalf("plug an authenticator in: %v", err)
	}
	return got.AuthenticatorID
}

// present says whether somebody sits there who touches an authenticator that asks for it.
func (p *tab) present(id webauthn.AuthenticatorID, there bool) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: id, Enabled: there}); err != nil {
		p.t.Fatalf("say who sits there: %v", err)
	}
}

// pressOnly has the browser not show passkeys beside the user names: the virtual authenticator
// would take the first one before anybody presses the button.
func (p *tab) pressOnly() {
	p.t.Helper()
	source := "if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false)"
	if _, err := chromedp.Call(p.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: source}); err != nil {
		p.t.Fatalf("offer nothing beside the user names: %v", err)
	}
}

// keysOf are the passkeys in an authenticator.
func (p *tab) keysOf(id webauthn.AuthenticatorID) []*webauthn.Credential {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: id})
	if err != nil {
		p.t.Fatalf("look into an authenticator: %v", err)
	}
	return got.Credentials
}

const (
	keyButton  = `button[data-passkey]`
	keysReady  = `document.readyState == 'complete' && document.querySelector('button[data-passkey]:not([hidden])')`
	keysPage   = `document.title.startsWith("Your passkeys")`
	passkeyURL = "/.evergate/account/passkeys"
)

// enrol makes a passkey on the account page of who is signed in.
func (p *tab) enrol(w *keysWorld) {
	p.t.Helper()
	p.open(w.url + passkeyURL)
	p.until("the page of passkeys", patience, keysReady+" && "+keysPage)
	p.click(keyButton)
	p.keepCodes()
	p.until("a passkey is made", patience, `document.body.innerText.includes("Your passkey is made")`)
}

// keepCodes goes on from the recovery codes that come with the first second factor.
func (p *tab) keepCodes() {
	p.t.Helper()
	p.until("recovery codes", patience, `document.querySelectorAll("#codes li").length == 10`)
	p.click("main a.button")
}

// TestPasskeyJourney: a person makes a passkey, signs in with it alone, also for an app on a host
// of its own, renames it and takes it away again, while each request meets another gateway.
func TestPasskeyJourney(t *testing.T) {
	t.Parallel()
	w := newKeysWorld(t, "optional", "alice")
	p := newBrowser(t).tab()
	id := p.authenticator(true)
	p.pressOnly()
	p.present(id, false)
	p.open(w.url + "/")
	p.until("a sign-in page that offers passkeys", patience, keysReady)
	p.everyLook("passkey-signin")
	p.signIn("alice", keysPassword)
	p.until("the app", patience, atHome)

	// Nobody touches the authenticator: nothing is made, and the page says so.
	p.open(w.url + passkeyURL)
	p.until("the page of passkeys", patience, keysReady)
	eval[bool](p, `(() => { navigator.credentials.create = () => Promise.reject(new DOMException("no", "NotAllowedError")); return true })()`)
	p.click(keyButton)
	p.until("no passkey", patience, `document.querySelector("[data-failed]:not([hidden])")?.innerText.includes("canceled")`)
	p.everyLook("passkey-canceled")

	p.present(id, true)
	p.enrol(w)
	keys := p.keysOf(id)
	if len(keys) != 1 || !keys[0].IsResidentCredential || keys[0].RpID != "localhost" || len(keys[0].UserHandle) != 32 || strings.Contains(string(keys[0].UserHandle), "alice") {
		t.Fatalf("got the passkeys %+v, want one of localhost that says whose it is, and no name", keys)
	}
	p.open(w.url + "/.evergate/account")
	p.until("the passkey among what the account has", patience, `document.body.innerText.includes("On one device") && document.body.innerText.includes("Not used yet")`)
	p.everyLook("account-passkey")

	// Another restart loses nothing: what is kept lies in Redis.
	for _, g := range w.replicas {
		g.stop(t)
		g.serve()
	}
	for _, to := range []string{w.url + "/strong/", w.wiki + "/page"} {
		p.signOut(w.url)
		p.open(to)
		p.until("a sign-in page", patience, keysReady)
		p.click(keyButton)
		p.until("the app", patience, atHome+fmt.Sprintf(" && location.href == %q", to))
	}

	p.open(w.url + passkeyURL)
	p.until("it was used", patience, keysReady+` && document.body.innerText.includes("Last used")`)
	p.click("details summary")
	eval[string](p, `document.querySelector("details input[name=name]").value = ""`)
	p.fill("details input[name=name]", "My <b>laptop</b>")
	p.click("button[value=rename]")
	p.until("the new name", patience, keysReady+` && document.querySelector(".devices bdi")?.innerText == "My <b>laptop</b>"`)
	p.everyLook("passkeys")
	p.click("details summary")
	p.click("button[value=remove]")
	p.until("it is gone", patience, keysReady+` && document.body.innerText.includes("The passkey is removed") && !document.querySelector(".devices")`)
	p.signOut(w.url)
	p.open(w.url + "/")
	p.until("a sign-in page", patience, keysReady)
	p.click(keyButton)
	p.until("a refusal", patience, alerted+`?.innerText.includes("could not be verified")`)
	p.everyLook("passkey-refused")
	p.faultless("401", "favicon")
}

// TestPasskeyBesideTheUserNames: a browser shows passkeys in the field of the user name.
func TestPasskeyBesideTheUserNames(t *testing.T) {
	t.Parallel()
	w := newKeysWorld(t, "optional", "alice")
	p := newBrowser(t).tab()
	id := p.authenticator(true)
	p.present(id, false)
	p.open(w.url + "/")
	p.signIn("alice", keysPassword)
	p.until("the app", patience, atHome)
	p.present(id, true)
	p.enrol(w)
	p.signOut(w.url)
	// The virtual authenticator takes whatever is offered, as a person would who picks it.
	p.open(w.url + "/page")
	p.until("the app, with nothing pressed", patience, atHome)
}

// TestPasskeyAfterThePassword: a security key that knows neither its holder nor whose it is goes
// with a password, opens what asks for a sign-in that nobody is talked out of, and not what asks that
// its holder be verified. A copy of it is found out.
func TestPasskeyAfterThePassword(t *testing.T) {
	t.Parallel()
	w := newKeysWorld(t, "required", "alice")
	p := newBrowser(t).tab()
	id := p.authenticator(false)
	p.open(w.url + "/strong/")
	p.signIn("alice", keysPassword)
	p.until("what can be set up", patience, `document.querySelector("a[href*='account/passkeys']")`)
	p.click("a[href*='account/passkeys']")
	p.until("a passkey is asked for", patience, keysReady)
	p.everyLook("passkey-halfway")
	p.click(keyButton)
	p.keepCodes()
	p.until("the app", patience, atHome)
	if keys := p.keysOf(id); len(keys) != 1 || keys[0].IsResidentCredential {
		t.Fatalf("got the keys %+v, want one that does not say whose it is", keys)
	}

	signIn := func() {
		t.Helper()
		p.signOut(w.url)
		p.open(w.url + "/strong/")
		p.signIn("alice", keysPassword)
		p.until("the second factor", patience, keysReady+` && document.title.includes("Prove that it is you")`)
	}
	signIn()
	p.everyLook("passkey-second")
	p.click(keyButton)
	p.until("the app", patience, atHome)

	p.open(w.url + passkeyURL)
	p.until("the page of passkeys", patience, keysReady)
	p.click("details summary")
	p.click("button[value=remove]")
	p.until("the last one stays", patience, alerted+`?.innerText.includes("Make another one first")`)

	p.open(w.url + "/verified/")
	p.until("a further sign-in", patience, keysReady+` && document.querySelector("#username").value == "alice"`)
	p.fill("#password", keysPassword)
	p.click("button[type=submit]")
	p.until("the second factor", patience, keysReady+` && document.title.includes("Prove that it is you")`)
	p.click(keyButton)
	p.until("the key cannot tell who holds it", patience, `document.querySelector("[data-failed]:not([hidden])")`)

	signIn()
	key, back := p.keysOf(id)[0], 0.0
	if _, err := chromedp.Call(p.ctx, webauthn.SetCredentialProperties, webauthn.SetCredentialPropertiesParams{AuthenticatorID: id, CredentialID: key.CredentialID, SignCount: &back}); err != nil {
		t.Fatal(err)
	}
	p.click(keyButton)
	p.until("a refusal", patience, alerted+`?.innerText.includes("could not be verified")`)
	await(t, "it is told that there may be a copy", func() bool {
		return strings.Contains(w.replicas[0].stderr.String()+w.replicas[1].stderr.String(), "passkey.clone_suspected")
	})
}
