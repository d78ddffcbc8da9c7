package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func loginOf(subject, stamp string) *auth.Login {
	return &auth.Login{Identity: auth.Identity{Subject: subject}, Stamp: stamp}
}

func TestBrowserIsKnownWhereItSignedIn(t *testing.T) {
	var stranger auth.Browser
	b := stranger.With(loginOf("alice", "old"), noon)
	for _, c := range []struct {
		name           string
		of             auth.Browser
		subject, stamp string
		want           bool
	}{
		{"the account that it signed in to", b, "alice", "old", true},
		{"somebody else's", b, "bob", "old", false},
		{"a name that only looks alike", b, "Alice", "old", false},
		{"after a new password", b, "alice", "new", false},
		{"an account without a stamp", b, "alice", "", false},
		{"one that signed in to none", stranger, "alice", "old", false},
		{"a login without a stamp", stranger.With(loginOf("alice", ""), noon), "alice", "", false},
		{"by the new password", b.With(loginOf("alice", "new"), noon), "alice", "new", true},
		{"which takes the place of the old one", b.With(loginOf("alice", "new"), noon), "alice", "old", false},
		{"beside somebody else", b.With(loginOf("bob", "old"), noon), "alice", "old", true},
	} {
		if got := c.of.At(c.subject, c.stamp) != ""; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if b.At("alice", "old") == b.With(loginOf("alice", "old"), noon).At("alice", "old") {
		t.Error("after another sign-in it is counted under the same name, which copies of its cookie have")
	}
	if b.At("alice", "old") == stranger.With(loginOf("alice", "old"), noon).At("alice", "old") {
		t.Error("two browsers are counted under one name")
	}
}

func TestBrowserKnowsAFewAccounts(t *testing.T) {
	var b auth.Browser
	for i := range 20 {
		b = b.With(loginOf(fmt.Sprint("user", i), "stamp"), noon.Add(time.Duration(i)*time.Minute))
	}
	b = b.With(loginOf("user16", "stamp"), noon.Add(time.Hour)) // which signs in once more
	b = b.With(loginOf("user20", "stamp"), noon.Add(2*time.Hour))
	for i := range 21 {
		want := i >= 16
		if got := b.At(fmt.Sprint("user", i), "stamp") != ""; got != want {
			t.Errorf("user%d: got %v, want %v", i, got, want)
		}
	}
}

// stamped are passwords that give each login the stamp of now, and note who asked.
type stamped struct {
	passwords
	stamp string
	asked []auth.Asker
}

func (p *stamped) Login(ctx context.Context, from auth.Asker, user, password string) (*auth.Login, error) {
	p.asked = append(p.asked, from)
	login, err := p.passwords.Login(ctx, from, user, password)
	if err == nil {
		login.Stamp = p.stamp
	}
	return login, err
}

func (p *stamped) CanChange(*auth.Login) bool { return true }

func (p *stamped) MinPassword() int { return auth.MinPassword }

func (p *stamped) Change(_ context.Context, from auth.Asker, login *auth.Login, _, _ string) (*auth.Login, error) {
	p.asked, p.stamp = append(p.asked, from), p.stamp+"+"
	fresh := *login
	fresh.Session, fresh.Stamp = nil, p.stamp
	return &fresh, nil
}

// known says whether the last who asked has a browser that is known at an account.
func (p *stamped) known(subject string) bool {
	return p.asked[len(p.asked)-1].Browser.At(subject, p.stamp) != ""
}

const knownCookie = sessionCookie + "-known"

func cookieNamed(p page, name string) *http.Cookie {
	for _, c := range p.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestKnownBrowserCookie(t *testing.T) {
	people := &stamped{stamp: "stamp"}
	h := open(t, func(c *auth.HandlerConfig) { c.Password, c.Passwords, c.Secure = people, people, true })
	signIn := func(user, password string, header ...string) page {
		form := url.Values{"username": {user}, "password": {password}}.Encode()
		return h.browser().do("POST!", "/.evergate/login", urlencoded, form, header...)
	}
	for _, user := range []string{"alice", "throttled", "outage"} {
		if p := signIn(user, "wrong"); cookieNamed(p, knownCookie) != nil {
			t.Errorf("%s: %d is with a cookie by which the browser is known", user, p.StatusCode)
		}
	}
	h.sessions.set(func() { h.sessions.beginFault = &auth.Unavailable{What: "the session store"} })
	if p := signIn("alice", "alicealice"); p.StatusCode != 503 || cookieNamed(p, knownCookie) != nil {
		t.Errorf("nobody was signed in: got %d and the cookie %v", p.StatusCode, cookieNamed(p, knownCookie))
	}
	h.sessions.set(func() { h.sessions.beginFault = nil })
	p := signIn("alice", "alicealice")
	p.want(t, 303)
	c := cookieNamed(p, knownCookie)
	if c == nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 30*24*60*60 {
		t.Fatalf("got the cookie %v, want HttpOnly, Secure, SameSite=Lax, for the path / and 30 days", c)
	}
	if people.known("alice") {
		t.Error("the first sign-in was by a known browser")
	}
	bob := cookieNamed(signIn("bob", "bobbob", "Cookie", knownCookie+"="+c.Value), knownCookie)
	for name, k := range map[string]struct {
		cookie     string
		alice, bob bool
	}{
		"its own":            {knownCookie + "=" + c.Value, true, false},
		"of both people":     {knownCookie + "=" + bob.Value, true, true},
		"none":               {"", false, false},
		"empty":              {knownCookie + "=", false, false},
		"there twice":        {knownCookie + "=" + c.Value + "; " + knownCookie + "=" + c.Value, false, false},
		"damaged":            {knownCookie + "=" + strings.Replace(c.Value, c.Value[20:24], "AAAA", 1), false, false},
		"under another name": {sessionCookie + "-form-known=" + c.Value, false, false},
	} {
		signIn("alice", "wrong", "Cookie", k.cookie)
		if people.known("alice") != k.alice || people.known("bob") != k.bob {
			t.Errorf("a cookie that is %s: known to alice %v and to bob %v, want %v and %v", name, people.known("alice"), people.known("bob"), k.alice, k.bob)
		}
	}
	signIn("alice", "wrong", "Cookie", knownCookie+"="+c.Value, "Host", "other.test")
	if people.known("alice") {
		t.Error("the cookie of one host is good on another")
	}
	// What is sealed again by others' sign-ins keeps its time.
	h.advance(29 * 24 * time.Hour)
	bob = cookieNamed(signIn("bob", "bobbob", "Cookie", knownCookie+"="+bob.Value), knownCookie)
	if !people.known("alice") {
		t.Error("alice's is over after 29 days")
	}
	h.advance(25 * time.Hour)
	signIn("alice", "wrong", "Cookie", knownCookie+"="+bob.Value)
	if people.known("alice") || !people.known("bob") {
		t.Errorf("30 days after alice and one after bob: known to alice %v and to bob %v", people.known("alice"), people.known("bob"))
	}
}

// TestKnownBrowserStaysKnown: signing out keeps the cookie, and a change of the password
// gives the browser where that is done one for the new password.
func TestKnownBrowserStaysKnown(t *testing.T) {
	people := &stamped{stamp: "stamp"}
	h, _, _ := openAccount(t, func(c *auth.HandlerConfig) { c.Password, c.Passwords = people, people })
	b, left := h.browser(), h.browser()
	left.signIn("/", "alice")
	b.signIn("/", "alice")
	p := b.post("/.evergate/logout", nil)
	if p.want(t, 200); cookieNamed(p, knownCookie) != nil {
		t.Error("signing out touches the cookie")
	}
	wrong := url.Values{"username": {"alice"}, "password": {"wrong"}}
	if b.post("/.evergate/login", wrong); !people.known("alice") {
		t.Error("after signing out the browser is a stranger")
	}
	b.signIn("/", "alice")
	b.post(accountURL+"/password", url.Values{"current": {"alicealice"}, "new": {"a new one for me"}, "again": {"a new one for me"}}).want(t, 200)
	if b.post("/.evergate/login", wrong); !people.known("alice") {
		t.Error("the browser that changed the password is a stranger")
	}
	if left.post("/.evergate/login", wrong); people.known("alice") {
		t.Error("a browser that signed in by the old password is known yet")
	}
}
