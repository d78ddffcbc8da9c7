package oidc_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/secret"
)

// TestGoneAndBack: while the provider is gone every session waits and none ends,
// it is hardly asked, and when it is back one renewal each goes on where it was.
func TestGoneAndBack(t *testing.T) {
	p := newProvider(t)
	m := p.method()
	var logins []*auth.Login
	for range 5 {
		logins = append(logins, p.signIn(m))
	}
	p.Stop()
	for range 20 {
		for _, login := range logins {
			_, err := m.Refresh(t.Context(), login, "")
			unavailable(t, "gone", err)
		}
		p.advance(5 * time.Second)
	}
	if s := m.State(); !s.Open || s.LastError == "" {
		t.Errorf("got %+v, want it known", s)
	}
	if to, err := m.LogoutURL(t.Context(), logins[0], oidctest.Landing, "s"); err != nil || to == "" {
		t.Errorf("signing out: got %q, %v, want it to work with what is known", to, err)
	}
	p.Restart()
	p.ResetStats()
	p.advance(31 * time.Second)
	for i, login := range logins {
		if _, err := m.Refresh(t.Context(), login, ""); err != nil {
			t.Errorf("back, session %d: %v", i, err)
		}
	}
	if s := p.Stats(); s.RefreshGrants != len(logins) || s.ReuseDetected != 0 || s.MaxConcurrentRefreshPerGrant > 1 {
		t.Errorf("got %d renewals, %d reused", s.RefreshGrants, s.ReuseDetected)
	}
}

// TestManyAtOnce renews many sessions at the same time, each once.
func TestManyAtOnce(t *testing.T) {
	p := newProvider(t)
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	var logins []*auth.Login
	for range 12 {
		logins = append(logins, p.signIn(m))
	}
	var wg sync.WaitGroup
	for _, login := range logins {
		wg.Go(func() {
			for range 3 {
				fresh, err := m.Refresh(t.Context(), login, "")
				if err != nil {
					t.Errorf("got %v", err)
					return
				}
				login = fresh
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.RefreshGrants != 36 || s.ReuseDetected != 0 || s.JWKSFetches != 1 || s.Discoveries != 1 {
		t.Errorf("got %d renewals, %d reused, %d key fetches, %d discoveries", s.RefreshGrants, s.ReuseDetected, s.JWKSFetches, s.Discoveries)
	}
}

// TestTLS: the roots are those that are configured, and no others.
func TestTLS(t *testing.T) {
	p := oidctest.Start(t, oidctest.TLS())
	for name, row := range map[string]struct {
		edit func(*oidc.Config)
		ok   bool
	}{
		"its own root":     {func(c *oidc.Config) { c.RootCAs = p.RootCAs }, true},
		"the system's own": {func(*oidc.Config) {}, false},
	} {
		cfg := oidc.Config{Name: "corp", Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: secret.New(p.ClientSecret)}
		row.edit(&cfg)
		m, err := oidc.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f := auth.Flow{State: "state-word", Nonce: "nonce-word", Verifier: strings.Repeat("verifier-word", 4), RedirectURI: oidctest.Callback}
		to, err := m.Begin(t.Context(), f)
		if !row.ok {
			unavailable(t, name, err)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := m.Complete(t.Context(), f, p.SignIn(t, nil, to, "alice", oidctest.Alice.Password).Query()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
