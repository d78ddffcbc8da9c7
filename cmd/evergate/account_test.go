package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

const (
	onLinux   = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	onWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	onIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)

// device is a browser of somebody, at a fleet.
type device struct {
	f     *fleet
	c     *http.Client
	agent string
}

// answerOf is an answer that was read, redirects followed.
type answerOf struct {
	*http.Response
	body string
}

func (f *fleet) device(agent string) *device {
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar}
	f.Cleanup(c.CloseIdleConnections)
	return &device{f: f, c: c, agent: agent}
}

func (d *device) send(method, path string, form url.Values, more ...string) answerOf {
	d.f.Helper()
	req, err := http.NewRequestWithContext(d.f.Context(), method, d.f.public.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.f.Fatal(err)
	}
	req.Header.Set("User-Agent", d.agent)
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", d.f.public.URL)
	}
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	res, err := d.c.Do(req)
	if err != nil {
		d.f.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.f.Fatal(err)
	}
	return answerOf{res, string(body)}
}

func (d *device) get(path string) answerOf { d.f.Helper(); return d.send("GET", path, nil) }

func (d *device) post(path string, pairs ...string) answerOf {
	d.f.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return d.send("POST", path, form)
}

func (d *device) signIn(user, password string) answerOf {
	d.f.Helper()
	return d.post("/.evergate/login", "username", user, "password", password, "rd", "/.evergate/account")
}

func (d *device) in() bool { d.f.Helper(); return d.f.in(d.c) }

// want compares an answer with a status and with texts; one that begins with "!" must not be
// there. What the account page tells of the past does not count.
func (a answerOf) want(t *testing.T, what string, status int, texts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: got status %d at %s, want %d:\n%s", what, a.StatusCode, a.Request.URL, status, a.body)
	}
	now, _, _ := strings.Cut(a.body, "<h2>What happened lately")
	for _, text := range texts {
		absent, no := strings.CutPrefix(text, "!")
		if strings.Contains(now, absent) == no {
			t.Errorf("%s: got %q there %v, in:\n%s", what, absent, no, a.body)
		}
	}
}

var sessionField = regexp.MustCompile(`name="session" value="([^"]*)"`)

// others are the names of the sessions that a page of the account offers to end.
func (a answerOf) others() (names []string) {
	for _, m := range sessionField.FindAllStringSubmatch(a.body, -1) {
		names = append(names, m[1])
	}
	return names
}

const signoutPath = "/.evergate/account/signout"

func TestAccountPage(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	desk := f.device(onLinux)
	ask := desk.get("/.evergate/account")
	ask.want(t, "with nobody signed in", 200, "<h1>Sign in</h1>", `name="rd" value="/.evergate/account"`)
	page := desk.signIn("alice", testPassword)
	german := desk.send("GET", "/.evergate/account", nil, "Accept-Language", "de")
	german.want(t, "in German", 200, `lang="de"`, "Ihr Konto", "Firefox auf Linux", "Dieses Gerät", "!Your account", "!This device")
	arabic := desk.send("GET", "/.evergate/account/password", nil, "Accept-Language", "ar")
	arabic.want(t, "in Arabic", 200, `dir="rtl"`, "كلمة المرور الحالية", "!Current password")
	page.want(t, "after signing in there", 200, "<h1>Your account</h1>", "alice", "Firefox on Linux", "This device", "127.0.0.1", "password",
		"!Sign out all other devices", "!cannot be changed here")
	if page.Request.URL.Path != "/.evergate/account" || page.Header.Get("Cache-Control") != "no-store" || !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("got %s, %v", page.Request.URL, page.Header)
	}

	phone, laptop, bob := f.device(onIPhone), f.device(onWindows), f.device(onWindows)
	phone.signIn("alice", testPassword)
	laptop.signIn("alice", testPassword)
	bobs := bob.signIn("bob", testPassword)
	bobs.want(t, "bob's", 200, "Chrome on Windows", "!Safari on iPhone", "!Firefox on Linux")

	page = desk.get("/.evergate/account")
	page.want(t, "three devices", 200, "Firefox on Linux", "Safari on iPhone", "Chrome on Windows", "Sign out all other devices", "Sign out everywhere")
	now, _, _ := strings.Cut(page.body, "<h2>What happened lately")
	if n := strings.Count(now, "This device"); n != 1 || len(page.others()) != 2 {
		t.Errorf("got %d devices marked and %d to sign out, want 1 and 2:\n%s", n, len(page.others()), page.body)
	}
	// The latest used comes first after the one at hand.
	if strings.Index(page.body, "Firefox on Linux") > strings.Index(page.body, "Safari on iPhone") {
		t.Error("the device at hand is not the first")
	}

	ofBob := f.list("--user", "bob")[0].Name
	for _, name := range []string{ofBob, "nothing", ""} {
		desk.post(signoutPath, "which", "one", "session", name).want(t, "a session that is not hers", 200, "<h1>Your account</h1>", "!is signed out")
	}
	if !bob.in() {
		t.Fatal("alice has signed bob out")
	}

	one := f.list("--user", "alice")
	for _, s := range one {
		if strings.Contains(s.Device.Agent, "iPhone") {
			desk.post(signoutPath, "which", "one", "session", s.Name).want(t, "the phone", 200, "That device is signed out.", "!Safari on iPhone", "Chrome on Windows")
		}
	}
	if phone.in() || !laptop.in() || !desk.in() {
		t.Error("the phone alone was to be signed out")
	}
	phone.signIn("alice", testPassword)
	desk.post(signoutPath, "which", "others").want(t, "the others", 200, "2 other devices are signed out.", "Firefox on Linux", "!Chrome on Windows")
	if phone.in() || laptop.in() || !desk.in() || !bob.in() {
		t.Error("alice's other devices were to be signed out, and nobody else's")
	}
	desk.post(signoutPath, "which", "others").want(t, "no others", 200, "There was no other device")
	laptop.signIn("alice", testPassword)
	desk.post(signoutPath, "which", "all").want(t, "all", 200, "<h1>Signed out</h1>")
	if laptop.in() || desk.in() || !bob.in() {
		t.Error("all of alice's devices were to be signed out, and nobody else's")
	}
	desk.post(signoutPath, "which", "all").want(t, "once more", 200, "<h1>Sign in</h1>")
	desk.signIn("alice", testPassword)
	desk.post(signoutPath, "which", "one", "session", f.list("--user", "alice")[0].Name).want(t, "the one at hand", 200, "<h1>Signed out</h1>")
	desk.signIn("alice", testPassword)
	desk.post(signoutPath, "which", "nonsense").want(t, "a form of nobody", 400)
	if !desk.in() {
		t.Error("a form of nobody signs out")
	}
}

func TestAccountFromAnotherSite(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	desk, phone := f.device(onLinux), f.device(onIPhone)
	desk.signIn("alice", testPassword)
	phone.signIn("alice", testPassword)
	for _, path := range []string{signoutPath, "/.evergate/account/password"} {
		form := url.Values{"which": {"all"}, "current": {testPassword}, "new": {"other words in a row"}, "again": {"other words in a row"}}
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			desk.send("POST", path, form, header...).want(t, path+" "+strings.Join(header, " "), 403, "did not come from our own page")
		}
	}
	desk.get(signoutPath).want(t, "a link to the form", 405)
	if !desk.in() || !phone.in() {
		t.Error("another site has signed somebody out")
	}
	if f.device(onLinux).signIn("alice", testPassword).StatusCode != 200 {
		t.Error("another site has changed the password")
	}
}

func TestHostileAgent(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	desk := f.device(onLinux)
	desk.signIn("alice", testPassword)
	for _, agent := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "Evil/1.0 " + strings.Repeat("A", 4000), "\x80\xff\xfe", "{{.}}", "Mozilla/5.0 (<b>; Linux) <i>/1"} {
		f.device(agent).signIn("alice", testPassword)
	}
	page := desk.get("/.evergate/account")
	page.want(t, "the list", 200, "Unknown browser", "Unknown browser on Linux", "&lt;script&gt;alert(1)&lt;/script&gt;", "!<script", "!<img", "!<b>", "!<i>", "!"+strings.Repeat("A", 260))
}

// tornStore is a store that can be taken away.
type tornStore struct {
	session.Store
	find, drop atomic.Bool
}

var errTorn = errors.New("connection refused")

func (s *tornStore) Find(ctx context.Context, tag session.Tag) ([]session.Key, error) {
	if s.find.Load() {
		return nil, errTorn
	}
	return s.Store.Find(ctx, tag)
}

func (s *tornStore) Delete(ctx context.Context, key session.Key) error {
	if s.drop.Load() {
		return errTorn
	}
	return s.Store.Delete(ctx, key)
}

func TestAccountWithoutTheStore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	if err := f.g.Close(); err != nil {
		t.Fatal(err)
	}
	store := &tornStore{}
	g, err := build(&f.cfg, slog.New(slog.DiscardHandler), parts{Wrap: func(s session.Store) session.Store { store.Store = s; return store }})
	if err != nil {
		t.Fatal(err)
	}
	f.g = g
	t.Cleanup(func() { _ = g.Close() })
	desk, phone := f.device(onLinux), f.device(onIPhone)
	desk.signIn("alice", testPassword)
	phone.signIn("alice", testPassword)
	for _, broken := range []*atomic.Bool{&store.find, &store.drop} {
		broken.Store(true)
		for _, which := range []string{"others", "all"} {
			a := desk.post(signoutPath, "which", which)
			a.want(t, which, 503, "Your devices are still signed in", "Nothing was done")
			if a.Header.Get("Retry-After") == "" || len(a.Header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s: got %v", which, a.Header)
			}
		}
		if broken == &store.find {
			desk.get("/.evergate/account").want(t, "the page", 200, "<h1>Your account</h1>", "cannot be shown right now", "Sign out on this device")
		}
		broken.Store(false)
	}
	if !desk.in() || !phone.in() {
		t.Error("somebody is signed out after all")
	}
}

func TestAccountOnTheHostsOfApps(t *testing.T) {
	t.Parallel()
	b := newHostsBed(t)
	v := b.wanderer()
	v.signIn("alice")
	v.to("http://wiki.localhost:8080/", "")
	for _, path := range []string{"/.evergate/account", "/.evergate/account/password"} {
		res := v.send("GET", "http://wiki.localhost:8080"+path, "")
		if got := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || got != "http://apps.localhost:8080"+path {
			t.Errorf("%s: got %d to %q", path, res.StatusCode, got)
		}
		if res := v.send("POST", "http://wiki.localhost:8080"+path, "which=all"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: got %d", path, res.StatusCode)
		}
	}
	if res := v.send("POST", "http://wiki.localhost:8080"+signoutPath, "which=all"); res.StatusCode != http.StatusNotFound {
		t.Errorf("signing out there: got %d", res.StatusCode)
	}
	_, res := v.to("http://wiki.localhost:8080/.evergate/account", "")
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), "Your account") || !strings.Contains(string(body), "cannot be changed here") {
		t.Errorf("from there: got %d\n%s", res.StatusCode, body)
	}
	res = v.send("POST", "http://apps.localhost:8080/.evergate/account/password", "current=correct+horse+battery&new=other+words+in+a+row&again=other+words+in+a+row")
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a password that is kept in memory: got %d", res.StatusCode)
	}
	// Signed out everywhere, which is on the hosts of apps too.
	if res := v.send("POST", "http://apps.localhost:8080"+signoutPath, "which=all"); res.StatusCode != http.StatusOK {
		t.Errorf("all: got %d", res.StatusCode)
	}
	if at, _ := v.to("http://wiki.localhost:8080/", "http://apps.localhost:8080/.evergate/login"); !strings.Contains(at, "/login") {
		t.Errorf("afterwards wiki.localhost leads to %s", at)
	}
}

const newWords = "other words in a row"

func TestChangePassword(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	file := filepath.Join(filepath.Dir(f.file), "users.yaml")
	desk, phone, bob := f.device(onLinux), f.device(onIPhone), f.device(onWindows)
	desk.get("/.evergate/account/password").want(t, "with nobody signed in", 200, "<h1>Sign in</h1>")
	desk.signIn("alice", testPassword).want(t, "the account", 200, `href="/.evergate/account/password"`)
	phone.signIn("alice", testPassword)
	bob.signIn("bob", testPassword)
	desk.get("/.evergate/account/password").want(t, "the form", 200, `autocomplete="username"`, `value="alice"`, `autocomplete="current-password"`, `autocomplete="new-password"`, `minlength="15"`, "login.js")

	const path = "/.evergate/account/password"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, current, next, again string
		status                     int
		text                       string
	}{
		{"a wrong one", "hunter2", newWords, newWords, 403, "The current password is wrong. Nothing was changed."},
		{"two that differ", testPassword, newWords, newWords + "s", 422, "The two new passwords differ."},
		{"a short one", testPassword, "fourteen chars", "fourteen chars", 422, "it needs 15 characters"},
		{"a long one", testPassword, strings.Repeat("x", 1025), strings.Repeat("x", 1025), 422, "too long"},
		{"the name", testPassword, "alice alice alice", "alice alice alice", 422, "is your user name"},
		{"a row of keys", testPassword, "qwertyuiopasdfgh", "qwertyuiopasdfgh", 422, "too easy to guess"},
		{"the same", testPassword, testPassword, testPassword, 422, "is the one you have"},
	} {
		desk.post(path, "current", c.current, "new", c.next, "again", c.again).want(t, c.name, c.status, c.text, "!"+newWords, "!"+testPassword)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) || !desk.in() || !phone.in() {
		t.Fatalf("something has changed:\n%s", after)
	}

	u, _ := url.Parse(f.public.URL)
	was := desk.c.Jar.Cookies(u)
	page := desk.post(path, "current", testPassword, "new", newWords, "again", newWords)
	page.want(t, "changed", 200, "<h1>Your account</h1>", "Your password is changed.", "Firefox on Linux", "!Safari on iPhone")
	if page.Request.URL.Path != "/.evergate/account" {
		t.Errorf("got %s", page.Request.URL)
	}
	if phone.in() || !desk.in() || !bob.in() {
		t.Errorf("got the phone signed in %v, the desk %v, bob %v", phone.in(), desk.in(), bob.in())
	}
	stolen := f.device(onLinux)
	stolen.c.Jar.SetCookies(u, was)
	if stolen.in() {
		t.Error("the cookie of before is good still")
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("the users file was written:\n%s", after)
	}
	f.device(onLinux).signIn("alice", testPassword).want(t, "the old password", 401)
	f.device(onLinux).signIn("alice", newWords).want(t, "the new password", 200, "Your account")
	f.device(onLinux).signIn("bob", testPassword).want(t, "somebody else's", 200, "Your account")

	// A restart forgets nothing, and the operator has the last word.
	if err := f.g.Close(); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.device(onLinux).signIn("alice", testPassword).want(t, "the old password after a restart", 401)
	again := f.device(onLinux)
	again.signIn("alice", newWords).want(t, "the new password after a restart", 200, "Your account")
	f.user("words of the operator's\n", "passwd", "--password-stdin", "alice")
	for end := time.Now().Add(20 * time.Second); again.in() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	f.device(onLinux).signIn("alice", newWords).want(t, "the password of before", 401)
	f.device(onLinux).signIn("alice", "words of the operator's").want(t, "the operator's", 200, "Your account")
}

// TestAccountTellsWhatHappened: one's own sign-ins, failed ones too, and what was ended and
// changed, and nothing of anybody else.
func TestAccountTellsWhatHappened(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	desk, phone, bob := f.device(onLinux), f.device(onIPhone), f.device(onWindows)
	desk.signIn("alice", testPassword)
	bob.signIn("bob", testPassword)
	phone.signIn("alice", "hunter2")
	phone.signIn("alice", testPassword)
	desk.post(signoutPath, "which", "others")
	desk.post("/.evergate/account/password", "current", "hunter2", "new", newWords, "again", newWords)
	desk.post("/.evergate/account/password", "current", testPassword, "new", newWords, "again", newWords)
	_, happened, _ := strings.Cut(desk.get("/.evergate/account").body, "What happened lately")
	for _, want := range []string{"Signed in", "A sign-in failed: the password was wrong", "A device was signed out on the account page", "The password was changed",
		"Safari on iPhone", "Firefox on Linux", "from 127.0.0.1", "If something here was not you, change your password."} {
		if !strings.Contains(happened, want) {
			t.Errorf("got no %q in\n%s", want, happened)
		}
	}
	for _, no := range []string{"Chrome on Windows", "hunter2", testPassword, newWords} {
		if strings.Contains(happened, no) {
			t.Errorf("got %q in\n%s", no, happened)
		}
	}
	_, happened, _ = strings.Cut(bob.get("/.evergate/account").body, "What happened lately")
	if strings.Contains(happened, "The password was changed") || !strings.Contains(happened, "Signed in") {
		t.Errorf("bob is told\n%s", happened)
	}
}

func TestPasswordGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	desk := f.device(onLinux)
	desk.signIn("alice", testPassword)
	for i := range 60 {
		a := desk.post("/.evergate/account/password", "current", "guess", "new", newWords, "again", newWords)
		if a.StatusCode == http.StatusTooManyRequests {
			a.want(t, "slowed down", 429, "Too many attempts failed lately.")
			if i < 10 || a.Header.Get("Retry-After") == "" {
				t.Errorf("after %d guesses, %v", i, a.Header)
			}
			return
		}
		a.want(t, "a guess", 403)
	}
	t.Error("60 guesses were looked at")
}

// TestChangePasswordOfAFileThatIsAway: nothing is written to the users file, so that it may be
// read-only, and even be gone for a moment.
func TestChangePasswordOfAFileThatIsAway(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	file := filepath.Join(filepath.Dir(f.file), "users.yaml")
	desk := f.device(onLinux)
	desk.signIn("alice", testPassword)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	desk.post("/.evergate/account/password", "current", testPassword, "new", newWords, "again", newWords).want(t, "the change", 200, "Your password is changed.")
	if _, err := os.Stat(file); err == nil || !desk.in() {
		t.Errorf("a file was made: %v; signed in %v", err == nil, desk.in())
	}
	f.device(onLinux).signIn("alice", newWords).want(t, "the new password", 200, "Your account")
}
