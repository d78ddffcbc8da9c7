package oidc_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

// TestPrivateKeyJWT checks the assertion with the key that is published for it.
func TestPrivateKeyJWT(t *testing.T) {
	for name, row := range map[string]struct {
		key       string
		supported []string
		alg       string
	}{
		"EC":                      {"ES256", nil, "ES256"},
		"P-384":                   {"ES384", nil, "ES384"},
		"RSA":                     {"RS256", nil, "RS256"},
		"RSA where PS256 is said": {"RS256", []string{"ES256", "PS256"}, "PS256"},
		"RSA where RS256 is said": {"RS256", []string{"RS256"}, "RS256"},
		"Ed25519":                 {"EdDSA", nil, "EdDSA"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.set(func() {
				p.meta = func(md map[string]any) {
					if row.supported != nil {
						md["token_endpoint_auth_signing_alg_values_supported"] = row.supported
					}
				}
			})
			key := testKeys()[row.key]
			m := p.method(func(c *oidc.Config) {
				c.ClientAuth, c.ClientKey, c.ClientSecret = oidc.PrivateKeyJWT, key, secret.Text{}
			})
			login := p.signIn(m)
			if _, err := m.Refresh(t.Context(), login, ""); err != nil {
				t.Fatal(err)
			}
			var jwks struct {
				Keys []map[string]any `json:"keys"`
			}
			if err := json.Unmarshal(m.ClientJWKS(), &jwks); err != nil || len(jwks.Keys) != 1 {
				t.Fatalf("got %s, %v", m.ClientJWKS(), err)
			}
			for _, private := range []string{"d", "p", "q", "k"} {
				if _, there := jwks.Keys[0][private]; there {
					t.Errorf("the key set shows %s", private)
				}
			}
			if kid := jwks.Keys[0]["kid"]; kid != thumbprint(key.Public()) {
				t.Errorf("kid: got %v, want its thumbprint", kid)
			}
			seen := map[string]bool{}
			for _, c := range p.callsTo(pathToken) {
				if c.authorization != "" || c.form.Has("client_secret") ||
					c.form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("got %q with %v", c.authorization, c.form)
				}
				claims := jwt.MapClaims{}
				tok, err := jwt.NewParser(jwt.WithValidMethods([]string{row.alg}), jwt.WithTimeFunc(p.now), jwt.WithIssuer(clientID), jwt.WithSubject(clientID),
					jwt.WithAudience(p.srv.URL), jwt.WithExpirationRequired(), jwt.WithIssuedAt()).
					ParseWithClaims(c.form.Get("client_assertion"), claims, func(*jwt.Token) (any, error) { return key.Public(), nil })
				if err != nil {
					t.Fatal(err)
				}
				exp, _ := claims.GetExpirationTime()
				jti, _ := claims["jti"].(string)
				if exp.Sub(p.now()) > time.Minute || jti == "" || seen[jti] || tok.Header["kid"] != jwks.Keys[0]["kid"] {
					t.Errorf("got exp in %v, jti %q, kid %v", exp.Sub(p.now()), jti, tok.Header["kid"])
				}
				if aud, _ := claims.GetAudience(); !slices.Equal(aud, []string{p.srv.URL}) {
					t.Errorf("aud: got %q, want the issuer alone (S-22)", aud)
				}
				seen[jti] = true
			}
		})
	}
	p := newOP(t)
	if jwks := p.method().ClientJWKS(); jwks != nil {
		t.Errorf("a client with a secret: got keys %s", jwks)
	}
}

func thumbprint(key crypto.PublicKey) string {
	j := publicJWK(key)
	names := map[any][]string{"RSA": {"e", "kty", "n"}, "EC": {"crv", "kty", "x", "y"}, "OKP": {"crv", "kty", "x"}}[j["kty"]]
	var members []string
	for _, n := range names {
		members = append(members, fmt.Sprintf("%q:%q", n, j[n]))
	}
	sum := sha256.Sum256([]byte("{" + strings.Join(members, ",") + "}"))
	return b64(sum[:])
}

// TestAudienceByKind: two providers document their endpoint's address.
func TestAudienceByKind(t *testing.T) {
	for kind, path := range map[string]string{"okta": pathToken, "entra": pathToken, "keycloak": "", "": ""} {
		p := newOP(t)
		m := p.method(func(c *oidc.Config) {
			c.Kind, c.ClientAuth, c.ClientKey, c.ClientSecret = kind, oidc.PrivateKeyJWT, testKeys()["RS256"], secret.Text{}
		})
		p.signIn(m)
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(p.last(pathToken).form.Get("client_assertion"), claims); err != nil {
			t.Fatal(err)
		}
		if aud, _ := claims.GetAudience(); !slices.Equal(aud, []string{p.srv.URL + path}) {
			t.Errorf("%q: got aud %q", kind, aud)
		}
	}
}
