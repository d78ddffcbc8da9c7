package oidc_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/idp"
)

func TestExchangeThere(t *testing.T) {
	p := newProvider(t)
	m := p.method()
	login := p.signIn(m)
	got, err := m.Exchange(t.Context(), login, "https://reports.test/", "openid")
	if err != nil || got.Value.IsZero() || got.Value == login.AccessToken.Value || got.Expires.Before(p.now()) {
		t.Fatalf("got %v, %v, want another token", got, err)
	}
	if n := p.Stats().Exchanges; n != 1 {
		t.Errorf("the provider counted %d exchanges, want 1", n)
	}
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("the session's own grant after an exchange: %v", err)
	}
	if _, err := m.Exchange(t.Context(), login, "https://reports.test/", "more than there is"); err == nil || isUnavailable(err) {
		t.Errorf("a scope that was not granted: got %v, want a no that is no outage", err)
	}
	p.Turn(func(k *idp.Knobs) { k.TokenStatus = 503 })
	if _, err := m.Exchange(t.Context(), login, "https://reports.test/", ""); !isUnavailable(err) {
		t.Errorf("in an outage: got %v, want unavailable", err)
	}
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*auth.Unavailable](err)
	return ok
}

// TestIntrospection: a token that is no JWT is what the provider says it is.
func TestIntrospection(t *testing.T) {
	op := newOP(t)
	op.set(func() {
		op.meta = func(md map[string]any) {
			md["introspection_endpoint"] = strings.Replace(md["token_endpoint"].(string), "/token", "/introspect", 1)
		}
	})
	good := func() map[string]any {
		return map[string]any{"active": true, "sub": "robot", "aud": "https://api.test/", "exp": op.now().Add(time.Hour).Unix(), "groups": []string{"robots"},
			"acr": "gold", "amr": []string{"hwk"}, "auth_time": op.now().Add(-time.Minute).Unix()}
	}
	answer := good()
	status := http.StatusOK
	op.handle("/introspect", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status, answer) })
	m := op.method(audiences, func(c *oidc.Config) { c.Introspection = true })
	bearers := oidc.NewBearers(m)

	for range 5 {
		login, err := bearers.Authenticate(withHeader("Bearer opaque-1"))
		if err != nil || login.Identity.Subject != "robot" || login.Session != nil || login.AccessToken.Value.Reveal() != "opaque-1" || len(login.Identity.Groups) != 1 ||
			login.ACR != "gold" || len(login.AMR) != 1 || !login.AuthTime.Equal(op.now().Add(-time.Minute)) {
			t.Fatalf("got %+v, %v", login, err)
		}
	}
	if n := op.count("/introspect"); n != 1 {
		t.Errorf("five requests asked %d times, want once", n)
	}
	if form := op.last("/introspect").form; form.Get("token") != "opaque-1" {
		t.Errorf("asked with %v", form)
	}
	answer = map[string]any{"active": false}
	if _, err := bearers.Authenticate(withHeader("Bearer opaque-1")); err != nil {
		t.Errorf("within 30 s: %v", err)
	}
	op.advance(31 * time.Second)
	for range 2 {
		_, err := bearers.Authenticate(withHeader("Bearer opaque-1"))
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_token" {
			t.Errorf("revoked: got %v, want invalid_token", err)
		}
	}
	for name, change := range map[string]func(map[string]any){
		"no audience":      func(c map[string]any) { delete(c, "aud") },
		"another audience": func(c map[string]any) { c["aud"] = "https://other.test/" },
		"the client":       func(c map[string]any) { c["aud"] = "client" },
		"another issuer":   func(c map[string]any) { c["iss"] = "https://evil.example" },
		"no subject":       func(c map[string]any) { delete(c, "sub") },
		"expired":          func(c map[string]any) { c["exp"] = op.now().Add(-time.Second).Unix() },
		"active as text":   func(c map[string]any) { c["active"] = "true" },
		"a refresh token":  func(c map[string]any) { c["token_use"] = "refresh_token" },
		"by its type":      func(c map[string]any) { c["token_type"] = "refresh_token" },
		"by its typ":       func(c map[string]any) { c["typ"] = "Refresh" },
		"of an ID token":   func(c map[string]any) { c["nonce"] = "n" },
		"of an event":      func(c map[string]any) { c["events"] = map[string]any{} },
		"bound to a key":   func(c map[string]any) { c["cnf"] = map[string]any{"jkt": "x"} },
	} {
		answer = good()
		change(answer)
		_, err := bearers.Authenticate(withHeader("Bearer opaque-" + url.QueryEscape(name)))
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || refused.Code != "invalid_token" {
			t.Errorf("%s: got %v, want invalid_token", name, err)
		}
	}
	answer, status = good(), 503
	if _, err := bearers.Authenticate(withHeader("Bearer opaque-2")); !isUnavailable(err) {
		t.Errorf("in an outage: got %v, want unavailable", err)
	}
	status = http.StatusOK
	if _, err := bearers.Authenticate(withHeader("Bearer opaque-2")); err != nil {
		t.Errorf("after it: %v; an outage is no answer to keep", err)
	}
	before := op.count("/introspect")
	if _, err := bearers.Authenticate(withHeader("Bearer " + strings.Repeat("x", 5<<10))); err == nil || op.count("/introspect") != before {
		t.Errorf("a token beyond all length: got %v, and the provider was asked", err)
	}
	off := oidc.NewBearers(op.method(audiences))
	if _, err := off.Authenticate(withHeader("Bearer opaque-1")); err == nil || op.count("/introspect") != before {
		t.Errorf("where it is not configured: got %v, and the provider was asked", err)
	}
}
