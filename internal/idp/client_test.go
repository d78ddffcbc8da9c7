package idp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

func TestAClientAuthenticatesInItsOneWay(t *testing.T) {
	x := start(t, func(c *idp.Config) {
		c.Clients = append(c.Clients, idp.Client{ID: "poster", Auth: idp.ClientSecretPost, Secret: "p", RedirectURIs: []string{callback}})
	})
	post := func(basic []string, form url.Values) answer {
		req := x.request("/token", with(renewal("t"), form))
		if basic != nil {
			req.SetBasicAuth(basic[0], basic[1])
		}
		return x.do(http.DefaultClient, req)
	}
	escaped := url.QueryEscape(secret)
	for _, row := range []struct {
		name   string
		basic  []string
		form   url.Values
		status int
		want   string
	}{
		{"basic", []string{"rp", escaped}, nil, 400, "invalid_grant"},
		{"basic and client_id", []string{"rp", escaped}, url.Values{"client_id": {"rp"}}, 400, "invalid_grant"},
		{"basic and another client_id", []string{"rp", escaped}, url.Values{"client_id": {"poster"}}, 401, "invalid_client"},
		{"basic, not encoded", []string{"rp", secret}, nil, 401, "invalid_client"},
		{"basic, wrong secret", []string{"rp", "x"}, nil, 401, "invalid_client"},
		{"basic for a client of the form", []string{"poster", "p"}, nil, 401, "invalid_client"},
		{"the form", nil, url.Values{"client_id": {"poster"}, "client_secret": {"p"}}, 400, "invalid_grant"},
		{"the form for a client of basic", nil, url.Values{"client_id": {"rp"}, "client_secret": {secret}}, 401, "invalid_client"},
		{"both", []string{"rp", escaped}, url.Values{"client_id": {"rp"}, "client_secret": {secret}}, 400, "invalid_request"},
		{"none", nil, url.Values{"client_id": {"rp"}}, 401, "invalid_client"},
		{"a secret twice", nil, url.Values{"client_id": {"poster"}, "client_secret": {"p", "p"}}, 400, "invalid_request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := &world{t: t}
			x.wantError(post(row.basic, row.form), row.status, row.want)
		})
	}
	post([]string{"rp", escaped}, nil)
	s := x.p.Stats()
	if !s.LastTokenAuthHeader || !slices.Equal(s.LastTokenAuthMethods, []string{"client_secret_basic"}) || s.LastTokenForm.Has("scope") {
		t.Errorf("got %v %v %v", s.LastTokenAuthHeader, s.LastTokenAuthMethods, s.LastTokenForm)
	}
}

// jwtOf signs with the algorithm that goes with the key.
func jwtOf(t *testing.T, key crypto.Signer, header, claims map[string]any) string {
	t.Helper()
	h, err1 := json.Marshal(header)
	c, err2 := json.Marshal(claims)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, sum[:])
		if err = e; err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestPrivateKeyJWT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := start(t, func(c *idp.Config) {
		c.Clients[0] = idp.Client{ID: "rp", Auth: idp.PrivateKeyJWT, Keys: map[string]crypto.PublicKey{"k1": key.Public()}, RedirectURIs: []string{callback}}
	})
	assert := func(signer crypto.Signer, header, claims map[string]any) answer {
		h := map[string]any{"alg": "ES256", "kid": "k1"}
		maps.Copy(h, header)
		c := map[string]any{"iss": "rp", "sub": "rp", "aud": x.issuer, "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
		maps.Copy(c, claims)
		return x.do(http.DefaultClient, x.request("/token", with(renewal("t"), url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {jwtOf(t, signer, h, c)},
		})))
	}
	for _, row := range []struct {
		name           string
		signer         crypto.Signer
		header, claims map[string]any
		good           bool
	}{
		{"for the issuer", key, nil, nil, true},
		{"for the token endpoint", key, nil, map[string]any{"aud": []string{x.issuer + "/token"}}, true},
		{"with an id of its own", key, nil, map[string]any{"jti": "once"}, true},
		{"with that id again", key, nil, map[string]any{"jti": "once"}, false},
		{"for somebody else", key, nil, map[string]any{"aud": "https://other.example"}, false},
		{"from somebody else", key, nil, map[string]any{"iss": "other"}, false},
		{"about somebody else", key, nil, map[string]any{"sub": "other"}, false},
		{"expired", key, nil, map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()}, false},
		{"good for a year", key, nil, map[string]any{"exp": time.Now().AddDate(1, 0, 0).Unix()}, false},
		{"without end", key, nil, map[string]any{"exp": nil}, false},
		{"without id", key, nil, map[string]any{"jti": ""}, false},
		{"of another key", other, nil, nil, false},
		{"of an unknown key", key, map[string]any{"kid": "k2"}, nil, false},
		{"naming no key", key, map[string]any{"kid": ""}, nil, true},
		{"with alg none", key, map[string]any{"alg": "none"}, nil, false},
		{"with alg HS256", key, map[string]any{"alg": "HS256"}, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := &world{t: t}
			a := assert(row.signer, row.header, row.claims)
			if row.good {
				x.wantError(a, 400, "invalid_grant") // the client is known, the refresh token is not
			} else {
				x.wantError(a, 401, "invalid_client")
			}
		})
	}
}

func TestKeysOfAClientMayBePublished(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []any{
		idp.PublicJWK("r", "PS256", rsaKey.Public()), idp.PublicJWK("e", "EdDSA", edKey.Public())}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer srv.Close()
	x := start(t, func(c *idp.Config) {
		c.Clients = []idp.Client{{ID: "by-uri", Auth: idp.PrivateKeyJWT, JWKSURI: srv.URL}, {ID: "by-set", Auth: idp.PrivateKeyJWT, JWKS: set}}
	})
	for _, id := range []string{"by-uri", "by-set"} {
		for kid, key := range map[string]crypto.Signer{"r": rsaKey, "e": edKey} {
			alg := map[string]string{"r": "PS256", "e": "EdDSA"}[kid]
			claims := map[string]any{"iss": id, "sub": id, "aud": x.issuer, "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
			x.wantError(x.do(http.DefaultClient, x.request("/token", with(renewal("t"), url.Values{
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				"client_assertion":      {jwtOf(t, key, map[string]any{"alg": alg, "kid": kid}, claims)},
			}))), 400, "invalid_grant")
		}
	}
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	for name, cfg := range map[string]idp.Config{
		"no issuer":             {},
		"issuer with a query":   {Issuer: "https://idp.example/?x=1"},
		"unknown algorithm":     {Issuer: "https://idp.example", SigningAlg: "HS256"},
		"client without secret": {Issuer: "https://idp.example", Clients: []idp.Client{{ID: "a"}}},
		"client without keys":   {Issuer: "https://idp.example", Clients: []idp.Client{{ID: "a", Auth: idp.PrivateKeyJWT}}},
		"client of no way":      {Issuer: "https://idp.example", Clients: []idp.Client{{ID: "a", Secret: "s", Auth: "none"}}},
		"relative redirect URI": {Issuer: "https://idp.example", Clients: []idp.Client{{ID: "a", Secret: "s", RedirectURIs: []string{"/callback"}}}},
		"user without password": {Issuer: "https://idp.example", Users: []idp.User{{Subject: "u", Username: "u"}}},
	} {
		if _, err := idp.New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
