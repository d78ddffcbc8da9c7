package oidc_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
)

func withHeader(lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "https://apps.test/", nil)
	for _, l := range lines {
		r.Header.Add("Authorization", l)
	}
	return r
}

func (p *op) accessToken(edit, header func(map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := map[string]any{
		"iss": p.srv.URL, "sub": "robot", "aud": "https://api.test/", "iat": p.clock.Unix(), "exp": p.clock.Add(5 * time.Minute).Unix(),
		"client_id": "robots", "groups": []string{"robots"}, "preferred_username": "r2",
	}
	if edit != nil {
		edit(claims)
	}
	return p.sign(claims, func(h map[string]any) {
		h["typ"] = "at+jwt"
		if header != nil {
			header(h)
		}
	})
}

func audiences(c *oidc.Config) { c.BearerAudiences = []string{"https://api.test/", "https://b.test/"} }

func TestBearer(t *testing.T) {
	p := newOP(t)
	b := oidc.NewBearers(p.method(audiences))
	raw := p.accessToken(nil, nil)
	login, err := b.Authenticate(withHeader("Bearer " + raw))
	if err != nil {
		t.Fatal(err)
	}
	id := login.Identity
	if id.Provider != "corp" || id.Subject != "robot" || id.User != "corp/r2" || len(id.Groups) != 1 || login.Session != nil ||
		login.AccessToken.Value.Reveal() != raw || !login.AccessToken.Expires.Equal(p.now().Add(5*time.Minute)) || !login.RefreshToken.IsZero() {
		t.Errorf("got %+v", login)
	}
	for name, word := range map[string]string{"typ": "Bearer", "token_use": "access"} { // Keycloak's, and Cognito's
		if _, err := b.Authenticate(withHeader("Bearer " + p.accessToken(func(c map[string]any) { c[name], c["aud"] = word, []string{"other", "https://api.test/"} }, nil))); err != nil {
			t.Errorf("%s %s: got %v", name, word, err)
		}
	}
	if _, err := b.Authenticate(withHeader("bearer " + raw)); err != nil {
		t.Errorf("a scheme has no case: got %v", err)
	}
}

// TestBearerGroupsOfAnotherShape: what cannot be read in a client's own token is told, and not with each request.
func TestBearerGroupsOfAnotherShape(t *testing.T) {
	p := newOP(t)
	b := oidc.NewBearers(p.method(audiences))
	raw := p.accessToken(func(c map[string]any) { c["groups"], c["level"] = map[string]any{"robots": true}, 3 }, nil)
	deny, err := (&auth.Policy{Deny: []*auth.Rule{{Groups: []string{"guests"}}}}).Compiled()
	if err != nil {
		t.Fatal(err)
	}
	number, err := (&auth.Policy{Deny: []*auth.Rule{{When: "identity.claims.level == 3"}}}).Compiled()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		login, err := b.Authenticate(withHeader("Bearer " + raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*auth.Policy{deny, number} {
			if _, err := p.Decide(&auth.Question{Identity: &login.Identity}); err == nil {
				t.Errorf("it gets past %+v", p.Deny[0])
			}
		}
	}
	if n := strings.Count(p.log.String(), "provider.groups_unread"); n != 1 {
		t.Errorf("it was told %d times in a minute, want once", n)
	}
}

func TestBearerRefused(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	drop := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	p := newOP(t)
	b := oidc.NewBearers(p.method(audiences))
	parts := strings.Split(p.accessToken(nil, nil), ".")
	for name, raw := range map[string]string{
		"another issuer":          p.accessToken(set("iss", "https://evil.example"), nil),
		"no issuer":               p.accessToken(drop("iss"), nil),
		"the issuer with a /":     p.accessToken(func(c map[string]any) { c["iss"] = c["iss"].(string) + "/" }, nil),
		"another audience":        p.accessToken(set("aud", "other"), nil),
		"no audience":             p.accessToken(drop("aud"), nil),
		"no audience in a list":   p.accessToken(set("aud", []string{}), nil),
		"expired":                 p.accessToken(set("exp", 1_800_000_000-120), nil),
		"no exp":                  p.accessToken(drop("exp"), nil),
		"not yet":                 p.accessToken(set("nbf", 1_800_000_000+600), nil),
		"issued in an hour":       p.accessToken(set("iat", 1_800_000_000+3600), nil),
		"no subject":              p.accessToken(drop("sub"), nil),
		"an ID token":             p.accessToken(func(c map[string]any) { c["nonce"] = "n"; c["aud"] = clientID }, set("typ", "JWT")),
		"an ID token for the API": p.accessToken(set("nonce", "n"), set("typ", "JWT")),
		"with at_hash":            p.accessToken(set("at_hash", "x"), drop("typ")),
		"for us too":              p.accessToken(set("aud", []string{clientID, "https://api.test/"}), set("typ", "JWT")),
		"a logout token":          p.accessToken(nil, set("typ", "logout+jwt")),
		"with a nonce":            p.accessToken(set("nonce", "n"), nil),
		"with a nonce of null":    p.accessToken(set("nonce", nil), nil),
		"with events":             p.accessToken(set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}), nil),
		"with events of null":     p.accessToken(set("events", nil), nil),
		"with at_hash, typed":     p.accessToken(set("at_hash", "x"), nil),
		"with c_hash":             p.accessToken(set("c_hash", "x"), drop("typ")),
		"an ID token by its word": p.accessToken(set("typ", "ID"), set("typ", "JWT")),
		"a refresh token":         p.accessToken(set("typ", "Refresh"), set("typ", "JWT")),
		"an offline token":        p.accessToken(set("typ", "Offline"), set("typ", "JWT")),
		"a logout by its word":    p.accessToken(set("typ", "Logout"), set("typ", "JWT")),
		"an ID token by its use":  p.accessToken(set("token_use", "id"), drop("typ")),
		"a refresh token's use":   p.accessToken(set("token_use", "refresh_token"), nil),
		"a use that is no text":   p.accessToken(set("token_use", []string{"id"}), nil),
		"a typ that is no text":   p.accessToken(set("typ", 7), nil),
		"another typ":             p.accessToken(nil, set("typ", "dpop+jwt")),
		"alg none":                b64([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + ".",
		"no signature":            parts[0] + "." + parts[1] + ".",
		"crit":                    p.accessToken(nil, set("crit", []string{"x"})),
		"an unknown key":          p.accessToken(nil, set("kid", "unknown")),
		"opaque":                  "words",
		"nothing":                 "",
		"endless":                 strings.Repeat("a", 1<<20),
		"bound to a key":          p.accessToken(set("cnf", map[string]any{"jkt": "x"}), nil),
		"a foreign key":           signWith(t, &opKey{id: "one", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]}, map[string]any{"iss": p.srv.URL, "aud": "https://api.test/", "sub": "x", "exp": 1_900_000_000}, nil),
	} {
		login, err := b.Authenticate(withHeader("Bearer " + raw))
		if login != nil {
			t.Errorf("%s: got %s", name, login.Identity.Subject)
		}
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_token" {
			t.Errorf("%s: got %T %v, want invalid_token", name, err, err)
		}
	}
	raw := "Bearer " + p.accessToken(nil, nil)
	if _, err := b.Authenticate(withHeader(raw, raw)); err == nil {
		t.Error("two headers: got a Login")
	}
	if _, err := b.Authenticate(withHeader(raw + ", " + raw)); err == nil {
		t.Error("two tokens in one header: got a Login")
	}
	if _, err := b.Authenticate(withHeader()); !errors.Is(err, auth.ErrAnonymous) {
		t.Errorf("no header: got %v, want nobody", err)
	}
	if _, err := b.Authenticate(withHeader("Basic YTpi")); err == nil {
		t.Error("Basic: got a Login")
	}
	// A method without audiences takes no part.
	q := newOP(t)
	if _, err := oidc.NewBearers(q.method()).Authenticate(withHeader("Bearer " + q.accessToken(nil, nil))); err == nil {
		t.Error("no audiences are configured: got a Login")
	}
}

// TestBearerOfTheRightProvider: one provider's key vouches for no other issuer.
func TestBearerOfTheRightProvider(t *testing.T) {
	p, q := newOP(t), newOP(t)
	q.set(func() {
		q.signer = &opKey{id: "one", method: jwt.SigningMethodRS256, signer: testKeys()["second"]}
		q.keys = []*opKey{q.signer}
	})
	b := oidc.NewBearers(p.method(audiences), q.method(audiences, func(c *oidc.Config) { c.Name = "partner" }))
	if _, err := b.Authenticate(withHeader("Bearer " + q.accessToken(func(c map[string]any) { c["iss"] = p.srv.URL }, nil))); err == nil {
		t.Error("one provider signed for another, and it was believed")
	}
	login, err := b.Authenticate(withHeader("Bearer " + q.accessToken(nil, nil)))
	if err != nil || login.Identity.Provider != "partner" {
		t.Errorf("got %v, %v", login, err)
	}
}

func TestBearerWhileKeysAreAway(t *testing.T) {
	p := newOP(t)
	b := oidc.NewBearers(p.method(audiences))
	p.handle(pathKeys, says(500, ""))
	_, err := b.Authenticate(withHeader("Bearer " + p.accessToken(nil, nil)))
	unavailable(t, "no keys", err)
}

func TestBearerIsNotCached(t *testing.T) {
	p := newOP(t)
	b := oidc.NewBearers(p.method(audiences))
	raw := p.accessToken(nil, nil)
	if _, err := b.Authenticate(withHeader("Bearer " + raw)); err != nil {
		t.Fatal(err)
	}
	p.advance(7 * time.Minute)
	if _, err := b.Authenticate(withHeader("Bearer " + raw)); err == nil {
		t.Error("it expired, and was taken")
	}
}

// TestBearerOfTwoClients: one issuer, configured twice for two audiences.
func TestBearerOfTwoClients(t *testing.T) {
	p := newOP(t)
	b := oidc.NewBearers(
		p.method(audiences),
		p.method(func(c *oidc.Config) { c.Name, c.BearerAudiences = "partner", []string{"https://partner.test/"} }),
	)
	for aud, want := range map[string]string{"https://api.test/": "corp", "https://partner.test/": "partner"} {
		login, err := b.Authenticate(withHeader("Bearer " + p.accessToken(func(c map[string]any) { c["aud"] = aud }, nil)))
		if err != nil || login.Identity.Provider != want {
			t.Errorf("%s: got %v, %v, want %s", aud, login, err, want)
		}
	}
}
