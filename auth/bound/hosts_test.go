package bound_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/bound"
)

// binds takes every key.
type binds struct{}

func (binds) Offer(*http.Request) (string, error)         { return "c", nil }
func (binds) Binding(*http.Request) (auth.Binding, error) { return auth.Binding{}, nil }
func (binds) Challenge(*http.Request) (string, error)     { return "c", nil }
func (binds) Bind(http.Header, *http.Request, string, string) (auth.Binding, error) {
	return auth.Binding{ID: "id", Cookie: "c"}, nil
}
func (binds) Prove(http.Header, *http.Request, string) error { return nil }

// TestOverIsSaidOfOneBinding: Chromium wants the name with it.
func TestOverIsSaidOfOneBinding(t *testing.T) {
	for _, spelled := range []string{"gone", `"gone"`} {
		h := &bound.Handler{Bindings: binds{}}
		r := httptest.NewRequest(http.MethodPost, "https://apps.example.com"+bound.RefreshPath, nil)
		r.Header.Set("Sec-Secure-Session-Id", spelled)
		w := httptest.NewRecorder()
		if err := h.Refresh(w, r); err != nil {
			t.Fatal(err)
		}
		if got := w.Body.String(); w.Code != http.StatusOK || got != `{"session_identifier":"gone","continue":false}` {
			t.Errorf("%s: got %d %s", spelled, w.Code, got)
		}
	}
}

// TestPagesThatHaveTheKeyProven are those of the gateway's other hosts, as far as they are of
// one site: from there the session's cookie comes along.
func TestPagesThatHaveTheKeyProven(t *testing.T) {
	key, jwk := newEC(t, elliptic.P256())
	proof := sign(t, jwt.SigningMethodES256, key, map[string]any{"jwk": jwk}, jwt.MapClaims{"jti": "c"})
	hosts := []string{"apps.example.com", "WIKI.example.com", "*.shop.example.com", "example.com", "example.org", "com", "*.com", "10.0.0.1", "localhost"}
	all := []string{"wiki.example.com", "*.shop.example.com", "example.com"}
	for host, want := range map[string][]string{
		"apps.example.com": all, "apps.example.com:8443": all, "Apps.Example.com.": all,
		"a.example.org": {"example.org"}, "example.org": nil, "alice.github.io": nil, "10.0.0.1": nil, "10.0.0.2:443": nil, "[::1]:443": nil, "localhost": nil, "com": nil,
	} {
		h := &bound.Handler{Bindings: binds{}, Hosts: append(hosts, "bob.github.io"), Once: func(context.Context, string, time.Time) (bool, error) { return true, nil }}
		r := httptest.NewRequest(http.MethodPost, "https://"+host+bound.RegisterPath, nil)
		r.Header.Set("Secure-Session-Response", proof)
		w := httptest.NewRecorder()
		if err := h.Register(w, r); err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		var got struct {
			Initiators []string `json:"allowed_refresh_initiators"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !slices.Equal(got.Initiators, want) {
			t.Errorf("%s: got %q, %v, want %q", host, got.Initiators, err, want)
		}
	}
}
