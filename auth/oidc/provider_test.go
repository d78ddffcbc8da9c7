package oidc_test

import (
	"errors"
	"net/url"
	"slices"
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

// provider is oidctest's, and the clock that it shares with a Method.
type provider struct {
	*oidctest.Provider
	t     *testing.T
	ahead atomic.Int64 // how far the clock is, in nanoseconds
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	p.Provider = oidctest.Start(t, oidctest.Config(func(c *idp.Config) {
		c.Now = p.now
		c.Clients[0].RedirectURIs = []string{redirectURI}
	}))
	return p
}

func (p *provider) now() time.Time          { return time.Now().Add(time.Duration(p.ahead.Load())) }
func (p *provider) advance(d time.Duration) { p.ahead.Add(int64(d)) }
func (p *provider) behave()                 { p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} }) }

// within has p belong to a subtest until that ends.
func (p *provider) within(t *testing.T) {
	whole := p.t
	p.t = t
	t.Cleanup(func() { p.t = whole })
}

func (p *provider) method(edit ...func(*oidc.Config)) *oidc.Method {
	p.t.Helper()
	cfg := oidc.Config{Name: "corp", Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: secret.New(p.ClientSecret), Now: p.now, Timeout: 5 * time.Second,
		Claims: oidc.ClaimMap{User: []string{"preferred_username"}}, RootCAs: p.RootCAs}
	for _, e := range edit {
		e(&cfg)
	}
	m, err := oidc.New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = m.Close() })
	return m
}

// flow is one attempt.
func (p *provider) flow() auth.Flow {
	return auth.Flow{State: "state-word", Nonce: "nonce-word", Verifier: strings.Repeat("verifier-word", 4), RedirectURI: redirectURI, Started: p.now()}
}

func (p *provider) complete(m *oidc.Method) (*auth.Login, error) {
	p.t.Helper()
	f := p.flow()
	to, err := m.Begin(p.t.Context(), f)
	if err != nil {
		return nil, err
	}
	return m.Complete(p.t.Context(), f, p.SignIn(p.t, nil, to, "alice", oidctest.Alice.Password).Query())
}

func (p *provider) signIn(m *oidc.Method) *auth.Login {
	p.t.Helper()
	login, err := p.complete(m)
	if err != nil {
		p.t.Fatalf("sign-in: %v", err)
	}
	return login
}

// TestEveryWay signs in and stays signed in, by each way of client
// authentication, with the request through the browser and pushed.
func TestEveryWay(t *testing.T) {
	for name, way := range map[string]oidc.ClientAuth{idp.ClientSecretBasic: oidc.ClientSecretBasic, idp.ClientSecretPost: oidc.ClientSecretPost, idp.PrivateKeyJWT: oidc.PrivateKeyJWT} {
		for _, pushed := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", pushed", false: ""}[pushed], func(t *testing.T) {
				p := newProvider(t)
				p.Turn(func(k *idp.Knobs) { k.NoPAR = !pushed })
				m := p.method(func(c *oidc.Config) {
					if c.ClientAuth = way; way == oidc.PrivateKeyJWT {
						c.ClientKey, c.ClientSecret = testKeys()["ES256"], secret.Text{}
					}
					c.Userinfo = true
				})
				client, _ := p.Client(p.ClientID)
				client.Auth, client.JWKS = name, m.ClientJWKS()
				if err := p.SetClient(client); err != nil {
					t.Fatal(err)
				}
				login := p.signIn(m)
				if id := login.Identity; id.Subject != oidctest.Alice.Subject || id.User != "alice" || id.Name != oidctest.Alice.Name || !id.EmailVerified || !slices.Equal(id.Groups, oidctest.Alice.Groups) || login.SID == "" {
					t.Errorf("got %+v", id)
				}
				person := oidctest.Alice
				person.Groups = []string{"board"}
				if err := p.SetUser(person); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					p.advance(time.Minute)
					fresh, err := m.Refresh(t.Context(), login, "")
					if err != nil {
						t.Fatal(err)
					}
					if fresh.RefreshToken == login.RefreshToken || fresh.AccessToken == login.AccessToken || !slices.Equal(fresh.Identity.Groups, []string{"board"}) {
						t.Errorf("got %+v, want everything anew", fresh.Identity)
					}
					login = fresh
				}
				s := p.Stats()
				if (s.PARs == 1) != pushed || s.CodeGrants != 1 || s.RefreshGrants != 3 || s.TokenRequests != 4 || s.ReuseDetected != 0 || s.Discoveries != 1 ||
					!slices.Equal(s.LastTokenAuthMethods, []string{name}) || s.LastTokenForm.Has("scope") {
					t.Errorf("got %d pushed, %d code grants, %d renewals in %d requests, %d discoveries, by %v", s.PARs, s.CodeGrants, s.RefreshGrants, s.TokenRequests, s.Discoveries, s.LastTokenAuthMethods)
				}
				if pushed && len(s.LastAuthorizeQuery) != 2 {
					t.Errorf("through the browser went %v", s.LastAuthorizeQuery)
				}
				if err := m.Revoke(t.Context(), login); err != nil {
					t.Errorf("Revoke: %v", err)
				}
				if p.LiveGrants(oidctest.Alice.Subject) != 0 {
					t.Error("the grant lives on")
				}
				_, err := m.Refresh(t.Context(), login, "")
				refusedWith(t, "after revocation", err)
			})
		}
	}
}

// TestBadDays: the same session goes on when the provider is itself again.
func TestBadDays(t *testing.T) {
	for name, spoil := range map[string]func(*idp.Knobs){
		"down":                 func(k *idp.Knobs) { k.Down = true },
		"503 to all":           func(k *idp.Knobs) { k.TokenStatus = 503 },
		"429":                  func(k *idp.Knobs) { k.TokenStatus, k.RetryAfter = 429, "1" },
		"500 invalid_grant":    func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 500, "invalid_grant" },
		"invalid_client":       func(k *idp.Knobs) { k.TokenStatus, k.TokenError = 401, "invalid_client" },
		"it hangs up":          func(k *idp.Knobs) { k.DropBefore = true },
		"it hangs":             func(k *idp.Knobs) { k.Hang = true },
		"a page":               func(k *idp.Knobs) { k.HTMLBody = true },
		"a redirect":           func(k *idp.Knobs) { k.Redirect = "https://evil.example/" },
		"without rotation":     func(k *idp.Knobs) { k.NoRotation, k.OmitAccessToken = true, true },
		"without rotation, {":  func(k *idp.Knobs) { k.NoRotation, k.MalformedJSON = true, true },
		"without rotation, 4M": func(k *idp.Knobs) { k.NoRotation, k.HugeBody = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			m := p.method(func(c *oidc.Config) { c.Timeout = time.Second })
			login := p.signIn(m)
			p.Turn(spoil)
			_, err := m.Refresh(t.Context(), login, "")
			unavailable(t, name, err)
			p.behave()
			p.advance(time.Minute)
			if _, err := m.Refresh(t.Context(), login, ""); err != nil {
				t.Errorf("on a good day: got %v", err)
			}
			if s := p.Stats(); s.ReuseDetected != 0 {
				t.Errorf("the provider takes us for a thief %d times", s.ReuseDetected)
			}
		})
	}
}

// TestSmallFaults are no reason to give anything up.
func TestSmallFaults(t *testing.T) {
	for name, spoil := range map[string]func(*idp.Knobs){
		"no rotation":       func(k *idp.Knobs) { k.NoRotation = true },
		"no ID token":       func(k *idp.Knobs) { k.OmitIDToken = true },
		"no expires_in":     func(k *idp.Knobs) { k.OmitExpiresIn = true },
		"expires_in, text":  func(k *idp.Knobs) { k.ExpiresInString = true },
		"opaque tokens":     func(k *idp.Knobs) { k.OpaqueAccessTokens = true },
		"a bad ID token":    func(k *idp.Knobs) { k.MutateIDToken = func(_, c map[string]any) { c["iss"] = "https://evil.example" } },
		"a minute ahead":    func(k *idp.Knobs) { k.ClockSkew = 58 * time.Second },
		"a minute behind":   func(k *idp.Knobs) { k.ClockSkew = -58 * time.Second },
		"no access token":   func(k *idp.Knobs) { k.OmitAccessToken = true },
		"userinfo is away":  func(k *idp.Knobs) { k.UserinfoStatus = 503 },
		"userinfo refuses":  func(k *idp.Knobs) { k.UserinfoStatus = 401 },
		"signed userinfo":   func(k *idp.Knobs) { k.SignedUserinfo = true },
		"discovery is away": func(k *idp.Knobs) { k.DiscoveryStatus = 500 },
		"keys are away":     func(k *idp.Knobs) { k.JWKSStatus = 500 },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			m := p.method(func(c *oidc.Config) { c.Userinfo = true })
			login := p.signIn(m)
			p.Turn(spoil)
			for i := range 3 {
				fresh, err := m.Refresh(t.Context(), login, "")
				if err != nil {
					t.Fatalf("renewal %d: %v", i, err)
				}
				if id := fresh.Identity; id.User != "alice" || !slices.Equal(id.Groups, oidctest.Alice.Groups) {
					t.Errorf("got %+v", id)
				}
				login = fresh
			}
			if s := p.Stats(); s.RefreshGrants != 3 || s.ReuseDetected != 0 {
				t.Errorf("got %d renewals, %d reused", s.RefreshGrants, s.ReuseDetected)
			}
		})
	}
}

// TestLostAnswer: what was spent without an answer is an outage, and then the
// provider's clear no. Nothing is sent a second time by itself.
func TestLostAnswer(t *testing.T) {
	p := newProvider(t)
	m := p.method()
	login := p.signIn(m)
	p.Turn(func(k *idp.Knobs) { k.Drop = true })
	_, err := m.Refresh(t.Context(), login, "")
	unavailable(t, "the answer is lost", err)
	if s := p.Stats(); s.TokenRequests != 2 {
		t.Errorf("got %d requests, want one for each grant", s.TokenRequests)
	}
	p.behave()
	_, err = m.Refresh(t.Context(), login, "")
	if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_grant" {
		t.Errorf("got %v, want invalid_grant", err)
	}
}

// TestSpentAtDex: its word for it is another.
func TestSpentAtDex(t *testing.T) {
	p := newProvider(t)
	m := p.method(func(c *oidc.Config) { c.Kind = oidc.KindDex })
	login := p.signIn(m)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Fatal(err)
	}
	p.Turn(func(k *idp.Knobs) { k.ReuseError = "invalid_request" })
	_, err := m.Refresh(t.Context(), login, "")
	refusedWith(t, "invalid_request of dex", err)
}

func TestKeysRotateThere(t *testing.T) {
	for name, rotate := range map[string]func(*provider) error{
		"at once":           func(p *provider) error { return p.RotateKeys() },
		"the old ones stay": func(p *provider) error { return p.RotateKeysKeepingOld() },
	} {
		p := newProvider(t)
		m := p.method()
		login := p.signIn(m)
		for range 3 {
			if err := rotate(p); err != nil {
				t.Fatal(err)
			}
			p.signIn(m)
			fresh, err := m.Refresh(t.Context(), login, "")
			if err != nil || fresh.IDToken == login.IDToken {
				t.Errorf("%s: got %v, want a renewal with its ID token", name, err)
			}
			login = fresh
			p.advance(10 * time.Second)
		}
	}
}

func TestClocksThatDisagree(t *testing.T) {
	for skew, ok := range map[time.Duration]bool{58 * time.Second: true, -58 * time.Second: true, 10 * time.Minute: false, -2 * time.Hour: false} {
		p := newProvider(t)
		p.Turn(func(k *idp.Knobs) { k.ClockSkew = skew })
		if _, err := p.complete(p.method()); (err == nil) != ok {
			t.Errorf("%v apart: got %v, want signed in %v", skew, err, ok)
		}
	}
}

// TestMixUp: what another issuer answers goes nowhere.
func TestMixUp(t *testing.T) {
	for name, spoil := range map[string]func(*idp.Knobs){
		"another issuer": func(k *idp.Knobs) { k.WrongIss = "https://evil.example" },
		"no issuer":      func(k *idp.Knobs) { k.OmitIss = true },
		"two codes":      func(k *idp.Knobs) { k.MutateCallback = func(v url.Values) { v.Add("code", "other") } },
		"access_denied":  func(k *idp.Knobs) { k.RefuseAuthorize = "access_denied" },
	} {
		p := newProvider(t)
		p.Turn(spoil)
		_, err := p.complete(p.method())
		refusedWith(t, name, err)
		if n := p.Stats().TokenRequests; n != 0 {
			t.Errorf("%s: got %d requests with the code", name, n)
		}
	}
}

func TestAnotherSubjectThere(t *testing.T) {
	p := newProvider(t)
	m := p.method()
	login := p.signIn(m)
	p.Turn(func(k *idp.Knobs) { k.ChangedSubject = oidctest.Bob.Subject })
	_, err := m.Refresh(t.Context(), login, "")
	refusedWith(t, "another subject", err)
	if p.LiveGrants(oidctest.Alice.Subject) != 0 {
		t.Error("the tokens that came are good still, and nobody knows of them")
	}
}

func TestSignOutThere(t *testing.T) {
	p := newProvider(t)
	m := p.method(func(c *oidc.Config) { c.Once = once(nil) })
	login := p.signIn(m)
	to, err := m.LogoutURL(t.Context(), login, oidctest.Landing, "state-out")
	if err != nil {
		t.Fatal(err)
	}
	if back := p.SignIn(t, nil, to, "alice", oidctest.Alice.Password); !strings.HasPrefix(back.String(), oidctest.Landing+"?") || back.Query().Get("state") != "state-out" {
		t.Errorf("came back to %s", back)
	}
	raw := p.LogoutToken(p.ClientID, oidctest.Alice.Subject, login.SID)
	subject, sid, err := m.LogoutToken(t.Context(), raw)
	if err != nil || subject != oidctest.Alice.Subject || sid != login.SID {
		t.Errorf("got %q %q %v", subject, sid, err)
	}
	_, _, err = m.LogoutToken(t.Context(), raw)
	refusedWith(t, "once more", err)
	_, _, err = m.LogoutToken(t.Context(), login.IDToken.Reveal())
	refusedWith(t, "an ID token", err)
}

func TestResourceThere(t *testing.T) {
	p := newProvider(t)
	const api = "https://api.test/"
	m := p.method(func(c *oidc.Config) { c.Resources, c.BearerAudiences = []string{api}, []string{api} })
	login := p.signIn(m)
	fresh, err := m.Refresh(t.Context(), login, api)
	if err != nil {
		t.Fatal(err)
	}
	token := fresh.Resources[api].Value.Reveal()
	client, err := oidc.NewBearers(m).Authenticate(withHeader("Bearer " + token))
	if err != nil || client.Identity.Subject != oidctest.Alice.Subject {
		t.Errorf("the token for %s: got %v, %v, want it good there", api, client, err)
	}
	if _, err := oidc.NewBearers(m).Authenticate(withHeader("Bearer " + fresh.IDToken.Reveal())); err == nil {
		t.Error("an ID token opens the API")
	}
}

func TestProbeThere(t *testing.T) {
	p := newProvider(t)
	got, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{})
	if err != nil || got.Issuer != p.Issuer || !got.PKCE || got.RefreshTokens != "yes" || !got.EndSession || !got.Revocation || !got.BackchannelLogout ||
		!got.PAR || !got.IssParameter || got.Keys == 0 || len(got.ClientAuthMethods) != 3 || len(got.IDTokenAlgs) == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
