package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
)

func TestRenewalReplacesWhatCameAndKeepsWhatDidNot(t *testing.T) {
	b := newParty(t, nil, nil)
	first := b.mustSignIn()
	second, err := b.m.Refresh(t.Context(), first, "")
	if err != nil {
		t.Fatal(err)
	}
	if second.RefreshToken == first.RefreshToken || second.AccessToken.Value == first.AccessToken.Value || second.IDToken == first.IDToken {
		t.Error("something was not replaced")
	}
	if form := b.p.Stats().LastToken; form.Has("scope") || form.Get("grant_type") != "refresh_token" || form.Has("redirect_uri") {
		t.Errorf("the grant was asked with %v", form)
	}
	b.p.Turn(func(k *idp.Knobs) { k.NoRotation = true; k.Omit = []string{"id_token"} })
	third, err := b.m.Refresh(t.Context(), second, "")
	if err != nil || third.RefreshToken != second.RefreshToken || third.IDToken != second.IDToken || third.AccessToken.Value == second.AccessToken.Value {
		t.Errorf("with less in the answer: %v; want the refresh token and the ID token kept", err)
	}
	if first.AccessToken.Value == third.AccessToken.Value {
		t.Error("a login was edited")
	}
}

func TestR8ClaimsFollow(t *testing.T) {
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	b.p.SetUser(idp.User{Subject: oidctest.Subject, Claims: map[string]any{"email": "new@corp.test", "groups": []string{"wiki"}}})
	login, err := b.m.Refresh(t.Context(), login, "")
	id := login.Identity
	if err != nil || fmt.Sprint(id.Groups) != "[wiki]" || id.Email != "new@corp.test" || id.EmailVerified || id.Name != "Alice of Corp" {
		t.Errorf("got %+v, %v; want one group less, a new address that nobody vouches for, and the name of before", id, err)
	}
	b.p.SetUser(idp.User{Subject: oidctest.Subject, Claims: map[string]any{"name": "Alice"}})
	if login, err = b.m.Refresh(t.Context(), login, ""); err != nil || login.Identity.Groups != nil {
		t.Errorf("got groups %v, %v, want none: leaving them out may mean that none are left", login.Identity.Groups, err)
	}
}

func TestR8UserinfoFollows(t *testing.T) {
	b := newParty(t, nil, func(c *oidc.Config) { c.Userinfo, c.Claims.Groups = true, []string{"teams"} })
	b.p.Turn(func(k *idp.Knobs) { k.Userinfo = map[string]any{"teams": []string{"a", "b"}} })
	login := b.mustSignIn()
	b.p.Turn(func(k *idp.Knobs) { k.Userinfo = map[string]any{"teams": []string{"b"}}; k.Omit = []string{"id_token"} })
	login, err := b.m.Refresh(t.Context(), login, "")
	if err != nil || fmt.Sprint(login.Identity.Groups) != "[b]" {
		t.Errorf("got %v, %v, want [b]", login.Identity.Groups, err)
	}
	b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{UserinfoStatus: 500} })
	if login, err = b.m.Refresh(t.Context(), login, ""); err != nil || fmt.Sprint(login.Identity.Groups) != "[b]" {
		t.Errorf("userinfo down: got %v, %v, want the claims of before", login.Identity.Groups, err)
	}
}

func TestR12AGoodRefreshTokenOutlivesABadIDToken(t *testing.T) {
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	for name, turn := range map[string]func(*idp.Knobs){
		"forged":  func(k *idp.Knobs) { k.IDToken = func(_, c map[string]any) { c["iss"] = "https://evil.example" } },
		"unknown": func(k *idp.Knobs) { k.IDToken = func(h, _ map[string]any) { h["kid"] = "another" } },
	} {
		b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{}; turn(k) })
		fresh, err := b.m.Refresh(t.Context(), login, "")
		if err != nil || fresh.RefreshToken == login.RefreshToken || fresh.IDToken != login.IDToken || fresh.Identity.Email != login.Identity.Email {
			t.Errorf("%s: got %v, want the new tokens with the claims of before", name, err)
		}
		login = fresh
	}
	b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{Omit: []string{"access_token"}} })
	fresh, err := b.m.Refresh(t.Context(), login, "")
	if err != nil || fresh.RefreshToken == login.RefreshToken {
		t.Errorf("no access token: got %v, want the refresh token kept all the same", err)
	}
}

func TestAnotherSubjectEndsTheSession(t *testing.T) {
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	b.p.Turn(func(k *idp.Knobs) { k.Subject = "somebody else" })
	_, err := b.m.Refresh(t.Context(), login, "")
	b.mustRefuse(err, "")
}

// TestR4ErrorClasses: what a provider answers is a clear no, an outage, or neither.
func TestR4ErrorClasses(t *testing.T) {
	const refused, down, neither = "refused", "unavailable", "neither"
	for _, c := range []struct {
		name  string
		kind  string
		turn  func(*idp.Knobs)
		class string
		after time.Duration
	}{
		{"400 invalid_grant", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "invalid_grant" }, refused, 0},
		{"401 invalid_grant", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 401, "invalid_grant" }, refused, 0},
		{"dex's invalid_request", "dex", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "invalid_request" }, refused, 0},
		{"another's invalid_request", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "invalid_request" }, neither, 0},
		{"400 invalid_scope", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "invalid_scope" }, neither, 0},
		{"404", "", func(k *idp.Knobs) { k.TokenStatus = 404 }, neither, 0},
		{"401 invalid_client", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 401, "invalid_client" }, down, 0},
		{"400 unauthorized_client", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "unauthorized_client" }, down, 0},
		{"400 temporarily_unavailable", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 400, "temporarily_unavailable" }, down, 0},
		{"500", "", func(k *idp.Knobs) { k.TokenStatus = 500 }, down, 0},
		{"500 that says invalid_grant", "", func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 500, "invalid_grant" }, down, 0},
		{"503 with Retry-After", "", func(k *idp.Knobs) { k.TokenStatus, k.RetryAfter = 503, "17" }, down, 17 * time.Second},
		{"429 with Retry-After", "", func(k *idp.Knobs) { k.TokenStatus, k.RetryAfter = 429, "7" }, down, 7 * time.Second},
		{"429 with a date", "", func(k *idp.Knobs) {
			k.TokenStatus, k.RetryAfter = 429, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
		}, down, 58 * time.Second},
		{"Retry-After beyond all measure", "", func(k *idp.Knobs) { k.TokenStatus, k.RetryAfter = 429, "99999999" }, down, 5 * time.Minute},
		{"malformed JSON", "", func(k *idp.Knobs) { k.TokenBody, k.BodyType = `{"access_token":`, "application/json" }, down, 0},
		{"a page", "", func(k *idp.Knobs) { k.TokenBody, k.BodyType = "<html>invalid_grant", "text/html" }, down, 0},
		{"an answer beyond all size", "", func(k *idp.Knobs) {
			k.TokenBody, k.BodyType = `{"access_token":"`+strings.Repeat("x", 4<<20)+`"}`, "application/json"
		}, down, 0},
		{"the connection cut", "", func(k *idp.Knobs) { k.DropBefore = true }, down, 0},
		{"a socket that hangs", "", func(k *idp.Knobs) { k.Hang = true }, down, 0},
		{"a token of another type", "", func(k *idp.Knobs) { k.Set = map[string]any{"token_type": "DPoP"}; k.Omit = []string{"refresh_token"} }, down, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newParty(t, nil, func(cfg *oidc.Config) { cfg.Kind, cfg.Timeout = c.kind, time.Second })
			login := b.mustSignIn()
			b.p.Turn(c.turn)
			before := b.p.Stats().TokenRequests
			_, err := b.m.Refresh(t.Context(), login, "")
			got := neither
			if _, ok := errors.AsType[*auth.Refused](err); ok {
				got = refused
			} else if u, ok := errors.AsType[*auth.Unavailable](err); ok {
				if got = down; u.RetryAfter < c.after || c.after == 0 && u.RetryAfter != 0 || u.RetryAfter > 5*time.Minute {
					t.Errorf("come again in %v, want %v", u.RetryAfter, c.after)
				}
			} else if _, typed := errors.AsType[*oidc.Error](err); !typed {
				t.Errorf("got %T %v, want a typed error", err, err)
			}
			if got != c.class {
				t.Errorf("got %v: %s, want %s", err, got, c.class)
			}
			if n := b.p.Stats().TokenRequests - before; n != 1 {
				t.Errorf("the grant was sent %d times, want once", n)
			}
			for _, word := range []string{login.RefreshToken.Reveal(), oidctest.ClientSecret} {
				if strings.Contains(err.Error()+b.log.String(), word) {
					t.Error("an error or the log holds a secret")
				}
			}
			if strings.Contains(c.name, "client") != strings.Contains(b.log.String(), "check client_id") {
				t.Errorf("what to do about it is in the log: %v", strings.Contains(b.log.String(), "check client_id"))
			}
		})
	}
}

func TestNoRedirectIsFollowedWithASecretInHand(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	b.p.Turn(func(k *idp.Knobs) { k.Redirect = thief.URL })
	_, err := b.m.Refresh(t.Context(), login, "")
	b.mustBeDown(err)
	if stolen.Load() != 0 {
		t.Error("the secret went to where it was redirected")
	}
}

func TestReuseIsAClearNo(t *testing.T) {
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	if _, err := b.m.Refresh(t.Context(), login, ""); err != nil {
		t.Fatal(err)
	}
	_, err := b.m.Refresh(t.Context(), login, "")
	b.mustRefuse(err, "invalid_grant")
	if b.p.Alive() != 0 {
		t.Error("the provider does not see the reuse; this test sees nothing")
	}
}

func TestTokenForAResource(t *testing.T) {
	b := newParty(t, nil, func(c *oidc.Config) { c.Resources = []string{"https://api.corp.test"} })
	login := b.mustSignIn()
	if got := b.p.Stats().LastAuthorize["resource"]; len(got) != 1 {
		t.Errorf("the request named resources %v, want the one", got)
	}
	fresh, err := b.m.Refresh(t.Context(), login, "https://api.corp.test")
	if err != nil {
		t.Fatal(err)
	}
	if b.p.Stats().LastToken.Get("resource") != "https://api.corp.test" || fresh.Resources["https://api.corp.test"].Value.IsZero() ||
		fresh.AccessToken.Value != login.AccessToken.Value || fresh.RefreshToken == login.RefreshToken || login.Resources != nil {
		t.Error("want a token for the resource, the refresh token replaced, and the rest as it was")
	}
}

func TestBreaker(t *testing.T) {
	logins := func(b *party, n int) (all []*auth.Login) {
		for range n {
			all = append(all, b.mustSignIn())
			b.advance(time.Second) // they differ in when they signed in
		}
		return all
	}
	t.Run("opens for all when three sessions meet an outage", func(t *testing.T) {
		b := newParty(t, nil, nil)
		all := logins(b, 4)
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 503 })
		for _, l := range all[:3] {
			_, err := b.m.Refresh(t.Context(), l, "")
			b.mustBeDown(err)
		}
		before := b.p.Stats().TokenRequests
		_, err := b.m.Refresh(t.Context(), all[3], "")
		if u := b.mustBeDown(err); u.RetryAfter <= 0 || b.p.Stats().TokenRequests != before || !b.m.State().Open {
			t.Errorf("got %v after %d more requests, want to be sent away at once", u, b.p.Stats().TokenRequests-before)
		}
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 0 })
		b.mustSignIn() // sign-ins always pass, and their success closes it
		if _, err := b.m.Refresh(t.Context(), all[3], ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("one is let through to see", func(t *testing.T) {
		b := newParty(t, nil, nil)
		all := logins(b, 3)
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 503 })
		for _, l := range all {
			_, err := b.m.Refresh(t.Context(), l, "")
			b.mustBeDown(err)
		}
		for range 4 {
			b.advance(31 * time.Second)
			before := b.p.Stats().TokenRequests
			for _, l := range all {
				_, err := b.m.Refresh(t.Context(), l, "")
				b.mustBeDown(err)
			}
			if n := b.p.Stats().TokenRequests - before; n != 1 {
				t.Errorf("half open: %d requests were let through, want 1", n)
			}
		}
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 0 })
		b.advance(31 * time.Second)
		for i, l := range all {
			if _, err := b.m.Refresh(t.Context(), l, ""); err != nil {
				t.Errorf("session %d after the outage: %v", i, err)
			}
		}
	})
	t.Run("one broken session does not trip it", func(t *testing.T) {
		b := newParty(t, nil, nil)
		all := logins(b, 2)
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 500 })
		for range 20 {
			_, err := b.m.Refresh(t.Context(), all[0], "")
			b.mustBeDown(err)
		}
		b.p.Turn(func(k *idp.Knobs) { k.TokenStatus = 0 })
		if _, err := b.m.Refresh(t.Context(), all[1], ""); err != nil {
			t.Errorf("another session: %v", err)
		}
	})
	t.Run("nobody reached twice is enough", func(t *testing.T) {
		b := newParty(t, nil, nil)
		login := b.mustSignIn()
		b.p.Stop()
		for range 3 { // the first may find a connection that is cut
			_, err := b.m.Refresh(t.Context(), login, "")
			b.mustBeDown(err)
		}
		if !b.m.State().Open {
			t.Error("it is still closed")
		}
		b.p.Restart()
		b.advance(5 * time.Second)
		if _, err := b.m.Refresh(t.Context(), login, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("who goes away says nothing of the provider", func(t *testing.T) {
		b := newParty(t, nil, nil)
		all := logins(b, 5)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, l := range all {
			_, _ = b.m.Refresh(ctx, l, "")
		}
		if b.m.State().Open {
			t.Error("it is open")
		}
	})
}

func TestRevokeAndLogoutURL(t *testing.T) {
	b := newParty(t, nil, nil)
	login := b.mustSignIn()
	to, err := b.m.LogoutURL(t.Context(), login, oidctest.AfterLogout, "where to")
	if err != nil || !strings.HasPrefix(to, b.p.Issuer+"/end_session?") || !strings.Contains(to, "id_token_hint=") || !strings.Contains(to, "state=where+to") {
		t.Errorf("got %q, %v", to, err)
	}
	long := *login
	long.IDToken = secret.New(strings.Repeat("x", 5000))
	if to, err := b.m.LogoutURL(t.Context(), &long, oidctest.AfterLogout, ""); err != nil || len(to) > 4096 || !strings.Contains(to, "client_id=") {
		t.Errorf("got %d bytes, %v, want an address that servers take", len(to), err)
	}
	if err := b.m.Revoke(t.Context(), login); err != nil {
		t.Error(err)
	}
	if n := b.p.Stats().Revocations; n != 2 || b.p.Alive() != 0 {
		t.Errorf("got %d revocations and %d grants alive, want both tokens revoked", n, b.p.Alive())
	}
	b.p.Stop()
	if to, err := b.m.LogoutURL(t.Context(), login, oidctest.AfterLogout, ""); err != nil || to == "" {
		t.Errorf("while the provider is down: got %q, %v, want the address that is known", to, err)
	}
	b.mustBeDown(b.m.Revoke(t.Context(), login))
}

func TestLogoutTokens(t *testing.T) {
	b := newParty(t, nil, nil)
	claims := func() map[string]any { return b.p.LogoutClaims(oidctest.ClientID, oidctest.Subject, "sid-1") }
	raw := b.p.Sign(b.p.Header("logout+jwt"), claims())
	if subject, sid, err := b.m.LogoutToken(t.Context(), raw); err != nil || subject != oidctest.Subject || sid != "sid-1" {
		t.Errorf("got %q, %q, %v", subject, sid, err)
	}
	_, _, err := b.m.LogoutToken(t.Context(), raw)
	b.mustRefuse(err, "") // it came before
	for _, f := range oidctest.LogoutForgeries() {
		header, c := b.p.Header("logout+jwt"), claims()
		f.Forge(header, c)
		_, _, err := b.m.LogoutToken(t.Context(), b.p.Sign(header, c))
		if _, ok := errors.AsType[*auth.Refused](err); !ok {
			t.Errorf("%s: got %v, want it refused", f.Name, err)
		}
	}
	// An ID token signs nobody out.
	login := b.mustSignIn()
	_, _, err = b.m.LogoutToken(t.Context(), login.IDToken.Reveal())
	b.mustRefuse(err, "")
}

func TestClientsOwnTokens(t *testing.T) {
	b := newParty(t, nil, func(c *oidc.Config) { c.BearerAudiences = []string{"https://api.corp.test"} })
	bearers := oidc.NewBearers(b.m)
	ask := func(lines ...string) (*auth.Login, error) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = lines
		return bearers.Authenticate(r)
	}
	claims := func() map[string]any {
		now := time.Now()
		return map[string]any{"iss": b.p.Issuer, "sub": "robot", "aud": "https://api.corp.test", "client_id": "robot", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": "robots"}
	}
	login, err := ask("Bearer " + b.p.Sign(b.p.Header("at+jwt"), claims()))
	if err != nil || login.Identity.User != "robot" || login.Session != nil || fmt.Sprint(login.Identity.Groups) != "[robots]" || login.AccessToken.Value.IsZero() {
		t.Fatalf("got %+v, %v", login, err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	if _, err := bearers.Authenticate(r); !errors.Is(err, auth.ErrAnonymous) {
		t.Errorf("no token: got %v", err)
	}
	signed := b.mustSignIn()
	for name, lines := range map[string][]string{
		"an ID token":       {"Bearer " + signed.IDToken.Reveal()},
		"for another":       {"Bearer " + signed.AccessToken.Value.Reveal()},
		"another scheme":    {"Basic x"},
		"two":               {"Bearer a", "Bearer b"},
		"no JWT":            {"Bearer abc"},
		"empty":             {"Bearer "},
		"of another issuer": {"Bearer " + b.p.Sign(b.p.Header("at+jwt"), map[string]any{"iss": "https://evil.example"})},
	} {
		_, err := ask(lines...)
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_token" {
			t.Errorf("%s: got %v, want invalid_token", name, err)
		}
	}
	for name, change := range map[string]func(h, c map[string]any){
		"expired":        func(_, c map[string]any) { c["exp"] = time.Now().Add(-2 * time.Minute).Unix() },
		"no exp":         func(_, c map[string]any) { delete(c, "exp") },
		"no subject":     func(_, c map[string]any) { delete(c, "sub") },
		"no audience":    func(_, c map[string]any) { delete(c, "aud") },
		"alg none":       func(h, _ map[string]any) { h["alg"] = "none" },
		"a logout token": func(h, _ map[string]any) { h["typ"] = "logout+jwt" },
		"an ID token for both": func(h, c map[string]any) {
			h["typ"] = "JWT"
			c["aud"], c["nonce"] = []string{"https://api.corp.test", oidctest.ClientID}, "x"
		},
	} {
		h, c := b.p.Header("at+jwt"), claims()
		change(h, c)
		_, err := ask("Bearer " + b.p.Sign(h, c))
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_token" {
			t.Errorf("%s: got %v, want invalid_token", name, err)
		}
	}
}

func TestProbe(t *testing.T) {
	p := oidctest.Start(t, nil)
	got, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{})
	if err != nil || !got.PKCE || got.RefreshTokens != "yes" || !got.EndSession || !got.Revocation || !got.Backchannel || !got.PAR || got.Keys != 1 ||
		len(got.ClientAuth) != 3 || len(got.Warnings) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	p.Turn(func(k *idp.Knobs) {
		k.Metadata = func(md map[string]any) {
			md["grant_types_supported"] = []string{"authorization_code"}
			md["scopes_supported"] = []string{"openid"}
			delete(md, "end_session_endpoint")
			delete(md, "code_challenge_methods_supported")
		}
	})
	if got, err = oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{}); err != nil || got.RefreshTokens != "no" || len(got.Warnings) != 3 {
		t.Errorf("a poor provider: got %+v, %v, want three warnings", got, err)
	}
	for _, issuer := range []string{"http://corp.example", "ftp://x", p.Issuer + "/other"} {
		if _, err := oidc.Probe(t.Context(), issuer, oidc.ProbeOptions{}); err == nil {
			t.Errorf("%s: got no error", issuer)
		}
	}
}
