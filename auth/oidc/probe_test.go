package oidc_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc"
)

func TestProbe(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.meta = func(md map[string]any) {
			md["code_challenge_methods_supported"] = []string{"plain", "S256"}
			md["backchannel_logout_supported"] = true
			md["backchannel_logout_session_supported"] = true
			md["authorization_response_iss_parameter_supported"] = true
			md["pushed_authorization_request_endpoint"] = p.srv.URL + pathPAR
			md["grant_types_supported"] = []string{"authorization_code", "refresh_token"}
		}
	})
	got, err := oidc.Probe(t.Context(), p.srv.URL, oidc.ProbeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !got.PKCE || got.RefreshTokens != "yes" || !got.EndSession || !got.Revocation || !got.PAR || !got.IssParameter || got.Kind != "generic" {
		t.Errorf("got %+v", got)
	}
	for name, row := range map[string]struct {
		issuer string
		meta   func(map[string]any)
	}{
		"another issuer": {p.srv.URL, func(md map[string]any) { md["issuer"] = "https://evil.example" }},
		"plain http":     {"http://login.example.com", nil},
		"no address":     {"words", nil},
		"nobody there":   {"http://127.0.0.1:1", nil},
	} {
		p.set(func() { p.meta = row.meta })
		if got, err := oidc.Probe(t.Context(), row.issuer, oidc.ProbeOptions{Timeout: time.Second}); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	p.set(func() {
		p.meta = func(md map[string]any) {
			delete(md, "scopes_supported")
			delete(md, "end_session_endpoint")
			md["grant_types_supported"] = []string{"authorization_code"}
		}
	})
	got, err = oidc.Probe(t.Context(), p.srv.URL, oidc.ProbeOptions{})
	if err != nil || got.RefreshTokens != "no" || got.PKCE || got.EndSession || len(got.Warnings) < 2 {
		t.Errorf("got %+v, %v, want warnings", got, err)
	}
}

func TestKindOf(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://accounts.google.com":                 "google",
		"https://login.microsoftonline.com/0000/v2.0": "entra",
		"https://dev-1.okta.com/oauth2/default":       "okta",
		"https://tenant.eu.auth0.com/":                "auth0",
		"https://gitlab.com":                          "gitlab",
		"https://sso.corp.example/realms/staff":       "keycloak",
		"https://dex.corp.example/dex":                "dex",
		"https://login.corp.example":                  "generic",
		"https://okta.com.evil.example":               "generic",
		"https://notokta.com":                         "generic",
	} {
		u, err := url.Parse(issuer)
		if err != nil {
			t.Fatal(err)
		}
		if got := oidc.KindOf(u); got != want {
			t.Errorf("%s: got %s, want %s", issuer, got, want)
		}
	}
}
