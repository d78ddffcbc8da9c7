package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

// once is what a store keeps for the whole gateway.
func once(until *time.Time) func(context.Context, string, time.Time) (bool, error) {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(_ context.Context, name string, end time.Time) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if until != nil {
			*until = end
		}
		first := !seen[name]
		seen[name] = true
		return first, nil
	}
}

func (p *op) logoutToken(edit func(map[string]any), header func(map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := map[string]any{
		"iss": p.srv.URL, "aud": clientID, "iat": p.clock.Unix(), "exp": p.clock.Add(2 * time.Minute).Unix(), "jti": "jti-1",
		"sub": "alice", "sid": "sid-1", "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if edit != nil {
		edit(claims)
	}
	return p.sign(claims, header)
}

// TestLogoutTokens is L-08 to L-19.
func TestLogoutTokens(t *testing.T) {
	const event = "http://schemas.openid.net/event/backchannel-logout"
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	drop := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	for name, row := range map[string]struct {
		claims, header func(map[string]any)
		ok             bool
	}{
		"as it should be":              {nil, nil, true},
		"typed":                        {nil, set("typ", "logout+jwt"), true},
		"typed, in full":               {nil, set("typ", "application/logout+jwt"), true},
		"untyped":                      {nil, drop("typ"), true},
		"by subject alone":             {drop("sid"), nil, true},
		"by session alone":             {drop("sub"), nil, true},
		"a list of audiences":          {set("aud", []string{"other", clientID}), nil, true},
		"an event with more in it":     {set("events", map[string]any{event: map[string]any{"x": 1}, "other": 1}), nil, true},
		"L-10 another issuer":          {set("iss", "https://evil.example"), nil, false},
		"another audience":             {set("aud", "other"), nil, false},
		"no audience":                  {drop("aud"), nil, false},
		"L-11 no events":               {drop("events"), nil, false},
		"L-12 another event":           {set("events", map[string]any{"other": map[string]any{}}), nil, false},
		"L-12 an event that is text":   {set("events", map[string]any{event: "x"}), nil, false},
		"L-12 an event that is a list": {set("events", map[string]any{event: []any{}}), nil, false},
		"L-12 an event that is null":   {set("events", map[string]any{event: nil}), nil, false},
		"L-12 events as a list":        {set("events", []string{event}), nil, false},
		"L-13 a nonce":                 {set("nonce", "nonce-word"), nil, false},
		"L-13 a nonce of null":         {set("nonce", nil), nil, false},
		"L-14 nobody":                  {func(c map[string]any) { delete(c, "sub"); delete(c, "sid") }, nil, false},
		"L-14 nobody, in words":        {func(c map[string]any) { c["sub"], c["sid"] = "", "" }, nil, false},
		"L-14 a number":                {func(c map[string]any) { c["sub"] = 7; delete(c, "sid") }, nil, false},
		"L-14 a session of a number":   {set("sid", 7), nil, false},
		"L-15 no iat":                  {drop("iat"), nil, false},
		"L-15 of yesterday":            {func(c map[string]any) { c["iat"] = 1_800_000_000 - 86_400 }, nil, false},
		"L-15 expired":                 {set("exp", 1_800_000_000-120), nil, false},
		"L-15 no exp":                  {drop("exp"), nil, false},
		"L-15 no jti":                  {drop("jti"), nil, false},
		"L-15 an empty jti":            {set("jti", ""), nil, false},
		"L-17 typ of an access token":  {nil, set("typ", "at+jwt"), false},
		"L-17 a typ that is a list":    {nil, set("typ", []any{"at+jwt"}), false},
		"L-15 nbf beyond all time":     {set("nbf", 1e300), nil, false},
		"an audience with a number":    {set("aud", []any{clientID, 7}), nil, false},
		"L-17 typ of something":        {nil, set("typ", "secevent+jwt"), false},
		"crit":                         {nil, set("crit", []string{"x"}), false},
	} {
		p := newOP(t)
		m := p.method(func(c *oidc.Config) { c.Once = once(nil) })
		subject, sid, err := m.LogoutToken(t.Context(), p.logoutToken(row.claims, row.header))
		if (err == nil) != row.ok {
			t.Errorf("%s: got %q %q %v, want accepted %v", name, subject, sid, err, row.ok)
		}
		if !row.ok {
			refusedWith(t, name, err)
		} else if subject+sid == "" {
			t.Errorf("%s: it names nobody", name)
		}
	}
}

func TestLogoutTokenForged(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Once = once(nil) })
	good := p.logoutToken(nil, nil)
	parts := strings.Split(good, ".")
	for name, raw := range map[string]string{
		"L-08 alg none":     b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"no signature":      parts[0] + "." + parts[1] + ".",
		"words":             "words",
		"nothing":           "",
		"a megabyte":        good + strings.Repeat("A", 1<<20),
		"a foreign key":     signWith(t, &opKey{id: "one", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]}, map[string]any{"iss": p.srv.URL}, nil),
		"L-17 an ID token":  func() string { p.mu.Lock(); defer p.mu.Unlock(); p.nonce = "n"; return p.idToken("a") }(),
		"claims said twice": resign(p, strings.Replace(plainPart(good, 1), `"sub":`, `"sub":"bob","sub":`, 1)),
		"an HS256 signature": func() string {
			h := b64([]byte(`{"alg":"HS256"}`)) + "." + parts[1]
			s, _ := jwt.SigningMethodHS256.Sign(h, []byte(clientSecret))
			return h + "." + b64(s)
		}(),
	} {
		_, _, err := m.LogoutToken(t.Context(), raw)
		refusedWith(t, name, err)
	}
}

// L-16: the same token again is nobody's logout.
func TestLogoutTokenOnce(t *testing.T) {
	p := newOP(t)
	var until time.Time
	m := p.method(func(c *oidc.Config) { c.Once = once(&until) })
	raw := p.logoutToken(nil, nil)
	if subject, sid, err := m.LogoutToken(t.Context(), raw); err != nil || subject != "alice" || sid != "sid-1" {
		t.Fatalf("got %q %q %v", subject, sid, err)
	}
	if want := p.now().Add(3 * time.Minute); until.Before(want) {
		t.Errorf("remembered until %v, want %v: it could come again", until, want)
	}
	_, _, err := m.LogoutToken(t.Context(), raw)
	refusedWith(t, "once more", err)
	if _, _, err := m.LogoutToken(t.Context(), p.logoutToken(func(c map[string]any) { c["jti"] = "jti-2" }, nil)); err != nil {
		t.Errorf("another: got %v", err)
	}
	away := p.method(func(c *oidc.Config) {
		c.Once = func(context.Context, string, time.Time) (bool, error) {
			return false, &auth.Unavailable{What: "the store"}
		}
	})
	_, _, err = away.LogoutToken(t.Context(), raw)
	unavailable(t, "a store that is away", err)
}

func TestLogoutTokenWhileTheProviderIsAway(t *testing.T) {
	p := newOP(t)
	raw := p.logoutToken(nil, nil)
	p.handle(pathKeys, says(500, ""))
	_, _, err := p.method(func(c *oidc.Config) { c.Once = once(nil) }).LogoutToken(t.Context(), raw)
	unavailable(t, "no keys", err)
}

func TestLogoutURL(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	to, err := m.LogoutURL(t.Context(), login, "https://apps.test/.evergate/logout", "state-1")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(to)
	q := u.Query()
	if u.Path != "/end" || q.Get("id_token_hint") != login.IDToken.Reveal() || q.Get("client_id") != clientID ||
		q.Get("post_logout_redirect_uri") != "https://apps.test/.evergate/logout" || q.Get("state") != "state-1" {
		t.Errorf("got %s", to)
	}
	long := *login
	long.IDToken = secret.New(strings.Repeat("x", 5000))
	if to, err = m.LogoutURL(t.Context(), &long, "https://apps.test/", "s"); err != nil || len(to) > 4096 || strings.Contains(to, "id_token_hint") || !strings.Contains(to, "client_id") {
		t.Errorf("a long token: got %d bytes, %v, want no hint", len(to), err)
	}
	p.set(func() { p.meta = func(md map[string]any) { delete(md, "end_session_endpoint") } })
	if to, err := p.method().LogoutURL(t.Context(), login, "https://apps.test/", "s"); to != "" || err != nil {
		t.Errorf("no endpoint: got %q, %v, want nothing", to, err)
	}
	// With what is known already a provider that is down keeps nobody.
	p.srv.Close()
	p.advance(48 * time.Hour)
	if to, err := m.LogoutURL(t.Context(), login, "https://apps.test/", "s"); err != nil || to == "" {
		t.Errorf("down: got %q, %v, want what was known", to, err)
	}
}

func TestLogoutURLDoesNotWait(t *testing.T) {
	p := newOP(t)
	free := make(chan struct{})
	defer close(free)
	p.handle(pathMeta, func(http.ResponseWriter, *http.Request) { <-free })
	m := p.method()
	start := time.Now()
	_, err := m.LogoutURL(t.Context(), &auth.Login{}, "https://apps.test/", "s")
	unavailable(t, "down and unknown", err)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v, want about 2 s at most", d)
	}
}

func TestRevoke(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	if err := m.Revoke(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	calls := p.callsTo(pathRevoke)
	if len(calls) != 2 || calls[0].form.Get("token") != "refresh-1" || calls[0].form.Get("token_type_hint") != "refresh_token" ||
		calls[1].form.Get("token") != "access-1" || calls[0].user != clientID {
		t.Errorf("got %v, want the refresh token first and then the access token", calls)
	}
	p.handle(pathRevoke, says(503, ""))
	if err := m.Revoke(t.Context(), login); err == nil {
		t.Error("503: got no error")
	}
	if n := p.count(pathRevoke); n != 4 {
		t.Errorf("got %d requests, want both tokens tried", n)
	}
	p.set(func() { p.meta = func(md map[string]any) { delete(md, "revocation_endpoint") } })
	if err := p.method().Revoke(t.Context(), login); err != nil {
		t.Errorf("no endpoint: got %v, want nothing to do", err)
	}
}

// signed out is no clear no about anybody else.
func TestRevokeIsNoOutageOfRenewals(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathRevoke, says(500, ""))
	for i := range 5 {
		_ = m.Revoke(t.Context(), person(login, i))
	}
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("got %v, want renewals to go on", err)
	}
	if _, ok := errors.AsType[*auth.Refused](m.Revoke(t.Context(), login)); ok {
		t.Error("a refusal, of an outage")
	}
}
