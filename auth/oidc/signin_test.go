package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
)

// party is a relying party next to its provider.
type party struct {
	*testing.T
	p   *oidctest.Provider
	m   *oidc.Method
	log *logs

	mu    sync.Mutex
	shift time.Duration // of our clock
}

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (b *party) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.shift)
}

func (b *party) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shift += d
}

func newParty(t *testing.T, provider func(*idp.Config), edit func(*oidc.Config)) *party {
	t.Helper()
	b := &party{T: t, log: &logs{}}
	b.p = oidctest.Start(t, func(cfg *idp.Config) {
		cfg.Now = b.now
		if provider != nil {
			provider(cfg)
		}
	})
	b.m = b.method(edit)
	return b
}

func (b *party) method(edit func(*oidc.Config)) *oidc.Method {
	b.Helper()
	used := map[string]bool{}
	cfg := oidc.Config{
		Name: "corp", Issuer: b.p.Issuer, ClientID: oidctest.ClientID, ClientSecret: secret.New(oidctest.ClientSecret),
		Timeout: 5 * time.Second, Now: b.now, Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Once: func(_ context.Context, name string, _ time.Time) (bool, error) {
			first := !used[name]
			used[name] = true
			return first, nil
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	m, err := oidc.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	return m
}

func flow() auth.Flow {
	return auth.Flow{State: "state-" + rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(), RedirectURI: oidctest.Callback, Started: time.Now()}
}

// signIn goes all the way.
func (b *party) signIn() (*auth.Login, error) {
	b.Helper()
	f := flow()
	to, err := b.m.Begin(b.Context(), f)
	if err != nil {
		return nil, err
	}
	answer := b.p.SignIn(b.T, to)
	if answer.Get("state") != f.State {
		b.Fatalf("the state came back as %q", answer.Get("state"))
	}
	return b.m.Complete(b.Context(), f, answer)
}

func (b *party) mustSignIn() *auth.Login {
	b.Helper()
	login, err := b.signIn()
	if err != nil {
		b.Fatalf("sign in: %v\n%s", err, b.log)
	}
	return login
}

func (b *party) mustRefuse(err error, code string) {
	b.Helper()
	refused, ok := errors.AsType[*auth.Refused](err)
	if !ok || refused.Code != code {
		b.Errorf("got %v, want refused with code %q", err, code)
	}
}

func (b *party) mustBeDown(err error) *auth.Unavailable {
	b.Helper()
	u, ok := errors.AsType[*auth.Unavailable](err)
	if !ok {
		b.Errorf("got %v, want unavailable", err)
		return &auth.Unavailable{}
	}
	return u
}

func TestSignIn(t *testing.T) {
	b := newParty(t, nil, func(c *oidc.Config) { c.Prefix = "corp/" })
	login := b.mustSignIn()
	id := &login.Identity
	if id.Provider != "corp" || id.Subject != oidctest.Subject || id.User != "corp/"+oidctest.Subject || id.Name != "Alice of Corp" ||
		id.Email != "alice@corp.test" || !id.EmailVerified || !slices.Equal(id.Groups, []string{"staff", "wiki"}) {
		t.Errorf("got %+v", id)
	}
	if login.RefreshToken.IsZero() || login.IDToken.IsZero() || login.SID == "" || !login.Until.IsZero() || !slices.Equal(login.AMR, []string{"pwd"}) {
		t.Errorf("got refresh token %v, ID token %v, sid %q, until %v, amr %v", login.RefreshToken, login.IDToken, login.SID, login.Until, login.AMR)
	}
	if life := login.AccessToken.Expires.Sub(login.AccessToken.Issued); life != 10*time.Minute {
		t.Errorf("got a life of %v, want 10m", life)
	}
	s := b.p.Stats()
	q := s.LastAuthorize
	if s.Pushed != 1 || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Has("response_mode") ||
		q.Get("scope") != "openid profile email offline_access" {
		t.Errorf("the request was %v, pushed %d times", q, s.Pushed)
	}
	if !s.LastBasic || s.LastToken.Has("client_secret") || s.LastToken.Has("client_id") {
		t.Errorf("client authentication: basic %v beside %v, want exactly one", s.LastBasic, s.LastToken)
	}
	for _, word := range []string{login.RefreshToken.Reveal(), login.AccessToken.Value.Reveal(), login.IDToken.Reveal(), oidctest.ClientSecret} {
		if strings.Contains(b.log.String(), word) {
			t.Error("the log holds a secret")
		}
	}
}

func TestWithoutPARTheRequestIsInTheAddress(t *testing.T) {
	age := time.Hour
	b := newParty(t, nil, func(c *oidc.Config) {
		c.Prompt, c.LoginHint, c.ACRValues, c.UILocales, c.MaxAge = "consent", "alice@corp.test", "mfa", "de en", &age
		c.Extra = map[string]string{"domain_hint": "corp.test", "state": "planted", "response_mode": "fragment", "code_challenge_method": "plain"}
	})
	b.p.Turn(func(k *idp.Knobs) {
		k.Metadata = func(md map[string]any) { delete(md, "pushed_authorization_request_endpoint") }
	})
	f := flow()
	to, err := b.m.Begin(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(to)
	q := u.Query()
	sum := sha256.Sum256([]byte(f.Verifier))
	for name, want := range map[string]string{"state": f.State, "nonce": f.Nonce, "redirect_uri": oidctest.Callback, "prompt": "consent",
		"login_hint": "alice@corp.test", "acr_values": "mfa", "ui_locales": "de en", "max_age": "3600", "domain_hint": "corp.test",
		"response_mode": "", "code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:])} {
		if got := q.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f.Prompt = "select_account"
	to, _ = b.m.Begin(t.Context(), f)
	u, _ = url.Parse(to)
	if q := u.Query(); q.Get("prompt") != "select_account" || q.Has("login_hint") {
		t.Errorf("another account: got %v", q)
	}
}

func TestEveryForgedIDTokenIsRefused(t *testing.T) {
	b := newParty(t, nil, nil)
	b.mustSignIn()
	for _, f := range oidctest.Forgeries(b.p) {
		t.Run(f.Name, func(t *testing.T) {
			b := &party{T: t, p: b.p, m: b.m, log: b.log}
			b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{}; f.Turn(k) })
			login, err := b.signIn()
			if login != nil {
				t.Fatalf("signed in as %+v", login.Identity)
			}
			b.mustRefuse(err, "")
		})
	}
	b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
	b.mustSignIn()
}

func TestWhatIsRightIsNotRefused(t *testing.T) {
	for name, turn := range map[string]func(*idp.Knobs){
		"several audiences and azp": func(k *idp.Knobs) {
			k.IDToken = func(_, c map[string]any) {
				c["aud"], c["azp"] = []string{"x", oidctest.ClientID}, oidctest.ClientID
			}
		},
		"no typ":                 func(k *idp.Knobs) { k.IDToken = func(h, _ map[string]any) { delete(h, "typ") } },
		"no kid with one key":    func(k *idp.Knobs) { k.IDToken = func(h, _ map[string]any) { delete(h, "kid") } },
		"no at_hash":             func(k *idp.Knobs) { k.IDToken = func(_, c map[string]any) { delete(c, "at_hash") } },
		"a clock 50 s ahead":     func(k *idp.Knobs) { k.Skew = 50 * time.Second },
		"a clock 50 s behind":    func(k *idp.Knobs) { k.Skew = -50 * time.Second },
		"expires_in as text":     func(k *idp.Knobs) { k.Set = map[string]any{"expires_in": "600"} },
		"token_type in capitals": func(k *idp.Knobs) { k.Set = map[string]any{"token_type": "BEARER"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newParty(t, nil, nil)
			b.p.Turn(turn)
			b.mustSignIn()
		})
	}
}

func TestNoKidWithSeveralKeysIsRefused(t *testing.T) {
	b := newParty(t, nil, nil)
	b.p.RotateKeysKeepingOld()
	b.p.Turn(func(k *idp.Knobs) { k.IDToken = func(h, _ map[string]any) { delete(h, "kid") } })
	_, err := b.signIn()
	b.mustRefuse(err, "")
}

func TestCallback(t *testing.T) {
	for _, c := range []struct {
		name string
		turn func(*idp.Knobs)
		edit func(url.Values)
		code string
	}{
		{"the provider says no", func(k *idp.Knobs) { k.AuthorizeError = "access_denied" }, nil, "access_denied"},
		{"an error that is no code", func(k *idp.Knobs) { k.AuthorizeError = "<script>" }, nil, "unreadable"},
		{"RFC 9207: another issuer", func(k *idp.Knobs) { k.Iss = "https://evil.example" }, nil, ""},
		{"RFC 9207: no issuer where there always is one", func(k *idp.Knobs) { k.Iss = "none" }, nil, ""},
		{"no code", nil, func(q url.Values) { q.Del("code") }, ""},
		{"two codes", nil, func(q url.Values) { q.Add("code", "another") }, ""},
		{"a code of nobody's", nil, func(q url.Values) { q.Set("code", "made-up") }, "invalid_grant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newParty(t, nil, nil)
			if c.turn != nil {
				b.p.Turn(c.turn)
			}
			f := flow()
			to, err := b.m.Begin(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			answer := b.p.SignIn(t, to)
			if c.edit != nil {
				c.edit(answer)
			}
			_, err = b.m.Complete(t.Context(), f, answer)
			b.mustRefuse(err, c.code)
			if c.name != "a code of nobody's" && b.p.Stats().TokenRequests != 0 {
				t.Error("the token endpoint was asked")
			}
		})
	}
}

func TestVerifierAndNonceBindTheFlow(t *testing.T) {
	for name, change := range map[string]func(*auth.Flow){
		"another verifier": func(f *auth.Flow) { f.Verifier = rand.Text() + rand.Text() },
		"another nonce":    func(f *auth.Flow) { f.Nonce = "another" },
	} {
		b := newParty(t, nil, nil)
		f := flow()
		to, err := b.m.Begin(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		answer := b.p.SignIn(t, to)
		change(&f)
		if _, err := b.m.Complete(t.Context(), f, answer); err == nil {
			t.Errorf("%s: signed in", name)
		}
	}
}

func TestClientAuthentication(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]struct {
		client func(*idp.Client)
		edit   func(*oidc.Config)
	}{
		"post":        {func(c *idp.Client) { c.Auth = "client_secret_post" }, func(c *oidc.Config) { c.ClientAuth = oidc.ClientSecretPost }},
		"RSA key":     {func(c *idp.Client) { c.Key = rsaKey.Public() }, func(c *oidc.Config) { c.ClientKey = rsaKey }},
		"P-256 key":   {func(c *idp.Client) { c.Key = ecKey.Public() }, func(c *oidc.Config) { c.ClientKey = ecKey }},
		"Ed25519 key": {func(c *idp.Client) { c.Key = edKey.Public() }, func(c *oidc.Config) { c.ClientKey = edKey }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newParty(t, func(cfg *idp.Config) {
				c.client(&cfg.Clients[0])
				if cfg.Clients[0].Key != nil {
					cfg.Clients[0].Auth, cfg.Clients[0].Secret = "private_key_jwt", ""
				}
			}, func(cfg *oidc.Config) {
				c.edit(cfg)
				if cfg.ClientKey != nil {
					cfg.ClientAuth, cfg.ClientSecret = oidc.PrivateKeyJWT, secret.Text{}
				}
			})
			login := b.mustSignIn()
			if _, err := b.m.Refresh(t.Context(), login, ""); err != nil {
				t.Error(err)
			}
			s := b.p.Stats()
			if s.LastBasic || s.LastToken.Has("client_secret") == s.LastToken.Has("client_assertion") {
				t.Errorf("got %v beside Basic %v, want exactly one proof", s.LastToken, s.LastBasic)
			}
			if jwks := string(b.m.ClientJWKS()); s.LastToken.Has("client_assertion") && (!strings.Contains(jwks, `"kid"`) || strings.Contains(jwks, `"d"`)) {
				t.Errorf("the public half is %s", jwks)
			}
		})
	}
}

func TestDiscoveryIsLazyAndLasts(t *testing.T) {
	b := newParty(t, nil, nil)
	if n := b.p.Stats().Discoveries; n != 0 {
		t.Errorf("New asked the provider %d times", n)
	}
	b.p.Turn(func(k *idp.Knobs) { k.Down = true })
	_, err := b.signIn()
	b.mustBeDown(err)
	if s := b.m.State(); s.Discovered || s.LastError == "" {
		t.Errorf("got state %+v, want an outage", s)
	}
	b.p.Turn(func(k *idp.Knobs) { k.Down = false })
	b.advance(time.Minute)
	login := b.mustSignIn()
	if n := b.p.Stats().Discoveries; n != 1 {
		t.Errorf("got %d discoveries, want 1", n)
	}
	// Metadata that are old are refreshed beside, and kept where that fails.
	b.advance(30 * time.Hour)
	b.p.Turn(func(k *idp.Knobs) { k.Metadata = func(md map[string]any) { md["issuer"] = "https://evil.example" } })
	if _, err := b.m.Refresh(t.Context(), login, ""); err != nil {
		if _, refused := errors.AsType[*auth.Refused](err); !refused { // its refresh token is over by now
			t.Error(err)
		}
	}
	if b.m.State(); !b.m.State().Discovered {
		t.Error("the last good metadata are gone")
	}
}

func TestMetadataThatCannotBeTrusted(t *testing.T) {
	for name, change := range map[string]func(md map[string]any){
		"of another issuer":            func(md map[string]any) { md["issuer"] = "https://evil.example" },
		"of the issuer with a slash":   func(md map[string]any) { md["issuer"] = md["issuer"].(string) + "/" },
		"of many tenants":              func(md map[string]any) { md["issuer"] = "https://login.example/{tenantid}/v2.0" },
		"a token endpoint without TLS": func(md map[string]any) { md["token_endpoint"] = "http://corp.example/token" },
		"no token endpoint":            func(md map[string]any) { delete(md, "token_endpoint") },
		"keys on another scheme":       func(md map[string]any) { md["jwks_uri"] = "file:///etc/passwd" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newParty(t, nil, nil)
			b.p.Turn(func(k *idp.Knobs) { k.Metadata = change })
			_, err := b.signIn()
			b.mustBeDown(err)
		})
	}
}

func TestKeysRotateWithoutAFailedSignIn(t *testing.T) {
	b := newParty(t, nil, nil)
	for range 3 {
		b.mustSignIn()
		b.p.RotateKeys()
	}
	b.mustSignIn()
	// Keys that cannot be fetched do not stop those that are known.
	b.p.Turn(func(k *idp.Knobs) { k.KeysStatus = 500 })
	b.advance(2 * time.Hour)
	b.mustSignIn()
}

func TestUnknownKeysAreNotFetchedForEverySingleToken(t *testing.T) {
	b := newParty(t, nil, nil)
	b.mustSignIn()
	before := b.p.Stats().KeyFetches
	b.p.Turn(func(k *idp.Knobs) { k.IDToken = func(h, _ map[string]any) { h["kid"] = rand.Text() } })
	for range 10 {
		_, err := b.signIn()
		b.mustRefuse(err, "")
	}
	if n := b.p.Stats().KeyFetches - before; n > 3 {
		t.Errorf("ten made-up kids had the keys fetched %d times, want 3 at most", n)
	}
}

func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name   string
		claims map[string]any
		edit   func(*oidc.Config)
		check  func(id *auth.Identity) bool
	}{
		{"a path with dots, and a list of them", map[string]any{"realm_access": map[string]any{"roles": []string{"r1", "staff"}}},
			func(c *oidc.Config) { c.Claims.Groups = []string{"groups", "realm_access.roles"} },
			func(id *auth.Identity) bool { return slices.Equal(id.Groups, []string{"staff", "wiki", "r1"}) }},
		{"a claim with dots in its name", map[string]any{"https://corp.test/roles": "boss"},
			func(c *oidc.Config) { c.Claims.Groups = []string{"https://corp.test/roles"} },
			func(id *auth.Identity) bool { return slices.Equal(id.Groups, []string{"boss"}) }},
		{"a path behind a claim with dots in its name", map[string]any{"https://corp.test/x": map[string]any{"roles": []string{"boss"}}},
			func(c *oidc.Config) { c.Claims.Groups = []string{"https://corp.test/x.roles"} },
			func(id *auth.Identity) bool { return slices.Equal(id.Groups, []string{"boss"}) }},
		{"the user by another claim", nil, func(c *oidc.Config) { c.Claims.User = []string{"upn", "preferred_username"} },
			func(id *auth.Identity) bool { return id.User == "alice" }},
		{"the user falls back to the subject", nil, func(c *oidc.Config) { c.Claims.User = []string{"upn"} },
			func(id *auth.Identity) bool { return id.User == oidctest.Subject }},
		{"an address that is not verified", map[string]any{"email_verified": false}, nil, func(id *auth.Identity) bool { return !id.EmailVerified }},
		{"an address of which nothing is said", map[string]any{"email_verified": nil}, nil, func(id *auth.Identity) bool { return !id.EmailVerified }},
		{"verified in words", map[string]any{"email_verified": "true"}, nil, func(id *auth.Identity) bool { return id.EmailVerified }},
		{"addresses that are trusted", map[string]any{"email_verified": nil}, func(c *oidc.Config) { c.TrustEmail = true },
			func(id *auth.Identity) bool { return id.EmailVerified }},
		{"groups that are no list", map[string]any{"groups": map[string]any{"a": 1}}, nil, func(id *auth.Identity) bool { return id.Groups == nil }},
		{"Entra's overage", map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}}, nil,
			func(id *auth.Identity) bool { return id.GroupsOmitted && id.Groups == nil }},
		{"Entra's overage in short", map[string]any{"groups": nil, "hasgroups": true}, nil, func(id *auth.Identity) bool { return id.GroupsOmitted }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newParty(t, func(cfg *idp.Config) {
				for name, v := range c.claims {
					cfg.Users[0].Claims[name] = v
				}
			}, c.edit)
			if id := b.mustSignIn().Identity; !c.check(&id) {
				t.Errorf("got %+v", id)
			}
			if omitted := strings.Contains(b.log.String(), "too many"); omitted != strings.HasPrefix(c.name, "Entra") {
				t.Errorf("the log says that groups were left out: %v\n%s", omitted, b.log)
			}
		})
	}
}

func TestUserinfo(t *testing.T) {
	for _, signed := range []bool{false, true} {
		b := newParty(t, nil, func(c *oidc.Config) { c.Userinfo = true })
		b.p.Turn(func(k *idp.Knobs) {
			k.SignUserinfo = signed
			k.Userinfo = map[string]any{"department": "ops", "name": "Another", "aud": oidctest.ClientID}
		})
		id := b.mustSignIn().Identity
		if id.Claims["department"] != "ops" || id.Name != "Alice of Corp" {
			t.Errorf("signed %v: got %+v, want the claims joined and the ID token's to stand", signed, id)
		}
	}
	b := newParty(t, nil, func(c *oidc.Config) { c.Userinfo = true })
	b.p.Turn(func(k *idp.Knobs) { k.Userinfo = map[string]any{"sub": "somebody else"} })
	_, err := b.signIn()
	b.mustRefuse(err, "")
	b.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{UserinfoStatus: 503} })
	_, err = b.signIn()
	b.mustBeDown(err)
}

func TestAllowSaysWhoMaySignIn(t *testing.T) {
	b := newParty(t, nil, func(c *oidc.Config) { c.Allow = &auth.Policy{Rules: []auth.Rule{{Groups: []string{"admins"}}}} })
	login, err := b.signIn()
	denied, ok := errors.AsType[*auth.Denied](err)
	if !ok || denied.Missing != "group admins" || login == nil || login.Identity.Email != "alice@corp.test" {
		t.Errorf("got %v and %v, want denied together with who it was", login, err)
	}
}

func TestMaxAgeIsDemanded(t *testing.T) {
	age := time.Minute
	b := newParty(t, nil, func(c *oidc.Config) { c.MaxAge = &age })
	b.mustSignIn()
	for _, at := range []any{time.Now().Add(-time.Hour).Unix(), nil} {
		b.p.Turn(func(k *idp.Knobs) { k.IDToken = func(_, c map[string]any) { c["auth_time"] = at } })
		_, err := b.signIn()
		b.mustRefuse(err, "")
	}
}

func TestWithoutRefreshTokenTheSessionHasAnEnd(t *testing.T) {
	for _, c := range []struct {
		ends oidc.WithoutRefresh
		life time.Duration
	}{{oidc.EndWithAccessToken, 10 * time.Minute}, {oidc.EndWithIDToken, time.Hour}} {
		b := newParty(t, nil, func(cfg *oidc.Config) { cfg.WithoutRefresh = c.ends })
		b.p.Turn(func(k *idp.Knobs) { k.NoRefreshTokens = true })
		login := b.mustSignIn()
		if left := time.Until(login.Until); left < c.life-5*time.Second || left > c.life+time.Second {
			t.Errorf("it ends in %v, want %v", left, c.life)
		}
		if !strings.Contains(b.log.String(), "no refresh token") {
			t.Errorf("the log does not say so:\n%s", b.log)
		}
	}
}
