package oidc_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

func TestSignIn(t *testing.T) {
	p := newOP(t)
	login := p.signIn(p.method())
	id := login.Identity
	if id.Provider != "corp" || id.Subject != "alice" || id.User != "corp/al" || id.PreferredUsername != "al" || id.Name != "Alice A" ||
		id.Email != "alice@corp.example" || !id.EmailVerified || !slices.Equal(id.Groups, []string{"staff"}) || id.GroupsOmitted {
		t.Errorf("identity: got %+v", id)
	}
	if _, ok := id.Claims["acr"]; !ok {
		t.Errorf("claims: got %v, want them as they came", id.Claims)
	}
	if login.SID != "sid-1" || login.ACR != "mfa" || !slices.Equal(login.AMR, []string{"pwd", "otp"}) || !login.AuthTime.Equal(p.now()) {
		t.Errorf("got sid %q acr %q amr %q at %v", login.SID, login.ACR, login.AMR, login.AuthTime)
	}
	if login.AccessToken.Value.Reveal() != "access-1" || login.RefreshToken.Reveal() != "refresh-1" || login.IDToken.IsZero() {
		t.Error("the tokens are not those that the provider gave")
	}
	if !login.AccessToken.Issued.Equal(p.now()) || !login.AccessToken.Expires.Equal(p.now().Add(300*time.Second)) || !login.Until.IsZero() {
		t.Errorf("got issued %v expires %v until %v", login.AccessToken.Issued, login.AccessToken.Expires, login.Until)
	}
	c := p.last(pathToken)
	if c.form.Get("grant_type") != "authorization_code" || c.form.Get("code") != "code-word" || c.form.Get("redirect_uri") != redirectURI ||
		c.form.Get("code_verifier") != p.flow().Verifier {
		t.Errorf("the exchange: got %v", c.form)
	}
	if p.count(pathToken) != 1 || p.count(pathMeta) != 1 || p.count(pathKeys) != 1 || p.count(pathInfo) != 0 {
		t.Errorf("got %d grants, %d metadata, %d keys, %d userinfo", p.count(pathToken), p.count(pathMeta), p.count(pathKeys), p.count(pathInfo))
	}
}

func TestCallbackFaults(t *testing.T) {
	for name, row := range map[string]struct {
		answer url.Values
		iss    bool // the provider says that it sends iss
		code   string
		sent   bool
	}{
		"the person said no":        {url.Values{"error": {"access_denied"}, "error_description": {"<script>words</script>"}}, false, "access_denied", false},
		"login_required":            {url.Values{"error": {"login_required"}}, false, "login_required", false},
		"an error and a code":       {url.Values{"error": {"server_error"}, "code": {"code-word"}}, false, "server_error", false},
		"an error with odd letters": {url.Values{"error": {"a\nb<script>"}}, false, "*", false},
		"no code":                   {url.Values{"state": {"state-word"}}, false, "", false},
		"an empty code":             {url.Values{"code": {""}}, false, "", false},
		"two codes":                 {url.Values{"code": {"code-word", "other"}}, false, "", false},
		"two issuers":               {url.Values{"code": {"code-word"}, "iss": {"OP", "https://evil.example"}}, false, "", false},
		"another issuer":            {url.Values{"code": {"code-word"}, "iss": {"https://evil.example"}}, false, "", false},
		"an empty issuer":           {url.Values{"code": {"code-word"}, "iss": {""}}, false, "", false},
		"no issuer where there is":  {url.Values{"code": {"code-word"}}, true, "", false},
		"another state":             {url.Values{"code": {"code-word"}, "state": {"a", "b"}}, false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.set(func() {
				p.nonce = "nonce-word"
				if row.iss {
					p.meta = func(md map[string]any) { md["authorization_response_iss_parameter_supported"] = true }
				}
			})
			for i, iss := range row.answer["iss"] {
				if iss == "OP" {
					row.answer["iss"][i] = p.srv.URL
				}
			}
			login, err := p.method().Complete(t.Context(), p.flow(), row.answer)
			refusedWith(t, name, err)
			if refused, ok := errors.AsType[*auth.Refused](err); ok && row.code != "*" && refused.Code != row.code {
				t.Errorf("got code %q, want %q", refused.Code, row.code)
			}
			if login != nil || p.count(pathToken) != 0 {
				t.Errorf("got %v after %d token requests, want nothing sent", login, p.count(pathToken))
			}
			if err != nil && (strings.Contains(err.Error(), "script") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("the error shows the provider's words: %v", err)
			}
		})
	}
	p := newOP(t)
	p.set(func() {
		p.nonce = "nonce-word"
		p.meta = func(md map[string]any) { md["authorization_response_iss_parameter_supported"] = true }
	})
	if _, err := p.method().Complete(t.Context(), p.flow(), url.Values{"code": {"code-word"}, "iss": {p.srv.URL}}); err != nil {
		t.Errorf("the right issuer: got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, edit := range map[string]func(*oidc.Config){
		"no issuer":          func(c *oidc.Config) { c.Issuer = "" },
		"plain http":         func(c *oidc.Config) { c.Issuer = "http://login.example.com" },
		"a query":            func(c *oidc.Config) { c.Issuer = "https://login.example.com?x=1" },
		"a fragment":         func(c *oidc.Config) { c.Issuer = "https://login.example.com#x" },
		"a user":             func(c *oidc.Config) { c.Issuer = "https://a@login.example.com" },
		"no address":         func(c *oidc.Config) { c.Issuer = "login.example.com" },
		"no client":          func(c *oidc.Config) { c.ClientID = "" },
		"no name":            func(c *oidc.Config) { c.Name = "" },
		"no secret":          func(c *oidc.Config) { c.ClientSecret = secret.Text{} },
		"no key":             func(c *oidc.Config) { c.ClientAuth, c.ClientSecret = oidc.PrivateKeyJWT, secret.Text{} },
		"the client as API":  func(c *oidc.Config) { c.BearerAudiences = []string{"x", clientID} },
		"scopes sans openid": func(c *oidc.Config) { c.Scopes = []string{"profile"} },
	} {
		cfg := newOP(t).config()
		edit(&cfg)
		if m, err := oidc.New(cfg); err == nil {
			t.Errorf("%s: got a Method", name)
			_ = m.Close()
		}
	}
}

func TestFlowWithoutSecrets(t *testing.T) {
	p := newOP(t)
	m := p.method()
	for name, edit := range map[string]func(*auth.Flow){
		"no nonce":    func(f *auth.Flow) { f.Nonce = "" },
		"no verifier": func(f *auth.Flow) { f.Verifier = "" },
	} {
		f := p.flow()
		edit(&f)
		p.set(func() { p.nonce = f.Nonce })
		_, err := m.Complete(t.Context(), f, url.Values{"code": {"code-word"}})
		refusedWith(t, name, err)
	}
	if n := p.count(pathToken); n != 0 {
		t.Errorf("got %d exchanges", n)
	}
}
