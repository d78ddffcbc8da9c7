package oidc_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
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

// TestProbeTellsKeysFromMetadata: keys that cannot be had leave what was said before, and
// the clock of a provider is read.
func TestProbeTellsKeysFromMetadata(t *testing.T) {
	p := oidctest.Start(t)
	got, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{})
	if err != nil || got.Keys != 1 || got.Published != 1 || !got.KeyFits || !slices.Equal(got.ResponseTypes, []string{"code"}) ||
		!slices.Contains(got.ListedScopes, "offline_access") || got.Took <= 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got.SkewWithin < 500*time.Millisecond || got.Skew.Abs() > got.SkewWithin+500*time.Millisecond {
		t.Errorf("got a skew of %s within %s, want about none", got.Skew, got.SkewWithin)
	}
	p.Turn(func(k *idp.Knobs) {
		k.MutateJWKS = func(set map[string]any) {
			set["keys"] = append(set["keys"].([]any), map[string]any{"kty": "oct", "k": "AAAA"})
		}
	})
	if got, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{}); err != nil || got.Keys != 1 || got.Published != 2 {
		t.Errorf("with a key that is of no use: got %+v, %v", got, err)
	}
	p.Turn(func(k *idp.Knobs) {
		k.MutateMetadata = func(md map[string]any) { md["id_token_signing_alg_values_supported"] = []string{"ES256"} }
	})
	if got, err := oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{}); err != nil || got.KeyFits {
		t.Errorf("with a key for another algorithm: got %+v, %v", got, err)
	}
	p.Turn(func(k *idp.Knobs) { k.JWKSStatus = 500 })
	got, err = oidc.Probe(t.Context(), p.Issuer, oidc.ProbeOptions{})
	if _, ok := errors.AsType[*oidc.KeysError](err); !ok || got == nil || !got.EndSession {
		t.Errorf("without keys: got %+v, %v, want the metadata and a KeysError", got, err)
	}
	// A copy from a cache is as old as its Age says.
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		w.Header().Set("Age", "540")
		p.ServeHTTP(w, r)
	}))
	defer old.Close()
	p.Turn(func(k *idp.Knobs) {
		k.JWKSStatus = 0
		k.MutateMetadata = func(md map[string]any) { md["issuer"] = old.URL }
	})
	got, err = oidc.Probe(t.Context(), old.URL, oidc.ProbeOptions{})
	if err != nil || (got.Skew+time.Minute).Abs() > 2*time.Second {
		t.Errorf("an aged copy: got a skew of %s, %v, want a minute behind", got.Skew, err)
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
