package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

// FuzzTokenAnswer feeds what a token endpoint may say to a sign-in and to a
// renewal. Nothing that was not signed signs anybody in, a renewal answers for
// nobody else, and nothing panics.
func FuzzTokenAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":300,"refresh_token":"r","id_token":"e30.e30.e30"}`,
		`{"access_token":"a","token_type":"bearer","expires_in":"300"}`,
		`{"access_token":"a","token_type":"bearer","expires_in":-1e999,"id_token":"eyJhbGciOiJub25lIn0.e30."}`,
		`{"error":"invalid_grant"}`, `{"error":["invalid_grant"],"error_codes":{}}`, `[`, `{}{}`, ``, "\x00", `{"a":{"a":[1,{"a":1,"a":2}]}}`,
	} {
		f.Add(200, seed)
		f.Add(400, seed)
	}
	body, status := "", 200
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pathMeta:
			writeJSON(w, 200, map[string]any{"issuer": srv.URL, "authorization_endpoint": srv.URL + "/a", "token_endpoint": srv.URL + pathToken, "jwks_uri": srv.URL + pathKeys})
		case pathKeys:
			jwk := publicJWK(testKeys()["RS256"].Public())
			writeJSON(w, 200, map[string]any{"keys": []any{jwk}})
		default:
			says(status, body)(w, r)
		}
	}))
	f.Cleanup(srv.Close)
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			return
		}
		status, body = code, text
		// A breaker of its own for each.
		m, err := oidc.New(oidc.Config{Name: "corp", Issuer: srv.URL, ClientID: clientID, ClientSecret: secret.New("s"), Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if login, err := m.Complete(t.Context(), auth.Flow{Nonce: "n", Verifier: "v"}, url.Values{"code": {"c"}}); err == nil {
			t.Fatalf("signed in as %s", login.Identity.Subject)
		}
		old := &auth.Login{Identity: auth.Identity{Subject: "alice", User: "alice"}, RefreshToken: secret.New("r")}
		fresh, err := m.Refresh(t.Context(), old, "")
		if err == nil && (fresh.Identity.Subject != "alice" || fresh.RefreshToken.IsZero()) {
			t.Fatalf("renewed to %+v", fresh)
		}
		if (err == nil) == (fresh == nil) {
			t.Fatalf("got both or neither: %v, %v", fresh, err)
		}
	})
}

// FuzzIDToken signs what it is given and offers it as an ID token: whoever gets
// in is the subject that the token names, for this client and nonce.
func FuzzIDToken(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"ISS","sub":"alice","aud":"gateway","iat":1800000000,"exp":1800000300,"nonce":"nonce-word"}`,
		`{"iss":"ISS","sub":"alice","aud":["gateway","x"],"azp":"gateway","iat":1.8e9,"exp":1800000300.5,"nonce":"nonce-word","groups":["a"]}`,
		`{"iss":"ISS","sub":"a","aud":"gateway","iat":-1,"exp":1e300,"nonce":"nonce-word"}`, `null`, `[]`, `{"iss":null}`, `{}{}`,
		`{"iss":"ISS","sub":"alice","sub":"bob","aud":"gateway","iat":1800000000,"exp":1800000300,"nonce":"nonce-word"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		p := newOP(t)
		payload = replaceIssuer(payload, p.srv.URL)
		p.set(func() { p.rewrite = func(string) string { return resign(p, payload) } })
		login, err := p.complete(p.method())
		if err != nil {
			return
		}
		claims := map[string]any{}
		if err := decodeStrict(payload, &claims); err != nil {
			t.Fatalf("signed in with %q: %v", payload, err)
		}
		if claims["sub"] != login.Identity.Subject || claims["iss"] != p.srv.URL || claims["nonce"] != "nonce-word" {
			t.Fatalf("signed in as %q with %q", login.Identity.Subject, payload)
		}
	})
}
