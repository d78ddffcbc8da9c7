package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// gullible is an app that does what any form asks for, and remembers what.
type gullible struct {
	mu   sync.Mutex // guards done
	done []string
}

func (a *gullible) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		a.mu.Lock()
		a.done = append(a.done, r.URL.Path+" "+r.Header.Get("X-Forwarded-User")+" "+r.PostFormValue("text"))
		a.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p><p id="sent">%s</p>
<form method="post" action="/form"><input name="text" id="text"><button id="send">Send</button></form>`,
		r.Header.Get("X-Forwarded-User"), r.PostFormValue("text"))
}

// did returns what the app did since it was asked last.
func (a *gullible) did() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	done := a.done
	a.done = nil
	return done
}

// TestCSRFInABrowser: a person who is signed in opens a page of another site, and one of
// another host of the gateway. What these send in the person's name reaches no app behind the
// shield; what the person sends does, also when they had to sign in for it.
func TestCSRFInABrowser(t *testing.T) {
	t.Parallel()
	app := &gullible{}
	upstream := httptest.NewServer(app)
	t.Cleanup(upstream.Close)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>evil</title><link rel="icon" href="data:,"><p id="evil">You have won!`)
	}))
	t.Cleanup(evil.Close)
	dir, port := t.TempDir(), freePort(t)
	newCertificates(t, "apps.evergate.test", "wiki.evergate.test", "shop.evergate.test").write(t, dir)
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%[1]s
public_url: https://apps.evergate.test:%[1]s
admin: { listen: "127.0.0.1:%[2]s" }
tls: { cert_file: cert.pem, key_file: key.pem }
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { host: wiki.evergate.test }, upstream: %[3]q, csrf: on, secure_headers: strict }
  - { match: { host: wiki.evergate.test, path: /open/ }, upstream: %[3]q }
  - { match: { host: wiki.evergate.test, path: /open/public }, public: true, upstream: %[3]q }
  - { match: { host: wiki.evergate.test, path: /public/ }, public: true, upstream: %[3]q, csrf: { except: [/public/hook] } }
  - { match: { host: wiki.evergate.test, path: /trusting/ }, upstream: %[3]q, csrf: { origins: ["https://shop.evergate.test:%[1]s"] } }
  - { match: { host: shop.evergate.test }, public: true, upstream: %[4]q }
`, port, freePort(t), upstream.URL, evil.URL))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	evergate(t, dir, "correct horse battery\n", "user", "add", "--config", config, "--password-stdin", "alice")
	evergate(t, dir, "", "check", config)
	g := start(t, dir, binary, "serve", "--config", config)
	g.awaitTLS(t, "127.0.0.1:"+port)

	wiki, shop := "https://wiki.evergate.test:"+port, "https://shop.evergate.test:"+port
	b := newChromium(t, chromedp.Flag("host-resolver-rules", "MAP *.evergate.test 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true))
	p := b.tab()
	const sent = `document.querySelector("#sent") && document.querySelector("#sent").innerText == %q`
	expect := func(what string, want ...string) {
		t.Helper()
		if got := app.did(); !slices.Equal(got, want) {
			t.Errorf("%s: the app did %q, want %q", what, got, want)
		}
	}
	p.open(wiki + "/")
	p.signIn("alice", "correct horse battery")
	p.until("signed in", patience, atHome)
	p.fill("#text", "my own")
	p.click("#send")
	p.until("the app's own form is done", patience, fmt.Sprintf(sent, "my own"))
	expect("the app's own form", "/form alice my own")
	if got := eval[int](p, `fetch("/form", {method: "POST", body: new URLSearchParams({text: "fetched"})}).then((r) => r.status)`); got != 200 {
		t.Errorf("the app's own fetch: got %d, want 200", got)
	}
	expect("the app's own fetch", "/form alice fetched")

	form := func(from, path string) { // a page there posts a form to the wiki, in the window
		t.Helper()
		p.open(from)
		p.until("the other page", patience, `document.querySelector("#evil")`)
		eval[bool](p, fmt.Sprintf(`(() => { const f = document.createElement("form"); f.method = "post"; f.action = %q;
			const i = document.createElement("input"); i.name = "text"; i.value = "forged"; f.append(i); document.body.append(f); setTimeout(() => f.submit()); return true })()`, wiki+path))
	}
	forged := fmt.Sprintf(sent, "forged")
	refused := func(what string) {
		t.Helper()
		p.until(what+" is refused", patience, `document.body.innerText.includes("Another site sent this")`)
		expect(what)
	}
	// Without the shield the attacks work, or they would show nothing.
	form(shop, "/open/form")
	p.until("an app without the shield obeys", patience, forged)
	expect("a sister host, without the shield", "/open/form alice forged")
	form(evil.URL, "/open/public")
	p.until("an open app without the shield obeys", patience, forged)
	expect("another site, without the shield", "/open/public  forged")

	form(shop, "/form")
	refused("a form of a sister host")
	p.shot("csrf-refused")
	p.click(`a[href="/form"]`)
	p.until("the link leads to the page itself", patience, atHome)
	form(evil.URL, "/form")
	refused("a form of another site")
	form(evil.URL, "/public/form")
	refused("a form of another site, on a public route")
	form(evil.URL, "/public/hook")
	p.until("an excepted path takes it", patience, forged)
	expect("an excepted path", "/public/hook  forged")
	form(shop, "/trusting/form")
	p.until("a listed origin may", patience, forged)
	expect("a listed origin", "/trusting/form alice forged")
	form(evil.URL, "/trusting/form")
	refused("a form of another site, where one is listed")

	const fetched = `fetch(%q, {method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams({text: "forged"})}).then(() => true, (e) => String(e))`
	for _, from := range []string{shop, evil.URL} {
		p.open(from)
		p.until("the other page", patience, `document.querySelector("#evil")`)
		if got := eval[any](p, fmt.Sprintf(fetched, wiki+"/form")); got != true {
			t.Errorf("fetch from %s: got %v, want it sent", from, got)
		}
		expect("a fetch with credentials from " + from)
	}
	p.open(shop)
	eval[any](p, fmt.Sprintf(fetched, wiki+"/open/form"))
	expect("a fetch from a sister host, without the shield", "/open/form alice forged")
	sandboxed := fmt.Sprintf(`(() => { const f = document.createElement("iframe"); f.sandbox = "allow-forms allow-scripts"; 
		f.srcdoc = '<form method=post action="%s/form"><input name=text value=forged></form><script>document.forms[0].submit()<\/script>';
		document.body.append(f); return true })()`, wiki)
	eval[bool](p, sandboxed)
	within(t, patience, "the log of a refused form whose origin is null", func() bool { return strings.Contains(g.stdout.String()+g.stderr.String(), `Origin [\"null\"]`) })
	expect("a sandboxed frame, whose origin is null")

	// Who has to sign in for a form of the app's own sends it from the gateway's page, and the
	// strict policy of the app's page does not stand in the way to another host.
	p.open(wiki + "/")
	p.until("the app", patience, atHome)
	p.fill("#text", "what I typed")
	other := b.tab()
	other.open("https://apps.evergate.test:" + port + "/.evergate/logout")
	other.click("button[type=submit]")
	other.until("signed out", patience, "document.title.includes('Signed out')")
	p.click("#send")
	p.until("the form is kept", patience, `document.body.innerText.includes("is kept for 10 minutes")`)
	p.signIn("alice", "correct horse battery")
	p.until("the offer to send it", patience, `document.title.startsWith("Send your form")`)
	p.click("button[type=submit]")
	p.until("the kept form is done", patience, fmt.Sprintf(sent, "what I typed"))
	expect("the kept form", "/form alice what I typed")
	p.faultless("status of 403", "Framing 'https://wiki.") // the gateway's page is not framed either
}
