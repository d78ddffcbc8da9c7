package oidc_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
)

func dpopOn(c *oidc.Config) { c.DPoP = true }

// bound is a flow whose tokens are to be bound to a key that was made with it.
func (p *provider) bound() auth.Flow {
	p.t.Helper()
	key, err := dpop.NewKey()
	if err != nil {
		p.t.Fatal(err)
	}
	f := p.flow()
	f.Key = key
	return f
}

// completeAs begins with one flow and completes with another.
func (p *provider) completeAs(m *oidc.Method, begun, done auth.Flow) (*auth.Login, error) {
	p.t.Helper()
	to, err := m.Begin(p.t.Context(), begun)
	if err != nil {
		p.t.Fatal(err)
	}
	return m.Complete(p.t.Context(), done, p.SignIn(p.t, nil, to, "alice", oidctest.Alice.Password).Query())
}

// TestDPoP signs in and stays signed in at a provider that binds tokens and wants another
// nonce each time, by each way of client authentication. An assertion of the client is good
// once, as a proof is, a code and a refresh token.
func TestDPoP(t *testing.T) {
	const api = "https://api.test/"
	for name, way := range map[string]oidc.ClientAuth{idp.ClientSecretBasic: oidc.ClientSecretBasic, idp.ClientSecretPost: oidc.ClientSecretPost, idp.PrivateKeyJWT: oidc.PrivateKeyJWT} {
		for _, pushed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pushed %v", name, pushed), func(t *testing.T) {
				p := newProvider(t)
				want := func(nonce string) {
					p.Turn(func(k *idp.Knobs) {
						k.NoPAR, k.GrantNonce, k.UserinfoNonce = !pushed, "grants-"+nonce, "userinfo-"+nonce
					})
				}
				want("0")
				m := p.method(dpopOn, func(c *oidc.Config) {
					c.Userinfo, c.Resources = true, []string{api}
					if c.ClientAuth = way; way == oidc.PrivateKeyJWT {
						c.ClientKey, c.ClientSecret = testKeys()["ES256"], secret.Text{}
					}
				})
				client, _ := p.Client(p.ClientID)
				client.Auth, client.JWKS, client.DPoP = name, m.ClientJWKS(), true
				if err := p.SetClient(client); err != nil {
					t.Fatal(err)
				}
				f := p.bound()
				login, err := p.completeAs(m, f, f)
				if err != nil {
					t.Fatal(err)
				}
				if got := p.Stats().LastAuthorize.Get("dpop_jkt"); got != f.Key.Thumbprint() {
					t.Errorf("the code was asked for with dpop_jkt %q, want %q", got, f.Key.Thumbprint())
				}
				for i := range 3 {
					if login.Key.Reveal() != f.Key.Reveal() || login.AccessToken.Key.Reveal() != f.Key.Reveal() {
						t.Fatalf("after %d renewals the key is another one, or the token is bound to none", i)
					}
					want(fmt.Sprint(i + 1))
					p.advance(time.Minute)
					fresh, err := m.Refresh(t.Context(), login, "")
					if err != nil {
						t.Fatal(err)
					}
					if fresh.RefreshToken == login.RefreshToken || fresh.AccessToken.Value == login.AccessToken.Value {
						t.Error("nothing was renewed")
					}
					login = fresh
				}
				if login, err = m.Refresh(t.Context(), login, api); err != nil || login.Resources[api].Key == nil {
					t.Fatalf("the token for a resource: %v, want one that is bound", err)
				}
				exchanged, err := m.Exchange(t.Context(), login, "https://other.test/", "")
				if err != nil || exchanged.Key == nil {
					t.Fatalf("an exchanged token: %v, want one that is bound", err)
				}
				if err := m.Revoke(t.Context(), login); err != nil || p.LiveGrants(oidctest.Alice.Subject) != 0 {
					t.Errorf("Revoke: %v, %d grants live on", err, p.LiveGrants(oidctest.Alice.Subject))
				}
				// One challenge for each new nonce and none besides: the newest is remembered.
				s := p.Stats()
				if s.CodeGrants != 1 || s.RefreshGrants != 4 || s.Exchanges != 1 || s.TokenRequests != 6+4 || s.Userinfos != 4+4 || s.ReuseDetected != 0 || s.ProofsRepeated != 0 {
					t.Errorf("got %+v", s)
				}
			})
		}
	}
}

// TestDPoPIsRefusedWithout: whoever wants bound tokens takes no other, at sign-in and later.
func TestDPoPIsRefusedWithout(t *testing.T) {
	other, err := dpop.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*idp.Knobs)
		says  string
	}{
		"a Bearer token": {func(k *idp.Knobs) { k.NoDPoP = true }, "its type is not DPoP"},
		"a word for one": {func(k *idp.Knobs) { k.NoDPoP, k.TokenType = true, "DPoP" }, "no cnf.jkt"},
		"of another key": {func(k *idp.Knobs) {
			k.MutateAccessToken = func(_, c map[string]any) { c["cnf"] = map[string]any{"jkt": other.Thumbprint()} }
		}, "another key"},
		"of no type": {func(k *idp.Knobs) { k.TokenType = "N_A" }, "its type is not DPoP"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			m := p.method(dpopOn)
			p.Turn(c.spoil)
			f := p.bound()
			_, err := p.completeAs(m, f, f)
			refusedWith(t, "at sign-in", err)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want in it %q", err, c.says)
			}
			p.behave()
			login, err := p.completeAs(m, f, f)
			if err != nil {
				t.Fatal(err)
			}
			p.Turn(c.spoil)
			fresh, err := m.Refresh(t.Context(), login, "")
			if err != nil || fresh.AccessToken != login.AccessToken || fresh.RefreshToken == login.RefreshToken {
				t.Errorf("at a renewal: got %v, want the token of before, and the refresh token that came", err)
			}
			p.behave()
			if fresh, err = m.Refresh(t.Context(), fresh, ""); err != nil || fresh.AccessToken.Value == login.AccessToken.Value {
				t.Errorf("on a good day: %v, want a new token", err)
			}
		})
	}
}

// TestDPoPThatNobodyAskedFor: without a key the gateway could prove nothing.
func TestDPoPThatNobodyAskedFor(t *testing.T) {
	p := newProvider(t)
	p.Turn(func(k *idp.Knobs) { k.TokenType = "DPoP" })
	_, err := p.complete(p.method())
	refusedWith(t, "a token that is bound to something", err)
	if err == nil || !strings.Contains(err.Error(), "dpop: true") {
		t.Errorf("got %v, want to be told what to set", err)
	}
}

// TestCodeIsBound: a code that was stolen on its way is worth nothing with another key.
func TestCodeIsBound(t *testing.T) {
	p := newProvider(t)
	m := p.method(dpopOn)
	_, err := p.completeAs(m, p.bound(), p.bound())
	if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_grant" {
		t.Errorf("with another key: got %v, want invalid_grant", err)
	}
	// Begun before dpop was set: the code is bound to none, and the tokens are.
	login, err := p.completeAs(m, p.flow(), p.flow())
	if err != nil || login.Key == nil || login.AccessToken.Key != login.Key {
		t.Errorf("got %v, want a session with a key", err)
	}
}

// TestDPoPIsTurnedOnAndOff: sessions from before go on.
func TestDPoPIsTurnedOnAndOff(t *testing.T) {
	p := newProvider(t)
	plain, bound := p.method(), p.method(dpopOn)
	login := p.signIn(plain)
	if login.Key != nil || login.AccessToken.Key != nil {
		t.Fatal("there is a key that nobody asked for")
	}
	login, err := bound.Refresh(t.Context(), login, "")
	if err != nil || login.Key == nil || login.AccessToken.Key != login.Key {
		t.Fatalf("turned on: got %v, want a key and a token that is bound to it", err)
	}
	key := login.Key
	if login, err = bound.Refresh(t.Context(), login, ""); err != nil || login.Key != key {
		t.Fatalf("got %v, want the same key", err)
	}
	if login, err = plain.Refresh(t.Context(), login, ""); err != nil || login.Key != nil || login.AccessToken.Key != nil {
		t.Fatalf("turned off: got %v, want a Bearer token", err)
	}
}

// TestNoGrantTwice: what is no challenge of RFC 9449 section 8 was an answer to the grant,
// and a grant that was looked at is not sent again. A second challenge is no answer either.
func TestNoGrantTwice(t *testing.T) {
	const wants = `{"error":"use_dpop_nonce"}`
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		requests int
	}{
		"a challenge":                   {says(400, wants, "DPoP-Nonce", "always-the-same"), 2},
		"a challenge, by another word":  {says(400, `{"error":"invalid_dpop_proof"}`, "DPoP-Nonce", "n"), 1},
		"a challenge without a nonce":   {says(400, wants), 1},
		"a challenge with two nonces":   {says(400, wants, "DPoP-Nonce", "a b"), 1},
		"a challenge by 401":            {says(401, wants, "DPoP-Nonce", "n"), 1},
		"a challenge by 500":            {says(500, wants, "DPoP-Nonce", "n"), 1},
		"a challenge by 200":            {says(200, wants, "DPoP-Nonce", "n"), 1},
		"a page":                        {says(400, wants, "DPoP-Nonce", "n", "Content-Type", "text/html"), 1},
		"invalid_grant beside a nonce":  {says(400, `{"error":"invalid_grant"}`, "DPoP-Nonce", "n"), 1},
		"invalid_client beside a nonce": {says(401, `{"error":"invalid_client"}`, "DPoP-Nonce", "n"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.answer = func(out map[string]any) { out["token_type"] = "DPoP" }
			m := p.method(dpopOn)
			login := p.signIn(m)
			before := p.count(pathToken)
			p.handle(pathToken, c.answer)
			_, err := m.Refresh(t.Context(), login, "")
			if got := p.count(pathToken) - before; err == nil || got != c.requests {
				t.Errorf("got %v after %d requests, want an error after %d", err, got, c.requests)
			}
			if _, refused := errors.AsType[*auth.Refused](err); refused != strings.HasPrefix(name, "invalid_grant") {
				t.Errorf("got %v: only invalid_grant ends a session", err)
			}
		})
	}
	t.Run("a challenge, and another", func(t *testing.T) {
		p := newOP(t)
		p.answer = func(out map[string]any) { out["token_type"] = "DPoP" }
		m := p.method(dpopOn)
		login := p.signIn(m)
		n := 0
		p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
			n++
			says(400, wants, "DPoP-Nonce", fmt.Sprint("nonce-", n))(w, r)
		})
		_, err := m.Refresh(t.Context(), login, "")
		if e, ok := errors.AsType[*oidc.Error](err); !ok || e.Code != "use_dpop_nonce" || n != 2 {
			t.Errorf("got %v after %d requests, want use_dpop_nonce after 2", err, n)
		}
	})
}

// TestUserinfoWithProof: the endpoint may want a nonce of its own, tells it in any answer,
// and is asked twice at most.
func TestUserinfoWithProof(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func(n int) http.HandlerFunc
		requests int
	}{
		"another nonce each time": {func(n int) http.HandlerFunc { return says(401, `{}`, "DPoP-Nonce", fmt.Sprint("nonce-", n)) }, 2},
		"no nonce":                {func(int) http.HandlerFunc { return says(401, `{}`) }, 1},
		"an outage":               {func(n int) http.HandlerFunc { return says(503, `{}`, "DPoP-Nonce", fmt.Sprint("nonce-", n)) }, 1},
	} {
		p := newOP(t)
		p.answer = func(out map[string]any) { out["token_type"] = "DPoP" }
		m := p.method(dpopOn, func(c *oidc.Config) { c.Userinfo = true })
		n := 0
		p.handle(pathInfo, func(w http.ResponseWriter, r *http.Request) {
			if n++; !strings.HasPrefix(r.Header.Get("Authorization"), "DPoP access-") || len(r.Header["Dpop"]) != 1 {
				t.Errorf("%s: it was asked with %v", name, r.Header)
			}
			c.answer(n)(w, r)
		})
		_, err := p.complete(m)
		unavailable(t, name, err)
		if n != c.requests {
			t.Errorf("%s: got %d requests, want %d", name, n, c.requests)
		}
	}
}

// TestProviderThatListsNoDPoP: the operator is told before anybody wonders.
func TestProviderThatListsNoDPoP(t *testing.T) {
	for listed, told := range map[string]bool{"ES256": false, "RS256": true, "": true} {
		p := newProvider(t)
		var log lockedBuffer
		p.Turn(func(k *idp.Knobs) {
			k.MutateMetadata = func(m map[string]any) {
				if m["dpop_signing_alg_values_supported"] = []string{listed}; listed == "" {
					delete(m, "dpop_signing_alg_values_supported")
				}
			}
		})
		m := p.method(dpopOn, func(c *oidc.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		f := p.bound()
		if _, err := p.completeAs(m, f, f); err != nil { // it binds them all the same
			t.Errorf("%q: %v", listed, err)
		}
		if got := strings.Contains(log.String(), "event=provider.dpop"); got != told {
			t.Errorf("%q: told %v, want %v", listed, got, told)
		}
		probed, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{})
		if err != nil || probed.DPoP == told {
			t.Errorf("%q: the probe says %v, %v", listed, probed.DPoP, err)
		}
	}
}
