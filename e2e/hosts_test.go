package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// newHostsApp is an app that shows who it was told, as a page with a form and an event
// stream.
func newHostsApp(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		case "/away":
			http.Redirect(w, r, "https://shop.evergate.test:"+r.URL.Query().Get("port")+"/", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p><p id="host">%s</p><p id="sent">%s</p>
<form method="post" action="/form"><input name="text" id="text"><button id="send">Send</button></form><a id="out" href="/.evergate/logout">out</a>`,
			r.Header.Get("X-Forwarded-User"), r.Host, r.PostFormValue("text"))
	}))
	t.Cleanup(app.Close)
	return app
}

// TestManyHostsInABrowser: one sign-in at the public host opens the apps on hosts of
// their own, each with its own cookie, and one sign-out ends it on all.
func TestManyHostsInABrowser(t *testing.T) {
	t.Parallel()
	app, port := newHostsApp(t), freePort(t)
	dir := t.TempDir()
	newCertificates(t, "apps.evergate.test", "wiki.evergate.test", "shop.evergate.test").write(t, dir)
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%[1]s
public_url: https://apps.evergate.test:%[1]s
admin: { listen: "127.0.0.1:%[2]s" }
tls: { cert_file: cert.pem, key_file: key.pem }
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { host: wiki.evergate.test }, upstream: %[3]q }
  - { match: { host: "*.evergate.test" }, upstream: %[3]q }
`, port, freePort(t), app.URL))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	evergate(t, dir, "correct horse battery\n", "user", "add", "--config", config, "--password-stdin", "alice")
	g := start(t, dir, binary, "serve", "--config", config)
	g.awaitTLS(t, "127.0.0.1:"+port)

	url := func(host string) string { return "https://" + host + ".evergate.test:" + port }
	b := newBrowser(t, chromedp.Flag("host-resolver-rules", "MAP *.evergate.test 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true))
	p := b.tab()
	at := func(want string) {
		t.Helper()
		p.until("at "+want, patience, fmt.Sprintf("document.readyState == 'complete' && location.href == %q", want))
	}
	user := func(p *tab) {
		t.Helper()
		p.until("the app knows alice", patience, `document.querySelector("#user") && document.querySelector("#user").innerText == "alice"`)
	}
	signIn := func() {
		t.Helper()
		p.until("the sign-in page of the public host", patience, fmt.Sprintf("document.querySelector('#username') && location.origin == %q", url("apps")))
		p.fill("#username", "alice")
		p.fill("#password", "correct horse battery")
		p.click("button[type=submit]")
	}
	p.open(url("wiki") + "/page?q=1#part")
	p.until("the sign-in page says where to", patience, `document.body.innerText.includes("continue to wiki.evergate.test/page")`)
	p.everyLook("hosts-signin")
	signIn()
	at(url("wiki") + "/page?q=1#part")
	user(p)

	mark := 0
	_, mark = p.heard(mark)
	p.open(url("shop") + "/")
	at(url("shop") + "/")
	user(p)
	answers, _ := p.heard(mark)
	for _, a := range answers {
		if a.status == http.StatusOK && strings.Contains(a.url, "/.evergate/") && !strings.Contains(a.url, ".css") {
			t.Errorf("on the way to the second app a page was shown: %s", a)
		}
	}
	handles := map[string]bool{}
	for _, host := range []string{"apps", "wiki", "shop"} {
		for _, c := range p.cookies(url(host)) {
			if c.Domain != host+".evergate.test" || !c.HTTPOnly || !c.Secure {
				t.Errorf("%s gets cookie %s of %s, HttpOnly %t, Secure %t", host, c.Name, c.Domain, c.HTTPOnly, c.Secure)
			}
			switch {
			case c.Name == "__Host-Http-evergate":
				handles[c.Value] = true
			case c.Name == "__Host-Http-evergate-known" && host == "apps": // the host of the sign-in page
			default:
				t.Errorf("%s keeps cookie %s", host, c.Name)
			}
		}
	}
	if len(handles) != 3 {
		t.Errorf("got %d handles on three hosts, want one for each", len(handles))
	}

	// A form that is posted after the session ended elsewhere is kept, on its host.
	wiki := b.tab()
	wiki.open(url("wiki") + "/page")
	user(wiki)
	eval[bool](wiki, `window.ended = 0, window.es = new EventSource("/stream"), es.onerror = () => { ended = Date.now(); es.close() }, true`)
	wiki.until("the stream is open", patience, "es.readyState == 1")
	wiki.fill("#text", "what I typed")

	p.click("#out")
	p.until("the page that asks", patience, fmt.Sprintf("document.title.includes('Sign out') && location.origin == %q", url("apps")))
	p.click("button[type=submit]")
	p.until("signed out", patience, "document.title.includes('Signed out')")
	wiki.until("the stream on the other host has ended", patience, "ended > 0")

	wiki.click("#send")
	p, b = wiki, nil
	p.until("the form is kept", patience, `document.body.innerText.includes("is kept for 10 minutes")`)
	signIn()
	p.until("the kept form is offered on its host", patience, fmt.Sprintf("document.title.includes('Send your form') && location.origin == %q", url("wiki")))
	p.click("button[type=submit]")
	p.until("the app got the form", patience, `document.querySelector("#sent") && document.querySelector("#sent").innerText == "what I typed"`)
	user(p)
	p.faultless("401", "/stream")

	// An app that sends people on to another host right after they signed in.
	p.click("#out")
	p.click("button[type=submit]")
	p.until("signed out", patience, "document.title.includes('Signed out')")
	p.open(url("wiki") + "/away?port=" + port)
	signIn()
	at(url("shop") + "/")
	user(p)
}

// awaitTLS waits until something accepts connections.
func (p *process) awaitTLS(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", p.cmd.Path, p.err, p.stderr.String())
		default:
		}
	}
	t.Fatalf("%s does not listen on %s", p.cmd.Path, address)
}

// TestManyHostsWithAProvider: apps on two hosts of their own, one sign-in at the provider;
// their tokens are renewed once for both, and signing out on one ends the other.
func TestManyHostsWithAProvider(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	newGateway(t, port, panvaConfig(p.url, app.URL, "", fmt.Sprintf(`  - { match: { host: wiki.localhost }, upstream: %[1]q }
  - { match: { host: shop.localhost }, upstream: %[1]q }
`, app.URL)), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	wiki, shop := "http://wiki.localhost:"+port, "http://shop.localhost:"+port
	if told := who.signIn(wiki+"/reports?q=1", alice).told(t); told["path"] != "/reports?q=1" || told["user"] != "alice" {
		t.Errorf("the wiki was told %v", told)
	}
	first := who.get(shop + "/")
	told := first.told(t)
	if first.url.Host != "shop.localhost:"+port || told["user"] != "alice" {
		t.Errorf("the shop, at %s, was told %v", first.url, told)
	}
	for range 3 {
		time.Sleep(5200 * time.Millisecond)
		one, two := who.get(wiki+"/").told(t), who.get(shop+"/").told(t)
		if one["authorization"] == told["authorization"] || one["authorization"] != two["authorization"] {
			t.Error("a token life later, want a new token and the same on both hosts")
		}
		told = two
	}
	if s := p.stats(t); s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 || s.Grants["authorization_code"] != 1 {
		t.Errorf("the provider counted %+v, want one sign-in and no grant refused", s)
	}
	at := who.submit(who.get(shop+"/.evergate/logout?rd=/bye"), nil)
	if !strings.HasPrefix(at.url.String(), p.url+"/session/end") {
		t.Fatalf("after signing out: at %s (%d), want the provider's page", at.url, at.status)
	}
	at = who.submit(at, map[string]string{"logout": "yes"})
	if at.url.Path != "/.evergate/login" || !strings.Contains(at.body, "<strong>shop.localhost</strong>/bye") {
		t.Errorf("after signing out at the provider: at %s (%d), want to have to sign in for where it was to end: %s", at.url, at.status, at.body)
	}
	if at = who.get(wiki + "/"); at.url.Path != "/.evergate/login" || !strings.Contains(at.body, "<strong>wiki.localhost</strong>") {
		t.Errorf("afterwards the wiki: at %s (%d), want to have to sign in", at.url, at.status)
	}
}
