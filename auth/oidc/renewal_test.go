package oidc_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/event"
)

// TestRefreshKeeps is R12: what is missing is kept, and a bad ID token does not
// cost a good refresh token.
func TestRefreshKeeps(t *testing.T) {
	for name, change := range map[string]func(*op){
		"no refresh token": func(p *op) { p.answer = func(a map[string]any) { delete(a, "refresh_token") } },
		"no ID token":      func(p *op) { p.answer = func(a map[string]any) { delete(a, "id_token") } },
		"another issuer":   func(p *op) { p.claims = func(c map[string]any) { c["iss"] = "https://evil.example" } },
		"another audience": func(p *op) { p.claims = func(c map[string]any) { c["aud"] = "other" } },
		"a bad signature":  func(p *op) { p.rewrite = func(raw string) string { return raw[:len(raw)-8] + "AAAAAAAA" } },
		"expired":          func(p *op) { p.claims = func(c map[string]any) { c["exp"] = p.clock.Add(-time.Hour).Unix() } },
		"unknown key":      func(p *op) { p.header = func(h map[string]any) { h["kid"] = "unknown" } },
		"no token at all":  func(p *op) { p.rewrite = func(string) string { return "words" } },
		"the keys are away": func(p *op) {
			p.header = func(h map[string]any) { h["kid"] = "unknown" }
			p.handlers[pathKeys] = says(500, "")
		},
		"a nonce from before": func(p *op) { p.nonce = "nonce-word" },
		"a nonce of its own":  func(p *op) { p.nonce = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			m := p.method()
			old := p.signIn(m)
			p.set(func() { change(p) })
			fresh, err := m.Refresh(t.Context(), old, "")
			if err != nil {
				t.Fatalf("got %v, want the session kept", err)
			}
			want := "refresh-2"
			if name == "no refresh token" {
				want = "refresh-1"
			}
			if fresh.RefreshToken.Reveal() != want || fresh.AccessToken.Value.Reveal() != "access-2" {
				t.Error("the tokens that came are not those that are kept")
			}
			if id := fresh.Identity; id.User != "corp/al" || !slices.Equal(id.Groups, []string{"staff"}) || fresh.IDToken.IsZero() || fresh.SID != "sid-1" {
				t.Errorf("got identity %+v", id)
			}
		})
	}
}

// TestAnotherSubject: refresh-token-invalid-sub. It ends the session.
func TestAnotherSubject(t *testing.T) {
	p := newOP(t)
	m := p.method()
	old := p.signIn(m)
	p.set(func() { p.claims = func(c map[string]any) { c["sub"] = "mallory" } })
	fresh, err := m.Refresh(t.Context(), old, "")
	refusedWith(t, "another subject", err)
	if no, ok := errors.AsType[*auth.Refused](err); !ok || no.Event != event.SubjectChanged {
		t.Errorf("got %#v, want the audit log to tell of it", err)
	}
	if fresh != nil {
		t.Errorf("got a Login for %s", fresh.Identity.Subject)
	}
	p = newOP(t)
	p.set(func() { p.answer = func(a map[string]any) { delete(a, "id_token") } })
	m = p.method(func(c *oidc.Config) { c.Userinfo = true })
	p.set(func() { p.answer = nil })
	old = p.signIn(m)
	p.handle(pathInfo, says(200, `{"sub":"mallory"}`))
	_, err = m.Refresh(t.Context(), old, "")
	refusedWith(t, "userinfo of another subject", err)
}

// TestClaimsFollow is R8: whoever lost a group loses it, wherever it came from.
func TestClaimsFollow(t *testing.T) {
	p := newOP(t)
	p.set(func() { p.claims = func(c map[string]any) { delete(c, "groups") } })
	p.handle(pathInfo, says(200, `{"sub":"alice","groups":["staff","board"]}`))
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	refresh := func() []string {
		t.Helper()
		fresh, err := m.Refresh(t.Context(), login, "")
		if err != nil {
			t.Fatal(err)
		}
		login = fresh
		return fresh.Identity.Groups
	}
	p.handle(pathInfo, says(200, `{"sub":"alice","groups":["staff"]}`))
	if got := refresh(); !slices.Equal(got, []string{"staff"}) {
		t.Errorf("after losing one: got %q", got)
	}
	p.handle(pathInfo, says(503, ""))
	if got := refresh(); !slices.Equal(got, []string{"staff"}) {
		t.Errorf("while userinfo is away: got %q, want those of before", got)
	}
	p.set(func() { p.answer = func(a map[string]any) { delete(a, "id_token") } })
	p.handle(pathInfo, says(200, `{"sub":"alice","groups":["ops"]}`))
	if got := refresh(); !slices.Equal(got, []string{"ops"}) {
		t.Errorf("without ID token: got %q", got)
	}
	p.handle(pathInfo, says(200, `{"sub":"alice"}`))
	if got := refresh(); len(got) != 0 {
		t.Errorf("after losing all: got %q, want none", got)
	}

	p = newOP(t)
	m = p.method()
	login = p.signIn(m)
	p.set(func() { p.claims = func(c map[string]any) { delete(c, "groups"); c["email_verified"] = false } })
	fresh, err := m.Refresh(t.Context(), login, "")
	if err != nil || len(fresh.Identity.Groups) != 0 || fresh.Identity.EmailVerified {
		t.Errorf("an ID token without groups: got %+v, %v, want them gone", fresh.Identity, err)
	}
}

// TestUserinfoFollows: an address that changed there changes here, and one that
// went unread is not believed for being remembered.
func TestUserinfoFollows(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.claims = func(c map[string]any) { delete(c, "email"); delete(c, "email_verified"); delete(c, "groups") }
	})
	p.handle(pathInfo, says(200, `{"sub":"alice","email":"old@corp.example","email_verified":true}`))
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	p.handle(pathInfo, says(200, `{"sub":"alice","email":"new@corp.example","email_verified":false}`))
	fresh, err := m.Refresh(t.Context(), login, "")
	if err != nil || fresh.Identity.Email != "new@corp.example" || fresh.Identity.EmailVerified {
		t.Errorf("got %+v, %v, want the new address, not verified", fresh.Identity, err)
	}
}

// TestGroupsOfTheIDTokenStay: a renewal that brings no ID token takes nothing away
// that only the ID token says.
func TestGroupsOfTheIDTokenStay(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	p.set(func() { p.answer = func(a map[string]any) { delete(a, "id_token") } })
	fresh, err := m.Refresh(t.Context(), login, "")
	if err != nil || !slices.Equal(fresh.Identity.Groups, []string{"staff"}) {
		t.Errorf("got %+v, %v, want staff", fresh.Identity.Groups, err)
	}
}

// TestAllowAtRenewal is R8: who may sign in at all is asked again.
func TestAllowAtRenewal(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Allow = &auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}} })
	login := p.signIn(m)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.claims = func(c map[string]any) { c["groups"] = []string{"alumni"} } })
	_, err := m.Refresh(t.Context(), login, "")
	refusedWith(t, "out of the group", err)
	p.set(func() { p.claims = func(c map[string]any) { c["iss"] = "https://evil.example" } })
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("claims that cannot be read: got %v, want those of before to do", err)
	}
}

// TestSignedUserinfoThatIsBroken keeps the session: it is about nobody else.
func TestBrokenUserinfoKeepsTheSession(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	for name, h := range map[string]http.HandlerFunc{
		"a broken JWT": says(200, "a.b.c", "Content-Type", "application/jwt"),
		"401":          says(401, ""),
		"403":          says(403, ""),
		"said twice":   says(200, `{"sub":"alice","sub":"mallory"}`),
	} {
		p.handle(pathInfo, h)
		fresh, err := m.Refresh(t.Context(), login, "")
		if err != nil || !slices.Equal(fresh.Identity.Groups, []string{"staff"}) {
			t.Errorf("%s: got %v, want the session kept", name, err)
		}
	}
}

// TestTokensOfAnEndedSessionGoBack: nobody else knows of them.
func TestTokensOfAnEndedSessionGoBack(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.set(func() { p.claims = func(c map[string]any) { c["sub"] = "mallory" } })
	_, err := m.Refresh(t.Context(), login, "")
	refusedWith(t, "another subject", err)
	calls := p.callsTo(pathRevoke)
	if len(calls) != 2 || calls[0].form.Get("token") != "refresh-2" {
		t.Errorf("got %v, want the new tokens revoked", calls)
	}
}

// TestResourceLeavesUserinfoAlone: a token for something else opens nothing there.
func TestResourceLeavesUserinfoAlone(t *testing.T) {
	p := newOP(t)
	p.handle(pathInfo, says(200, `{"sub":"alice","groups":["from-info"]}`))
	p.set(func() { p.claims = func(c map[string]any) { delete(c, "groups") } })
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	fresh, err := m.Refresh(t.Context(), login, "https://api.test/")
	if err != nil || !slices.Equal(fresh.Identity.Groups, []string{"from-info"}) || p.count(pathInfo) != 1 {
		t.Errorf("got %+v, %v after %d userinfo requests", fresh, err, p.count(pathInfo))
	}
}
