package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// sessionCookie is the one that a browser has.
func (d *secretDay) sessionCookie(p *person) *http.Cookie {
	d.t.Helper()
	here, err := url.Parse(d.public)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range p.c.Jar.Cookies(here) {
		if c.Name == "evergate-"+here.Port() {
			return c
		}
	}
	d.t.Fatal("the browser has no session cookie")
	return nil
}

// sends sends a request with headers, in pairs of name and value, and returns the status.
func (d *secretDay) sends(p *person, method, path, body string, headers ...string) int {
	d.t.Helper()
	req, err := http.NewRequest(method, d.public+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return p.do(req).status
}

// askForTrouble: what people do wrong, what strangers try, and apps that do not answer.
func (d *secretDay) askForTrouble() {
	d.t.Helper()
	bob, nobody := d.browser(), d.browser()
	d.signInAtProvider(bob, "/", d.provider.user)
	for path, want := range map[string]int{"/denied/x": 403, "/gone/x": 502, "/late/x": 504, "/refuses": 401, "/a//b": 400, "/.evergate/nothing": 404} {
		for _, mode := range []string{"navigate", "cors"} {
			if got := d.sends(bob, "GET", path+"?key="+d.echo("query"), "", "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", map[string]string{"navigate": "document"}[mode]); got != want {
				d.t.Errorf("%s, %s: got %d, want %d", path, mode, got, want)
			}
		}
	}

	// Strangers: no cookie, damaged ones, two of them, tokens of their own.
	cookie := d.sessionCookie(bob)
	name := cookie.Name + "="
	for _, c := range []string{name + cookie.Value[:len(cookie.Value)-2] + "AA", name + cookie.Value[:40], name + cookie.Value + "; " + name + cookie.Value,
		name + d.secret("a value of one's own"), name + cookie.Value + d.secret("a tail"), "other=" + d.secret("a cookie of something else")} {
		d.sends(d.browser(), "GET", "/x", "", "Cookie", c)
		d.sends(d.browser(), "GET", "/public/x", "", "Cookie", c)
	}
	d.sends(nobody, "GET", "/x?key="+d.echo("query"), "")
	for _, authorization := range []string{"Bearer " + d.secret("a bearer token"), "Basic " + d.secret("basic credentials"), "Negotiate " + d.secret("a ticket"), d.secret("a word")} {
		for _, path := range []string{"/x", "/robots/x", "/public/x"} {
			d.sends(d.browser(), "GET", path, "", "Authorization", authorization, "Sec-Fetch-Mode", "cors")
		}
	}
	for _, header := range []string{"X-Forwarded-User", "X-Api-Key", "X_Forwarded_Access_Token", "Proxy-Authorization", "Forwarded", "Traceparent", "X-Request-Id"} {
		d.sends(d.browser(), "GET", "/public/x", "", header, d.secret("a header"))
	}
	for _, query := range []string{"code=%s&state=%s", "error=access_denied&error_description=%s&state=%s", "state=%s&code=%s&code=again"} {
		d.sends(d.browser(), "GET", "/.evergate/callback/corp?"+fmt.Sprintf(query, d.secret("a code of one's own"), d.secret("a state of one's own")), "")
	}
	d.sends(nobody, "POST", "/.evergate/backchannel-logout/corp", "logout_token="+d.secret("a logout token of one's own"))
	d.sends(nobody, "POST", "/.evergate/backchannel-logout/corp", "logout_token=eyJhbGciOiJSUzI1NiJ9."+d.secret("a logout token of one's own")+".c2ln")
	for _, text := range []string{"GET /x?key=%s HTTP/9.9\r\n\r\n", "GET /x HTTP/1.1\r\nHost: x\r\nCookie: %s\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer %s\r\n\r\n", "%s\r\n\r\n"} {
		d.raw(fmt.Sprintf(text, d.secret("a request that is none")))
	}

	// Sign-ins that fail, and a form that is kept meanwhile.
	d.signInHere(d.browser(), "/", "alice", d.secret("a wrong password"))
	d.signInHere(d.browser(), "/", d.echo("a password in the place of a name"), "what comes of a slip")
	d.sends(d.browser(), "POST", "/.evergate/login?username=alice&password="+d.secret("a password in the address"), "")
	poster := d.browser()
	d.sends(poster, "POST", "/x?key="+d.echo("query"), "field="+d.echo("a field of a form"))
	d.signInAtProvider(poster, "/x", d.provider.user)

	// The operator: a token that is wrong, and a config with a slip.
	req := d.request("GET", d.admin+"/api/sessions")
	req.Header.Set("Authorization", "Bearer "+d.secret("a wrong token of the operator"))
	if res, err := http.DefaultClient.Do(req); err != nil {
		d.t.Error(err)
	} else {
		res.Body.Close()
	}
	good, err := os.ReadFile(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, slip := range []string{"client_secert: %s", "client_secret: [%s]", "client_secret: {a: %s}", "client_secret: \"%s"} {
		bad := strings.Replace(string(good), "client_secret_file: client", fmt.Sprintf(slip, d.secret("what follows a slip")), 1)
		d.rewrite(bad)
	}
	d.rewrite(string(good))
}

// rewrite changes the config, and waits until the gateway has read it.
func (d *secretDay) rewrite(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	// What it answers is for the operator, who has the file.
	d.operator("POST", "/api/reload", io.Discard)
}

// raw sends bytes, and does not mind what comes of it.
func (d *secretDay) raw(text string) {
	d.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(d.public, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, text)
	_, _ = io.Copy(d.pages, c)
}

// breakTheProvider: what a provider does when all is not well, while somebody signs in and while
// somebody is signed in.
func (d *secretDay) breakTheProvider() {
	d.t.Helper()
	good := d.provider.Knobs()
	cut := func(b []byte) []byte { good.RewriteTokenAnswer(b); return b[:len(b)-4] }
	listed := func(b []byte) []byte {
		good.RewriteTokenAnswer(b)
		return []byte(strings.Replace(string(b), `"access_token":"`, `"access_token":["`, 1))
	}
	aside := func(b []byte) []byte {
		good.RewriteTokenAnswer(b)
		return []byte(strings.Replace(string(b), `"expires_in":`, `"expires_in":"x","was":`, 1))
	}
	faults := map[string]func(k *idp.Knobs){
		"500": func(k *idp.Knobs) { k.TokenStatus = 500 },
		"a clear no": func(k *idp.Knobs) {
			k.TokenError, k.TokenErrorDescription = "invalid_grant", d.secret("a description of the provider's")
		},
		"a refusal": func(k *idp.Knobs) {
			k.TokenStatus, k.TokenError, k.TokenErrorDescription = 401, "invalid_client", d.secret("a description of the provider's")
		},
		"a page":        func(k *idp.Knobs) { k.HTMLBody = true },
		"cut off":       func(k *idp.Knobs) { k.RewriteTokenAnswer = cut },
		"a list":        func(k *idp.Knobs) { k.RewriteTokenAnswer = listed },
		"no lifetime":   func(k *idp.Knobs) { k.RewriteTokenAnswer = aside },
		"elsewhere":     func(k *idp.Knobs) { k.Redirect = d.app.URL + "/?key=" + d.secret("an address of the provider") },
		"another user":  func(k *idp.Knobs) { k.ChangedSubject = "subject-of-nobody" },
		"not for us":    func(k *idp.Knobs) { k.MutateIDToken = func(_, claims map[string]any) { claims["aud"] = "others" } },
		"forged":        func(k *idp.Knobs) { k.MutateIDToken = func(header, _ map[string]any) { header["alg"] = "none" } },
		"no userinfo":   func(k *idp.Knobs) { k.UserinfoStatus = 500 },
		"hangs up":      func(k *idp.Knobs) { k.Drop = true },
		"wrong issuer":  func(k *idp.Knobs) { k.WrongIss = "https://" + d.secret("an issuer") + ".example" },
		"is not wanted": func(k *idp.Knobs) { k.RefuseAuthorize = "access_denied" },
	}
	signedIn := map[string]*person{}
	for name := range faults {
		signedIn[name] = d.browser()
		d.signInAtProvider(signedIn[name], "/", d.provider.user)
	}
	time.Sleep(secretLife) // all of them are due
	for name, fault := range faults {
		d.provider.Turn(fault)
		signedIn[name].get(d.public + "/x?key=" + d.echo("query"))
		d.signInAtProvider(d.browser(), "/", d.provider.user)
		d.provider.Turn(func(k *idp.Knobs) { *k = good })
	}
	late := d.browser()
	d.signInAtProvider(late, "/", d.provider.user)
	d.provider.Stop()
	time.Sleep(secretLife)
	for _, who := range []*person{late, d.browser()} {
		who.get(d.public + "/.evergate/login/corp")
		who.get(d.public + "/x")
	}
	d.provider.Restart()
	if d.redis != nil {
		d.redis.Kill()
		late.get(d.public + "/x")
		d.signInHere(d.browser(), "/", "alice", d.local)
		d.redis.Run()
	}
}

// changePassword: alice gets her current password wrong, then right.
func (d *secretDay) changePassword() {
	d.t.Helper()
	alice, next := d.browser(), d.secret("new password")
	for range 50 { // the store may just have come back
		if at := d.signInHere(alice, "/", "alice", d.local); at.header.Get("X-From-App") != "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, current := range []string{d.secret("a wrong current password"), d.local} {
		at := alice.get(d.public + "/.evergate/account/password")
		alice.submit(at, map[string]string{"current": current, "new": next, "again": next})
	}
	// Its hash is in the store, sealed, where nobody finds it who looks for it.
	if at := d.signInHere(d.browser(), "/", "alice", next); at.header.Get("X-From-App") == "" {
		d.t.Errorf("the new password is answered %s, want the app: it has not changed", at.url)
	}
}

// stealACookie: two browsers have one cookie, until that shows.
func (d *secretDay) stealACookie() {
	d.t.Helper()
	owner, thief := d.browser(), d.browser()
	d.signInAtProvider(owner, "/", d.provider.user)
	here, _ := url.Parse(d.public)
	thief.c.Jar.SetCookies(here, owner.c.Jar.Cookies(here))
	for range 4 {
		time.Sleep(secretLife)
		owner.get(d.public + "/x")
	}
	thief.get(d.public + "/x")
	thief.get(d.public + "/x")
}

// signOut: people leave, one of them at the provider too, which tells the gateway of it.
func (d *secretDay) signOut() {
	d.t.Helper()
	erin := d.browser()
	d.signInAtProvider(erin, "/", d.provider.user)
	erin.submit(erin.get(d.public+"/.evergate/logout"), nil)
	erin.get(d.public + "/x")
}

// place is where no secret may lie.
type place struct {
	name, text string
	knownBy    string // what is there if it is what it is to be
}

// operator asks the admin listener, with its token.
func (d *secretDay) operator(method, path string, to io.Writer) {
	d.t.Helper()
	token, err := os.ReadFile(filepath.Join(d.dir, "data", "admin.token"))
	if err != nil {
		d.t.Fatal(err)
	}
	req := d.request(method, d.admin+path)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(to, res.Body)
}

// places are what is left of the day. The gateway is ended for them, twice.
func (d *secretDay) places() (all []place) {
	d.t.Helper()
	read := func(pattern string) (text string) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			d.t.Fatalf("there is no %s (%v)", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				d.t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
	metrics, api := &output{}, &output{}
	d.operator("GET", "/metrics", metrics)
	for _, path := range []string{"/readyz", "/api/sessions", "/api/decisions", "/api/decisions/show", "/api/observed", "/api/config"} {
		d.operator("GET", path, api)
	}
	printed := evergate(d.t, d.dir, "", "config", "show", "--config", d.config) + evergate(d.t, d.dir, "", "session", "list", "--config", d.config) +
		evergate(d.t, d.dir, "", "check", d.config) + evergate(d.t, d.dir, "", "user", "list", "--config", d.config) +
		evergate(d.t, d.dir, "", "explain", "--config", d.config, "--user", "alice", "GET", d.public+"/key/x")
	last := d.browser()
	d.signInAtProvider(last, "/", d.provider.user)
	first := d.process
	first.stop(d.t) // which sends the last spans
	if d.redis != nil {
		d.redis.CLI("save")
		dir := strings.Fields(d.redis.CLI("config", "get", "dir"))[1]
		all = append(all, place{"the dump of Redis", read(filepath.Join(dir, "*.rdb")), "evergate:"}, place{"the append-only file of Redis", read(filepath.Join(dir, "appendonlydir", "*.aof")), "evergate:"})
	} else {
		all = append(all, place{"the file of sessions", read(filepath.Join(d.dir, "data", "sessions.db")), "expiry"})
	}
	// Once more, to ask for stacks amid requests.
	d.serve()
	if at := last.get(d.public + "/own/x"); at.header.Get("X-From-App") == "" {
		d.t.Errorf("after a restart: got %d at %s, want the app", at.status, at.url)
	}
	req := d.request("GET", d.public+"/stands")
	req.AddCookie(d.sessionCookie(last))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	stacks := d.quit()
	return append(all,
		place{"the log", first.stderr.String(), `"level":"DEBUG"`},
		place{"the log with the stacks", stacks, "goroutine "},
		place{"standard output", first.stdout.String() + d.stdout.String(), "session.reuse_detected"},
		place{"the audit file", read(filepath.Join(d.dir, "audit.jsonl")), "login.failed"},
		place{"the metrics", metrics.String(), "evergate_"},
		place{"the operator's answers", api.String(), `"ready"`},
		place{"what commands print", printed, "public_url"},
		place{"the traces", d.collector.output.String(), "a-day"},
		place{"a page of the gateway", d.pages.String(), "</html>"},
	)
}
