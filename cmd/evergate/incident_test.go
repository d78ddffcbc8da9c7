//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// operator is a gateway in a folder, its log in gateway.log there, and a terminal in which
// somebody follows a page.
type operator struct {
	*process
	*console
	log *os.File
}

func newOperator(t *testing.T, p *process) *operator {
	t.Helper()
	dir := filepath.Dir(p.file)
	log, err := os.Create(filepath.Join(dir, "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	bin := filepath.Dir(p.bin)
	c := newConsole(t, dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH")})
	port := p.base[strings.LastIndex(p.base, ":")+1:]
	text, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	admin := regexp.MustCompile(`admin: \{ listen: 127\.0\.0\.1:(\d+)`).FindStringSubmatch(string(text))
	if admin == nil {
		t.Fatalf("there is no admin listener in\n%s", text)
	}
	c.ports = []string{"8080", port, "9180", admin[1]}
	return &operator{p, c, log}
}

// start runs the gateway with its log in the file.
func (o *operator) start() {
	o.process.Helper()
	o.process.prepare()
	o.process.cmd.Stderr = o.log
	if err := o.process.cmd.Start(); err != nil {
		o.process.Fatal(err)
	}
	o.within("the gateway starts", func() bool {
		res, err := http.Get(o.base + "/.evergate/ping")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return true
	})
}

// said waits for a line of the log.
func (o *operator) said(want string) {
	o.process.Helper()
	o.within(want+" in the log", func() bool {
		b, err := os.ReadFile(o.log.Name())
		return err == nil && strings.Contains(string(b), want)
	})
}

// blocks are the console blocks of a page, by what the first command is.
func (o *operator) block(p page, command string) {
	o.process.Helper()
	for _, b := range p.blocks {
		if b.kind == "console" && strings.HasPrefix(b.text, "$ "+command) {
			o.follow(p, b)
			return
		}
	}
	o.process.Fatalf("%s has no block that begins with %q", p.name, command)
}

// consoles counts the console blocks of a page: a test that follows fewer is not done.
func consoles(p page) (n int) {
	for _, b := range p.blocks {
		if b.kind == "console" {
			n++
		}
	}
	return n
}

// TestIncidentStolenToken: a copied cookie shows while owner and thief are active, and what the
// page has its reader type then does what it says.
func TestIncidentStolenToken(t *testing.T) {
	t.Parallel()
	guide := pageOf(t, "docs/incident-stolen-token.md")
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	o := newOperator(t, newProcess(t, app.URL))
	o.edit("listen: ", "log: { format: json }\nlisten: ")
	o.start()
	defer o.kill()
	owner, thief := newBrowser(t), newBrowser(t)
	signInAgain(t, o.process, owner)
	u, _ := url.Parse(o.base)
	thief.client.Jar.SetCookies(u, owner.client.Jar.Cookies(u))
	o.within("the theft shows", func() bool {
		for _, b := range []*browser{owner, thief} {
			if _, err := b.get(t.Context(), o.base); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		b, err := os.ReadFile(o.log.Name())
		return err == nil && strings.Contains(string(b), "session.reuse_detected")
	})
	for who, b := range map[string]*browser{"owner": owner, "thief": thief} {
		if res, err := b.client.Get(o.base + "/.evergate/session"); err != nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("the %s: got %v, %v, want 401", who, res, err)
		}
	}
	o.block(guide, "grep session.reuse_detected")
	o.block(guide, "SESSION=")
	o.within("an access line has the session's name", func() bool {
		return strings.TrimSpace(o.run(`grep "\"session\":\"$SESSION\"" gateway.log | grep -c '"msg":"request"'`)) != "0"
	})
	signInAgain(t, o.process, owner)
	o.block(guide, "evergate session list")
	if res, err := owner.client.Get(o.base + "/.evergate/session"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the revocation: got %v, %v, want 401", res, err)
	}
	o.block(guide, "evergate user disable")
	if n := consoles(guide); n != 4 {
		t.Errorf("got %d blocks, want 4: the test follows those", n)
	}
}

// TestKeyRotationPage: sessions live on while keys of the ring change, and a key that went too
// early can be put back; a store that is removed takes the signing keys with it.
func TestKeyRotationPage(t *testing.T) {
	t.Parallel()
	guide := pageOf(t, "docs/key-rotation.md")
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	p.edit("listen: ", "keys: { files: [evergate.key] }\nlog: { format: json }\nlisten: ")
	o := newOperator(t, p)
	o.run("evergate key new --out evergate.key")
	o.start()
	defer func() { o.kill() }()
	alice, later := newBrowser(t), newBrowser(t)
	signInAgain(t, p, alice)
	in := func(b *browser, want int) {
		t.Helper()
		o.within(fmt.Sprintf("somebody gets %d", want), func() bool {
			code, err := b.get(t.Context(), p.base)
			return err == nil && code == want
		})
	}
	o.block(guide, "evergate key new --add")
	o.said("keys.reloaded")
	in(alice, http.StatusOK)
	signInAgain(t, p, later)
	o.block(guide, "sed -i.bak")
	in(alice, http.StatusServiceUnavailable) // too early, and so no sign-out
	o.block(guide, "cp evergate.key.bak")
	in(alice, http.StatusOK)
	in(later, http.StatusOK)

	o.block(guide, "curl -s http://localhost:8080/.evergate/jwks.json")
	before := o.run("curl -s http://localhost:8080/.evergate/jwks.json")
	o.kill()
	p.edit("session: {", "session: { cookie: { name: evergate-anew },")
	o.block(guide, "mv evergate.key evergate.key.taken")
	o.start()
	if after := o.run("curl -s http://localhost:8080/.evergate/jwks.json"); after == before || !strings.Contains(after, `"kid"`) {
		t.Errorf("got the signing keys\n%s\nbefore, and\n%s\nafter, want others", before, after)
	}
	in(alice, http.StatusUnauthorized) // asked to sign in, and not 503
	signInAgain(t, p, alice)
	in(alice, http.StatusOK)
	if n := consoles(guide); n != 5 {
		t.Errorf("got %d blocks, want 5: the test follows those", n)
	}
}

// TestIncidentProviderDown: while the provider answers 503 nobody is signed out, and when it is back
// everybody goes on; what the page has its reader type shows it.
func TestIncidentProviderDown(t *testing.T) {
	t.Parallel()
	guide := pageOf(t, "docs/incident-provider-down.md")
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + l.Addr().String()
	var users []idp.User
	for _, name := range []string{"bob", "carol", "dave"} {
		users = append(users, idp.User{Subject: name, Username: name, Password: name, Claims: map[string]any{"preferred_username": name}})
	}
	op, err := idp.New(idp.Config{Issuer: issuer, AccessTTL: 6 * time.Second,
		Clients: []idp.Client{{ID: "evergate", Secret: "s", Auth: "client_secret_basic", RedirectURIs: []string{p.base + "/.evergate/callback/corp"}}},
		Users:   users})
	if err != nil {
		t.Fatal(err)
	}
	defer op.Close()
	defer serveBeside(l, op)()
	p.edit("- local: { users_file: users.yaml }", "- oidc: { name: corp, issuer: \""+issuer+"\", client_id: evergate, client_secret: s }")
	o := newOperator(t, p)
	o.start()
	defer o.kill()
	others := []*http.Client{atProvider(t, p.base, "carol"), atProvider(t, p.base, "dave")}
	bob := atProvider(t, p.base, "bob") // last: his token is to be good still when the provider goes
	get := func(c *http.Client, path string, page bool) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if page {
			maps.Copy(req.Header, http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.Header
	}
	if code, body, _ := get(bob, "/", false); code != http.StatusOK {
		t.Fatalf("bob is not in: got %d %s", code, body)
	}
	op.Turn(func(k *idp.Knobs) { k.Down = true })
	if code, _, _ := get(bob, "/", false); code != http.StatusOK {
		t.Errorf("while the token is valid: got %d, want 200", code)
	}
	o.within("the token is over", func() bool { code, _, _ := get(bob, "/", false); return code == http.StatusServiceUnavailable })
	o.within("three sessions have met it", func() bool {
		for _, c := range others {
			_, _, _ = get(c, "/", false)
		}
		_, parts := p.admin("/readyz")
		return strings.Contains(parts, `"provider corp":{"ok":false`)
	})
	code, body, header := get(bob, "/", true)
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(body, "You are still signed in") || header.Get("Refresh") != "10; url=/" {
		t.Errorf("a page: got %d, Retry-After %q and\n%s", code, header.Get("Retry-After"), body)
	}
	if code, body, _ := get(&http.Client{}, "/.evergate/login/corp", false); code != http.StatusServiceUnavailable && code != http.StatusOK || !strings.Contains(body, "provider_unavailable") && code != http.StatusOK {
		t.Errorf("a new sign-in: got %d %s", code, body)
	}
	for _, command := range []string{"curl -s -o /dev/null", "evergate doctor", "evergate session list"} {
		o.block(guide, command)
	}
	op.Turn(func(k *idp.Knobs) { k.Down = false })
	o.within("bob goes on, with no sign-in", func() bool { code, _, _ := get(bob, "/", false); return code == http.StatusOK })
	if n := op.Stats().CodeGrants; n != 3 {
		t.Errorf("got %d sign-ins at the provider, want the three of before", n)
	}
	if n := consoles(guide); n != 3 {
		t.Errorf("got %d blocks, want 3: the test follows those", n)
	}
}

// atProvider signs somebody in at the only provider of a gateway.
func atProvider(t *testing.T, base, user string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	t.Cleanup(c.CloseIdleConnections)
	res, err := c.Get(base + "/.evergate/login/corp?rd=/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	request := regexp.MustCompile(`name="request" value="([^"]+)"`).FindStringSubmatch(string(body))
	if request == nil {
		t.Fatalf("the provider shows no form:\n%s", body)
	}
	if res, err = c.PostForm(res.Request.URL.String(), url.Values{"request": {request[1]}, "username": {user}, "password": {user}}); err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return c
}
