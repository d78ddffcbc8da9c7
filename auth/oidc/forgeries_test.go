package oidc_test

import (
	"errors"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
)

// TestForgeries: none of the tokens that a relying party has to refuse signs
// anybody in, and no address in them is asked.
func TestForgeries(t *testing.T) {
	p := newProvider(t)
	for _, f := range oidctest.Forgeries(p.Provider) {
		t.Run(f.Name, func(t *testing.T) {
			p.behave()
			p.within(t)
			p.Turn(f.Turn)
			login, err := p.complete(p.method())
			if err == nil || login != nil {
				t.Errorf("an ID token that %s signed %v in", f.What, login.Identity)
			}
			if n := p.Lured(); n != 0 {
				t.Errorf("%d requests to an address in the token", n)
			}
		})
	}
}

// TestForgeriesAtRenewal: they change nothing, and cost nobody their session but
// where they are about somebody else.
func TestForgeriesAtRenewal(t *testing.T) {
	p := newProvider(t)
	for _, f := range oidctest.Forgeries(p.Provider) {
		t.Run(f.Name, func(t *testing.T) {
			p.behave()
			p.within(t)
			m := p.method()
			login := p.signIn(m)
			p.Turn(f.Turn)
			fresh, err := m.Refresh(t.Context(), login, "")
			if err != nil { // about another, or larger than what is read
				_, out := errors.AsType[*auth.Unavailable](err)
				_, refused := errors.AsType[*auth.Refused](err)
				if !out && !refused {
					t.Errorf("got %T %v", err, err)
				}
				return
			}
			if fresh.Identity.Subject != oidctest.Alice.Subject || fresh.Identity.User != "alice" || fresh.RefreshToken == login.RefreshToken {
				t.Errorf("an ID token that %s made %+v", f.What, fresh.Identity)
			}
			if n := p.Lured(); n != 0 {
				t.Errorf("%d requests to an address in the token", n)
			}
		})
	}
}

func TestOddities(t *testing.T) {
	p := newProvider(t)
	for _, f := range oidctest.Oddities(p.Provider) {
		t.Run(f.Name, func(t *testing.T) {
			p.behave()
			p.within(t)
			p.Turn(f.Turn)
			if login, err := p.complete(p.method()); err != nil || login.Identity.Subject == "" {
				t.Errorf("what %s was refused: %v", f.What, err)
			}
		})
	}
}

func TestLogoutForgeries(t *testing.T) {
	p := newProvider(t)
	for _, f := range oidctest.LogoutForgeries(p.Provider) {
		t.Run(f.Name, func(t *testing.T) {
			p.behave()
			p.within(t)
			m := p.method(func(c *oidc.Config) { c.Once = once(nil) })
			p.Turn(f.Turn)
			subject, sid, err := m.LogoutToken(t.Context(), p.LogoutToken(p.ClientID, oidctest.Alice.Subject, "sid"))
			if err == nil {
				t.Errorf("a logout token that %s ended the sessions of %q %q", f.What, subject, sid)
			}
			if n := p.Lured(); n != 0 {
				t.Errorf("%d requests to an address in the token", n)
			}
		})
	}
}

func TestLogoutOddities(t *testing.T) {
	p := newProvider(t)
	for _, f := range oidctest.LogoutOddities(p.Provider) {
		t.Run(f.Name, func(t *testing.T) {
			p.behave()
			p.within(t)
			m := p.method(func(c *oidc.Config) { c.Once = once(nil) })
			p.Turn(f.Turn)
			if subject, sid, err := m.LogoutToken(t.Context(), p.LogoutToken(p.ClientID, oidctest.Alice.Subject, "sid")); err != nil || subject+sid == "" {
				t.Errorf("a logout token that %s was refused: %v", f.What, err)
			}
		})
	}
}
