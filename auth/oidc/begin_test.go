package oidc_test

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
)

func begin(t *testing.T, p *op, m *oidc.Method, f auth.Flow) url.Values {
	t.Helper()
	to, err := m.Begin(t.Context(), f)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, p.srv.URL+"/authorize?") {
		t.Fatalf("Begin: got %s, want the authorization endpoint", to)
	}
	return u.Query()
}

func TestBegin(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) {
		c.LoginHint, c.ACRValues, c.UILocales, c.Prompt = "someone@corp.example", "mfa", "de en", "select_account"
		c.Extra = map[string]string{"domain_hint": "corp.example", "state": "evil", "redirect_uri": "https://evil.example/", "code_challenge_method": "plain", "nonce": "evil"}
		c.Resources = []string{"https://a.test/", "https://b.test/"}
	})
	f := p.flow()
	q := begin(t, p, m, f)
	sum := sha256.Sum256([]byte(f.Verifier))
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": "state-word", "nonce": "nonce-word",
		"scope": "openid profile email offline_access", "code_challenge": b64(sum[:]), "code_challenge_method": "S256",
		"prompt": "select_account", "login_hint": "someone@corp.example", "acr_values": "mfa", "ui_locales": "de en", "domain_hint": "corp.example",
	} {
		if len(q[name]) != 1 || q.Get(name) != want {
			t.Errorf("%s: got %q, want %q once", name, q[name], want)
		}
	}
	if !slices.Equal(q["resource"], []string{"https://a.test/", "https://b.test/"}) {
		t.Errorf("resource: got %q", q["resource"])
	}
	for _, name := range []string{"response_mode", "max_age", "client_secret", "code_verifier"} {
		if q.Has(name) {
			t.Errorf("%s is there: %q", name, q[name])
		}
	}
	f.Prompt = "login"
	if got := begin(t, p, m, f).Get("prompt"); got != "login" {
		t.Errorf("a prompt of the flow: got %q, want login", got)
	}
}

func TestScopes(t *testing.T) {
	for name, row := range map[string]struct {
		supported []string
		kind      string
		want      string
	}{
		"listed":            {[]string{"openid", "offline_access"}, "", "openid profile email offline_access"},
		"not listed":        {[]string{"openid"}, "", "openid profile email"},
		"nothing is listed": {nil, "", "openid profile email offline_access"},
		"google":            {[]string{"openid", "offline_access"}, "google", "openid profile email"},
	} {
		p := newOP(t)
		p.set(func() {
			p.meta = func(md map[string]any) {
				if md["scopes_supported"] = row.supported; row.supported == nil {
					delete(md, "scopes_supported")
				}
			}
		})
		q := begin(t, p, p.method(func(c *oidc.Config) { c.Kind = row.kind }), p.flow())
		if q.Get("scope") != row.want {
			t.Errorf("%s: got %q, want %q", name, q.Get("scope"), row.want)
		}
		if google := row.kind == "google"; (q.Get("access_type") == "offline") != google || strings.Contains(q.Get("prompt"), "consent") != google {
			t.Errorf("%s: access_type %q prompt %q", name, q.Get("access_type"), q.Get("prompt"))
		}
	}
}

func TestQueryOfTheEndpointStays(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.meta = func(md map[string]any) { md["authorization_endpoint"] = p.srv.URL + "/authorize?p=b2c_policy" }
	})
	if q := begin(t, p, p.method(), p.flow()); q.Get("p") != "b2c_policy" {
		t.Errorf("got %v, want the endpoint's own query kept", q)
	}
}

func TestPAR(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.meta = func(md map[string]any) { md["pushed_authorization_request_endpoint"] = p.srv.URL + pathPAR }
	})
	p.handle(pathPAR, says(201, `{"request_uri":"urn:ietf:params:oauth:request_uri:x","expires_in":60}`))
	m := p.method()
	q := begin(t, p, m, p.flow())
	if len(q) != 2 || q.Get("client_id") != clientID || q.Get("request_uri") != "urn:ietf:params:oauth:request_uri:x" {
		t.Errorf("got %v, want client_id and request_uri alone", q)
	}
	c := p.last(pathPAR)
	if c.user != clientID || c.form.Get("state") != "state-word" || c.form.Get("code_challenge_method") != "S256" || c.form.Has("client_secret") {
		t.Errorf("pushed: got %v by %q", c.form, c.user)
	}
	for name, row := range map[string]struct {
		h      http.HandlerFunc
		outage bool
	}{
		"503":                 {says(503, ""), true},
		"a page":              {says(200, "<html>", "Content-Type", "text/html"), true},
		"no request_uri":      {says(201, `{}`), true},
		"400 invalid_request": {says(400, `{"error":"invalid_request"}`), false},
	} {
		p.handle(pathPAR, row.h)
		_, err := m.Begin(t.Context(), p.flow())
		if row.outage {
			unavailable(t, name, err)
		} else {
			refusedWith(t, name, err)
		}
	}
}

func TestGooglePrompts(t *testing.T) {
	p := newOP(t)
	for conf, want := range map[string]string{"": "consent", "consent": "consent", "select_account": "consent select_account"} {
		m := p.method(func(c *oidc.Config) { c.Kind, c.Prompt = "google", conf })
		if got := begin(t, p, m, p.flow()).Get("prompt"); got != want {
			t.Errorf("%q: got %q, want %q", conf, got, want)
		}
	}
	f := p.flow()
	f.Prompt = "login"
	if got := begin(t, p, p.method(func(c *oidc.Config) { c.Kind = "google" }), f).Get("prompt"); !strings.Contains(got, "consent") || strings.Contains(got, "login") {
		t.Errorf("a person who wants another account: got %q", got)
	}
}
