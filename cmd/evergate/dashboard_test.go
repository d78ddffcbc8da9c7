//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

// deck is a gateway with a dashboard on both sides, and people who use it: alice, and olga
// who is an operator.
type deck struct {
	*process
	at    string // the admin listener
	token string

	mu   sync.Mutex // guards seen
	seen strings.Builder
}

const clientSecret = "a-client-secret-that-nobody-must-see"

func newDeck(t *testing.T) *deck {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(app.Close)
	d := &deck{process: newProcess(t, app.URL)}
	dir := filepath.Dir(d.file)
	if err := config.SaveUsers(filepath.Join(dir, "users.yaml"), []config.User{
		{Name: "alice", Password: testHash, Groups: []string{"staff"}}, {Name: "olga", Password: testHash, Groups: []string{"operators"}}}); err != nil {
		t.Fatal(err)
	}
	d.edit("routes:\n", `  - oidc: { name: corp, issuer: "http://127.0.0.1:1/corp", client_id: evergate, client_secret: `+clientSecret+` }
routes:
  - name: operator
    match: { path: /operator/ }
    allow: [{ groups: [operators] }]
    admin: true
`)
	d.start()
	t.Cleanup(d.kill)
	cfg, err := config.Load(d.file)
	if err != nil {
		t.Fatal(err)
	}
	d.at = "http://" + cfg.Admin.Listen + "/"
	token, err := os.ReadFile(filepath.Join(cfg.DataDir, adminTokenFile))
	if err != nil {
		t.Fatal(err)
	}
	d.token = strings.TrimSpace(string(token))
	return d
}

// stranger is a browser that follows nothing by itself.
func (d *deck) stranger() *browser {
	d.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.Fatal(err)
	}
	b := &browser{client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	d.Cleanup(b.client.CloseIdleConnections)
	return b
}

// operator is one who has signed in with the token.
func (d *deck) operator() *browser {
	d.Helper()
	b := d.stranger()
	if res, body := d.send(b, "POST", d.at+"signin", url.Values{"token": {d.token}}); res.StatusCode != 303 || res.Header.Get("Location") != "./" {
		d.Fatalf("sign in with the token: got %d %s", res.StatusCode, body)
	}
	return b
}

// person is somebody signed in at the gateway.
func (d *deck) person(name string) *browser {
	d.Helper()
	b := newBrowser(d.T)
	if code, err := b.post(d.base, "/.evergate/login", url.Values{"username": {name}, "password": {testPassword}, "rd": {"/"}}); err != nil || code != 200 {
		d.Fatalf("sign in %s: got %d, %v\n%s", name, code, err, &d.out)
	}
	return b
}

// send sends a form, or asks where there is none, and remembers all that is answered.
func (d *deck) send(b *browser, method, address string, form url.Values, header ...string) (*http.Response, string) {
	d.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		d.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	res, err := b.client.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(&d.seen, "%s %s\n%s\n%s\n", method, address, res.Header.Get("Location"), body)
	return res, string(body)
}

// events opens an event stream. Lines ends when the stream does.
func (d *deck) events(b *browser, address string) (lines chan string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 30*time.Second)
	d.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		d.Fatal(err)
	}
	client := *b.client
	client.Timeout = 0
	res, err := client.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || kind != "text/event-stream" {
		d.Fatalf("%s: got %d %s, want an event stream", address, res.StatusCode, kind)
	}
	lines = make(chan string, 1000)
	go func() {
		defer close(lines)
		defer res.Body.Close()
		s := bufio.NewScanner(res.Body)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			d.mu.Lock()
			d.seen.WriteString(s.Text())
			d.mu.Unlock()
			lines <- s.Text()
		}
	}()
	return lines
}

// until waits for a line with text in it.
func (d *deck) until(lines chan string, text string) {
	d.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				d.Fatalf("the stream ended before %q", text)
			}
			if strings.Contains(line, text) {
				return
			}
		case <-late:
			d.Fatalf("not in the stream: %q\n%s", text, &d.out)
		}
	}
}

// ends expects a stream to end at once.
func (d *deck) ends(what string, lines chan string) {
	d.Helper()
	began, late := time.Now(), time.After(10*time.Second)
	for {
		select {
		case _, ok := <-lines:
			if ok {
				continue
			}
			if took := time.Since(began); took > 3*time.Second {
				d.Errorf("%s: the stream ended after %v, want a second at most", what, took)
			}
			return
		case <-late:
			d.Fatalf("%s: the stream goes on", what)
		}
	}
}

var policy = regexp.MustCompile(`^default-src 'none'; .*script-src 'self'; .*frame-ancestors 'none'; require-trusted-types-for 'script'$`)

// TestDashboard: with the operator's token, and with nothing else, somebody sees who is
// signed in and ends a session; and what they did is told.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	alice, olga := d.person("alice"), d.person("olga")
	nobody := d.stranger()
	for _, c := range []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", "", 303, "signin"}, {"GET", "config", 303, "signin?to=config"}, {"GET", "revoke?user=local/alice", 303, "signin"},
		{"GET", "?token=" + d.token, 303, "signin"}, {"GET", "events", 401, ""}, {"POST", "revoke", 401, ""}, {"POST", "reload", 401, ""},
		{"GET", "signin", 200, ""}, {"GET", "debug/pprof/", 303, "signin"}, {"DELETE", "signin", 405, ""}, {"GET", "signout", 405, ""},
	} {
		res, body := d.send(nobody, c.method, d.at+c.path, nil)
		if res.StatusCode != c.status || res.Header.Get("Location") != c.location {
			t.Errorf("%s %s by nobody: got %d to %q, want %d to %q\n%s", c.method, c.path, res.StatusCode, res.Header.Get("Location"), c.status, c.location, body)
		}
		d.seen.Reset() // an address with the token in it is the test's own
	}
	if res, _ := d.send(nobody, "GET", d.at, nil, "Host", "evil.example:9180"); res.StatusCode != 421 {
		t.Errorf("a name that was pointed here (G-17): got %d, want 421", res.StatusCode)
	}
	began := time.Now()
	res, body := d.send(nobody, "POST", d.at+"signin", url.Values{"token": {d.token + "x"}, "to": {"config"}})
	if took := time.Since(began); res.StatusCode != 401 || !strings.Contains(body, "not the operator") || took < time.Second {
		t.Errorf("a wrong token: got %d after %v, want 401 after a second\n%s", res.StatusCode, took, body)
	}
	if res, _ := d.send(nobody, "POST", d.at+"signin", url.Values{"token": {d.token}}, "Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
		t.Errorf("a form of another site: got %d, want 403", res.StatusCode)
	}
	res, _ = d.send(nobody, "POST", d.at+"signin", url.Values{"token": {d.token}, "to": {"//evil.example"}})
	if to := res.Header.Get("Location"); res.StatusCode != 303 || to != "./" {
		t.Errorf("an address elsewhere to come back to: got %d to %q, want the overview", res.StatusCode, to)
	}
	cookie := res.Header.Get("Set-Cookie")
	if !regexp.MustCompile(`^evergate-admin-\d+=[\w-]{43}; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict$`).MatchString(cookie) || strings.Contains(cookie, d.token) {
		t.Errorf("the cookie: got %q", cookie)
	}

	operator := d.operator()
	for path, says := range map[string]string{
		"": "All is well", "timeline": "Somebody came to the admin listener without the operator", "sessions": "local/olga", "config": "client_secret: &#39;[redacted]&#39;",
		"sessions?user=local/alice": "1 of local/alice", "sessions?user=local/bob": "Nobody of that name", "revoke?user=local/alice": "End all sessions of local/alice?",
	} {
		res, body := d.send(operator, "GET", d.at+path, nil)
		if res.StatusCode != 200 || !strings.Contains(body, says) || !policy.MatchString(res.Header.Get("Content-Security-Policy")) || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %v, want %q in\n%s", path, res.StatusCode, res.Header, says, body)
		}
		if strings.Contains(body, " style=") || regexp.MustCompile(`\son\w+=`).MatchString(body) || strings.Contains(body, "<script>") {
			t.Errorf("%s: has what its own policy forbids", path)
		}
	}
	_, page := d.send(operator, "GET", d.at, nil)
	for _, asset := range regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		if res, _ := d.send(operator, "GET", d.at+asset[1], nil); res.StatusCode != 200 || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d", asset[1], res.StatusCode)
		}
	}
	lines := d.events(operator, d.at+"events?page=overview")
	d.until(lines, `"fact-live":{"t":"2"`)

	_, page = d.send(operator, "GET", d.at+"sessions?user=local/alice", nil)
	name := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(page)
	if name == nil {
		t.Fatalf("alice's session has no button:\n%s", page)
	}
	these := url.Values{"session": {name[1]}, "user": {"local/alice"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "same-site"}} {
		if res, _ := d.send(operator, "POST", d.at+"revoke", these, header...); res.StatusCode != 403 {
			t.Errorf("%v: got %d, want 403", header, res.StatusCode)
		}
	}
	if code, err := alice.get(t.Context(), d.base); err != nil || code != 200 {
		t.Fatalf("alice, before anybody ended her session: got %d, %v", code, err)
	}
	if res, body := d.send(operator, "POST", d.at+"revoke", these, "Sec-Fetch-Site", "same-origin"); res.StatusCode != 200 || !strings.Contains(body, "1 ended") {
		t.Errorf("ending alice's session: got %d %s", res.StatusCode, body)
	}
	if code, err := alice.get(t.Context(), d.base); err != nil || code != 401 {
		t.Errorf("alice's next request: got %d, %v, want 401", code, err)
	}
	if code, err := olga.get(t.Context(), d.base); err != nil || code != 200 {
		t.Errorf("olga's next request: got %d, %v, want 200", code, err)
	}
	d.until(lines, "ended 1 session of local/alice")
	for _, want := range []string{`"event":"admin.signed_in"`, `"event":"admin.refused"`, `"event":"admin.revoked","session":"` + name[1] + `","subject":"local/alice","actor":"token","count":1`} {
		d.within("the log has "+want, func() bool { return strings.Contains(d.out.String(), want) })
	}
	if res, body := d.send(operator, "POST", d.at+"revoke", url.Values{"user": {""}}); res.StatusCode != 400 {
		t.Errorf("nobody in particular: got %d %s, want 400", res.StatusCode, body)
	}

	if res, _ := d.send(operator, "POST", d.at+"signout", nil, "Sec-Fetch-Site", "same-origin"); res.StatusCode != 303 {
		t.Errorf("signing out: got %d", res.StatusCode)
	}
	d.ends("signing out", lines)
	if res, _ := d.send(operator, "GET", d.at+"sessions", nil); res.StatusCode != 303 {
		t.Errorf("after signing out: got %d, want to sign in", res.StatusCode)
	}
	d.discreet(alice, olga)
}

// discreet looks that nothing which was shown, streamed or logged gives a secret away.
func (d *deck) discreet(all ...*browser) {
	d.Helper()
	secrets := []string{d.token, clientSecret, testPassword}
	at, _ := url.Parse(d.base)
	for _, b := range all {
		for _, c := range b.client.Jar.Cookies(at) {
			secrets = append(secrets, c.Value)
		}
	}
	log := d.said()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(secrets) < 4 || d.seen.Len() < 10_000 {
		d.Fatalf("got %d secrets and %d bytes to look through", len(secrets), d.seen.Len())
	}
	for _, s := range secrets {
		if strings.Contains(d.seen.String(), s) || strings.Contains(log, s) {
			d.Errorf("a secret is given away: %.16s…", s)
		}
	}
}

// TestGuessingTokensIsSlow: a few at a time, a second each; and who has the right one
// comes in meanwhile.
func TestGuessingTokensIsSlow(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range 8 {
		wg.Go(func() {
			res, err := http.PostForm(d.at+"signin", url.Values{"token": {fmt.Sprint("guess", i)}})
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if res.StatusCode != 401 {
				t.Errorf("a guess: got %d, want 401", res.StatusCode)
			}
		})
	}
	d.operator()
	wg.Wait()
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("eight guesses took %v, want two seconds at least", took)
	}
	d.within("each is told", func() bool { return strings.Count(d.out.String(), `"event":"admin.refused"`) == 8 })
}

// TestDashboardRoute: a route with admin: true shows the same to those whom its rules let
// pass, as the person that they are; its stream ends with their session.
func TestDashboardRoute(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	alice, olga, nobody := d.person("alice"), d.person("olga"), newBrowser(t)
	at := d.base + "/operator/"
	for _, path := range []string{"", "sessions", "config", "events", "assets/icon.svg"} {
		if res, _ := d.send(alice, "GET", at+path, nil); res.StatusCode != 403 {
			t.Errorf("%q by alice: got %d, want 403", path, res.StatusCode)
		}
		if res, _ := d.send(nobody, "GET", at+path, nil); res.StatusCode != 401 {
			t.Errorf("%q by nobody: got %d, want 401", path, res.StatusCode)
		}
	}
	if res, _ := d.send(alice, "POST", at+"revoke", url.Values{"user": {"local/olga"}}); res.StatusCode != 403 {
		t.Errorf("alice ends olga's sessions: got %d, want 403", res.StatusCode)
	}
	res, body := d.send(olga, "GET", at, nil)
	if res.StatusCode != 200 || !strings.Contains(body, "All is well") || !policy.MatchString(res.Header.Get("Content-Security-Policy")) || strings.Contains(body, "Sign out") {
		t.Errorf("olga: got %d %v\n%s", res.StatusCode, res.Header, body)
	}
	for _, asset := range regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		if res, _ := d.send(olga, "GET", at+asset[1], nil); res.StatusCode != 200 {
			t.Errorf("%s: got %d", asset[1], res.StatusCode)
		}
	}
	if res, _ := d.send(olga, "GET", at+"signin", nil); res.StatusCode != 404 {
		t.Errorf("the token's form on a route: got %d, want 404", res.StatusCode)
	}
	lines := d.events(olga, at+"events?page=timeline")
	d.until(lines, "local/olga signed in")
	for _, site := range []string{"cross-site", "same-site"} {
		if res, _ := d.send(olga, "POST", at+"revoke", url.Values{"user": {"local/alice"}}, "Sec-Fetch-Site", site); res.StatusCode != 403 {
			t.Errorf("%s: got %d, want 403", site, res.StatusCode)
		}
	}
	if res, body := d.send(olga, "POST", at+"revoke", url.Values{"user": {"local/alice"}}, "Sec-Fetch-Site", "same-origin"); res.StatusCode != 200 || !strings.Contains(body, "1 ended") {
		t.Errorf("olga ends alice's sessions: got %d %s", res.StatusCode, body)
	}
	if code, err := alice.get(t.Context(), d.base); err != nil || code != 401 {
		t.Errorf("alice's next request: got %d, %v, want 401", code, err)
	}
	d.until(lines, "local/olga ended 1 session of local/alice")
	d.within("the log says who it was", func() bool { return strings.Contains(d.out.String(), `"actor":"local/olga"`) })
	operator := d.operator()
	if res, body := d.send(operator, "POST", d.at+"revoke", url.Values{"user": {"local/olga"}}); res.StatusCode != 200 {
		t.Errorf("ending olga's sessions: got %d %s", res.StatusCode, body)
	}
	d.ends("olga's session was ended", lines)
	d.discreet(olga)
}

// TestDashboardRouteLosesWhoLosesTheGroup: the rules of now hold for a stream that began
// under others.
func TestDashboardRouteLosesWhoLosesTheGroup(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	olga := d.person("olga")
	lines := d.events(olga, d.base+"/operator/events")
	d.until(lines, "as-of")
	d.edit("allow: [{ groups: [operators] }]", "allow: [{ groups: [other] }]")
	d.within("the config is in force", func() bool { return strings.Contains(d.out.String(), `"event":"config.reloaded"`) })
	d.ends("another config is in force", lines)
	if res, _ := d.send(olga, "GET", d.base+"/operator/", nil); res.StatusCode != 403 {
		t.Errorf("olga, who is no operator any more: got %d, want 403", res.StatusCode)
	}
}

// TestOpenDashboardsKeepNobodyWaiting: a gateway that is asked to end does, with pages open
// on both sides.
func TestOpenDashboardsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	private, public := d.events(d.operator(), d.at+"events"), d.events(d.person("olga"), d.base+"/operator/events")
	d.until(private, "as-of")
	d.until(public, "as-of")
	began := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.ends("going down", public)
	d.ends("going down", private)
	_ = d.cmd.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to go down", took)
	}
	d.start() // for the cleanup
}

// TestExplainKnowsTheDashboard: what is tried without a gateway is what a gateway does.
func TestExplainKnowsTheDashboard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "evergate.yaml")
	if err := os.WriteFile(file, []byte(`public_url: http://localhost:8080
identity: [{ local: { users_file: users.yaml } }]
routes: [{ match: { path: /operator/ }, allow: [{ groups: [operators] }], admin: true }]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for groups, want := range map[string]string{"operators": "Browser   200 OK", "staff": "Browser   403 Forbidden"} {
		var out strings.Builder
		code := run([]string{"explain", "--config", file, "--user", "olga", "--groups", groups, "GET", "http://localhost:8080/operator/"}, nil, &out, &out)
		if code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got exit code %d, want %q in\n%s", groups, code, want, out.String())
		}
	}
}

// TestAdminAPITellsWhatIsDone by programs, as the dashboard does.
func TestAdminAPITellsWhatIsDone(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	d.person("alice")
	b := d.stranger()
	if res, _ := d.send(b, "POST", d.at+"api/sessions/revoke", nil, "Authorization", "Bearer nothing"); res.StatusCode != 401 {
		t.Errorf("a wrong token: got %d, want 401", res.StatusCode)
	}
	req, err := http.NewRequest("POST", d.at+"api/sessions/revoke", strings.NewReader(`{"user":"local/alice"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res, _ := d.send(b, "POST", d.at+"api/reload", nil, "Authorization", "Bearer "+d.token); res.StatusCode != 200 {
		t.Errorf("a reload: got %d", res.StatusCode)
	}
	operator := d.operator()
	_, page := d.send(operator, "GET", d.at+"timeline", nil)
	for _, want := range []string{"admin.refused", "admin.revoked", "admin.reload", "token ended 1 session of local/alice"} {
		if !strings.Contains(page, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, page)
		}
	}
}
