package auth_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// signOut asks as the app's own sign-out does, with the cookies of b.
func (b *browser) signOut() (h http.Header, address string, err error) {
	b.t.Helper()
	r, rerr := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.h.URL+"/app/logout", nil)
	if rerr != nil {
		b.t.Fatal(rerr)
	}
	u, _ := url.Parse(b.h.URL)
	for _, c := range b.c.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	h = http.Header{}
	address, err = b.h.handler.SignOut(h, r)
	b.c.Jar.SetCookies(u, (&http.Response{Header: h}).Cookies())
	return h, address, err
}

// TestSignOutByAnApp: it is the gateway's sign-out, on a way that goes on from the app's.
func TestSignOutByAnApp(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	header, address, err := b.signOut()
	if err != nil || address != "/.evergate/logout" || header.Get("Clear-Site-Data") != `"cache"` || len(header.Values("Set-Cookie")) == 0 {
		t.Errorf("got %q, %v, %v", address, err, header)
	}
	b.get(address).want(t, 200, "<title>Signed out", "You are signed out of")
	b.get("/app").want(t, 200, "<h1>Sign in</h1>")
	if _, address, err := b.signOut(); err != nil || address != "/.evergate/logout" {
		t.Errorf("of nobody: got %q, %v", address, err)
	}

	b.signIn("/", "alice")
	h.sessions.set(func() { h.sessions.fault = &auth.Unavailable{What: "the session store"} })
	header, _, err = b.signOut()
	h.sessions.set(func() { h.sessions.fault = nil })
	if e, ok := errors.AsType[*web.Error](err); !ok || e.Status != 503 || !strings.Contains(string(e.Title), "still signed in") || len(header) != 0 {
		t.Errorf("in an outage: got %v, %v", err, header)
	}
	b.get("/app").want(t, 200, "the app")
}

// TestSignOutByAnAppGoesOnToTheProvider, or says where one is still signed in.
func TestSignOutByAnAppGoesOnToTheProvider(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/"))).want(t, 200)
	_, address, err := b.signOut()
	if to, _ := url.Parse(address); err != nil || to.Host != "corp.test" || to.Query().Get("hint") != "ID-TOKEN" || to.Query().Get("to") != h.URL+"/.evergate/logout" {
		t.Errorf("got %q, %v, want the provider's sign-out", address, err)
	}
	c.noLogout = true
	b.get(back(b.depart("/"))).want(t, 200)
	_, address, err = b.signOut()
	if err != nil {
		t.Fatal(err)
	}
	b.get(address).want(t, 200, "<h1>Signed out</h1>", "may still be signed in at <strong>Corp &amp; Sons</strong>")
	p := b.get("/.evergate/logout?at=nobody")
	if p.want(t, 200, "<h1>Signed out</h1>"); strings.Contains(p.body, "still be signed in") {
		t.Error("a provider that is none is named")
	}
}
