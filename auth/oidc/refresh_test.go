package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func TestRefresh(t *testing.T) {
	p := newOP(t)
	m := p.method()
	old := p.signIn(m)
	before := *old
	p.advance(10 * time.Minute)
	p.set(func() {
		p.nonce = ""
		p.claims = func(c map[string]any) {
			delete(c, "nonce")
			c["groups"] = []string{"board"}
			c["auth_time"] = p.clock.Add(-10 * time.Minute).Unix()
		}
	})
	fresh, err := m.Refresh(t.Context(), old, "")
	if err != nil {
		t.Fatal(err)
	}
	c := p.last(pathToken)
	if c.form.Get("grant_type") != "refresh_token" || c.form.Get("refresh_token") != "refresh-1" || c.user != clientID {
		t.Errorf("got %v by %q", c.form, c.user)
	}
	for _, name := range []string{"scope", "resource", "redirect_uri", "client_secret"} {
		if c.form.Has(name) {
			t.Errorf("%s is sent: %q", name, c.form[name])
		}
	}
	if fresh.RefreshToken.Reveal() != "refresh-2" || fresh.AccessToken.Value.Reveal() != "access-2" ||
		!fresh.AccessToken.Expires.Equal(p.now().Add(300*time.Second)) || !slices.Equal(fresh.Identity.Groups, []string{"board"}) {
		t.Errorf("got %+v", fresh)
	}
	if fresh.IDToken.Reveal() == old.IDToken.Reveal() || fresh.SID != "sid-1" || !fresh.AuthTime.Equal(old.AuthTime) {
		t.Errorf("got sid %q, signed in %v", fresh.SID, fresh.AuthTime)
	}
	if !reflect.DeepEqual(*old, before) || !slices.Equal(old.Identity.Groups, []string{"staff"}) {
		t.Error("the old Login was edited")
	}
}

func TestRefreshForAResource(t *testing.T) {
	p := newOP(t)
	m := p.method()
	old := p.signIn(m)
	fresh, err := m.Refresh(t.Context(), old, "https://api.test/")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.last(pathToken).form; got.Get("resource") != "https://api.test/" || got.Has("scope") {
		t.Errorf("got %v", got)
	}
	if fresh.AccessToken != old.AccessToken || fresh.Resources["https://api.test/"].Value.Reveal() != "access-2" || fresh.RefreshToken.Reveal() != "refresh-2" {
		t.Errorf("got %v %v", fresh.AccessToken, fresh.Resources)
	}
	again, err := m.Refresh(t.Context(), fresh, "https://b.test/")
	if err != nil || len(again.Resources) != 2 || len(fresh.Resources) != 1 || old.Resources != nil {
		t.Errorf("got %v, %v: the maps are edited", again.Resources, err)
	}
	// Another subject ends the session here too.
	p.set(func() { p.claims = func(c map[string]any) { c["sub"] = "mallory" } })
	_, err = m.Refresh(t.Context(), again, "https://b.test/")
	refusedWith(t, "another subject for a resource", err)
}

func TestNoRefreshToken(t *testing.T) {
	p := newOP(t)
	_, err := p.method().Refresh(t.Context(), &auth.Login{Identity: auth.Identity{Subject: "alice"}}, "")
	refusedWith(t, "nothing to renew with", err)
	if p.count(pathToken) != 0 {
		t.Error("the provider was asked all the same")
	}
}

func TestRefreshWhileDiscoveryIsAway(t *testing.T) {
	p := newOP(t)
	old := p.signIn(p.method())
	p.handle(pathMeta, says(500, ""))
	_, err := p.method().Refresh(t.Context(), old, "")
	unavailable(t, "discovery is away", err)
}

// TestStaleConnection: the provider has closed a kept connection; a grant is not
// sent twice, and it need not fail either.
func TestOneGrantOverAClosedConnection(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	for range 20 {
		n := p.count(pathToken)
		p.srv.CloseClientConnections()
		if fresh, err := m.Refresh(t.Context(), login, ""); err == nil {
			login = fresh
		}
		if got := p.count(pathToken) - n; got > 1 {
			t.Fatalf("got %d grants, want at most one", got)
		}
	}
}

func TestRefreshCancelled(t *testing.T) {
	p := newOP(t)
	m := p.method()
	old := p.signIn(m)
	for i := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		p.handle(pathToken, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		one := *old
		one.Identity.Subject = fmt.Sprint("somebody-", i)
		if _, err := m.Refresh(ctx, &one, ""); err == nil {
			t.Fatal("got no error")
		}
		cancel()
	}
	if m.State().Open {
		t.Error("we went away ten times, and the provider is taken to be down")
	}
}
