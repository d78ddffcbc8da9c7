package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/token"
)

var alice = &auth.Login{
	Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice", PreferredUsername: "alice",
		Name: "Alice", Email: "alice@example.com", EmailVerified: true, Groups: []string{"staff"}},
	AuthTime: time.Unix(1_700_000_000, 0), AMR: []string{"pwd"},
}

func newIssuer(t *testing.T, url, algorithm string) (*token.Issuer, *token.Keys) {
	t.Helper()
	keys, err := token.NewKeys(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	i, err := token.NewIssuer(token.Config{Issuer: url, Audience: "evergate", TTL: time.Minute, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return i, keys
}

func mint(t *testing.T, i *token.Issuer) string {
	t.Helper()
	tok, err := i.Mint(t.Context(), alice, "")
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value.Reveal()
}

// TestStockVerifierAcceptsTheTokens: coreos/go-oidc, given the issuer's URL and
// nothing else, finds the keys and accepts the tokens, also over a rotation.
func TestStockVerifierAcceptsTheTokens(t *testing.T) {
	for _, algorithm := range []string{token.ES256, token.RS256, token.EdDSA} {
		t.Run(algorithm, func(t *testing.T) {
			var handlers map[string]http.Handler
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if h := handlers[strings.TrimPrefix(r.URL.Path, "/.evergate/")]; h != nil {
					h.ServeHTTP(w, r)
					return
				}
				http.NotFound(w, r)
			}))
			defer srv.Close()
			i, keys := newIssuer(t, srv.URL+"/.evergate", algorithm)
			handlers = i.Handlers()
			provider, err := oidc.NewProvider(t.Context(), srv.URL+"/.evergate")
			if err != nil {
				t.Fatal(err)
			}
			verifier := provider.Verifier(&oidc.Config{ClientID: "evergate"})
			before := mint(t, i)
			if err := keys.Rotate(); err != nil {
				t.Fatal(err)
			}
			for _, raw := range []string{before, mint(t, i)} {
				got, err := verifier.Verify(t.Context(), raw)
				if err != nil {
					t.Fatal(err)
				}
				var c map[string]any
				if err := got.Claims(&c); err != nil {
					t.Fatal(err)
				}
				if got.Subject != "alice" || c["client_id"] != "evergate" || c["auth_time"] != 1.7e9 || c["email"] != "alice@example.com" {
					t.Errorf("got %v", c)
				}
			}
		})
	}
}

func TestClaimsAndHeaderOfRFC9068(t *testing.T) {
	i, _ := newIssuer(t, "https://gw.test/.evergate", token.ES256)
	raw := mint(t, i)
	parts := strings.Split(raw, ".")
	var header, claims map[string]any
	for k, to := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[k])
		if err != nil || json.Unmarshal(b, to) != nil {
			t.Fatal(err)
		}
	}
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == "" {
		t.Errorf("header: got %v", header)
	}
	for _, name := range []string{"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "auth_time", "amr", "groups", "email", "name"} {
		if claims[name] == nil {
			t.Errorf("the claim %s is missing: %v", name, claims)
		}
	}
	if claims["exp"].(float64)-claims["iat"].(float64) != 60 {
		t.Errorf("life: got %v to %v, want 60 s", claims["iat"], claims["exp"])
	}
	if again := mint(t, i); again == raw {
		t.Error("two tokens are the same")
	}
}

// TestForgedTokensAreRefused has the cases of token forgery by what is wrong.
func TestForgedTokensAreRefused(t *testing.T) {
	i, keys := newIssuer(t, "https://gw.test/.evergate", token.ES256)
	good := mint(t, i)
	claims, err := i.Verify(t.Context(), good, "")
	if err != nil || claims.Subject != "alice" {
		t.Fatalf("the true one: got %v, %v", claims, err)
	}
	var jwks struct{ Keys []map[string]string }
	if err := json.Unmarshal(keys.JWKS(), &jwks); err != nil {
		t.Fatal(err)
	}
	kid := jwks.Keys[0]["kid"]
	mine, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, _ := x509.MarshalPKIXPublicKey(&mine.PublicKey)
	forge := func(method jwt.SigningMethod, key any, change func(h map[string]any, c *token.Claims)) string {
		c := *claims
		tok := jwt.NewWithClaims(method, &c)
		tok.Header["kid"], tok.Header["typ"] = kid, "at+jwt"
		change(tok.Header, &c)
		s, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	nothing := func(map[string]any, *token.Claims) {}
	header := func(k string, v any) func(map[string]any, *token.Claims) {
		return func(h map[string]any, _ *token.Claims) { h[k] = v }
	}
	parts := strings.Split(good, ".")
	for name, raw := range map[string]string{
		"T-01 alg none":                  forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nothing),
		"T-02 no alg":                    b64(`{"typ":"at+jwt","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2],
		"T-02 alg nOnE":                  b64(`{"alg":"nOnE","typ":"at+jwt","kid":"`+kid+`"}`) + "." + parts[1] + ".",
		"T-03 HS256 with the public key": forge(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), nothing),
		"T-05 no signature":              parts[0] + "." + parts[1] + ".",
		"T-06 another token's signature": parts[0] + "." + parts[1] + "." + strings.Split(mint(t, i), ".")[2],
		"T-07 a key brought along":       forge(jwt.SigningMethodES256, mine, header("jwk", map[string]any{"kty": "EC"})),
		"T-08 a key to fetch":            forge(jwt.SigningMethodES256, mine, header("jku", "https://evil.example/jwks")),
		"T-10 crit":                      forge(jwt.SigningMethodES256, mine, header("crit", []string{"x"})),
		"T-11 b64":                       forge(jwt.SigningMethodES256, mine, header("b64", false)),
		"T-12 an unknown kid":            forge(jwt.SigningMethodES256, mine, header("kid", "../../dev/null")),
		"T-12 a kid that is no text":     forge(jwt.SigningMethodES256, mine, header("kid", []int{1})),
		"a foreign key under our kid":    forge(jwt.SigningMethodES256, mine, nothing),
		"T-28 an ID token's typ":         forge(jwt.SigningMethodES256, mine, header("typ", "JWT")),
		"a token of endless length":      parts[0] + "." + strings.Repeat("A", 1<<20) + "." + parts[2],
		"dots":                           strings.Repeat(".", 1<<16),
		"nothing":                        "",
	} {
		if c, err := i.Verify(t.Context(), raw, ""); !errors.Is(err, token.ErrToken) {
			t.Errorf("%s: got %v, %v, want it refused", name, c, err)
		}
	}
	if _, err := i.Verify(t.Context(), good, "other"); !errors.Is(err, token.ErrToken) {
		t.Errorf("T-20 another audience: got %v, want it refused", err)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestTimes(t *testing.T) {
	keys, err := token.NewKeys(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	i, err := token.NewIssuer(token.Config{Issuer: "https://gw.test", Audience: "a", TTL: time.Minute, Keys: keys, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	raw := mint(t, i)
	for after, ok := range map[time.Duration]bool{
		0: true, 59 * time.Second: true, 119 * time.Second: true, 121 * time.Second: false,
		-59 * time.Second: true, -61 * time.Second: false,
	} {
		now = time.Unix(1_800_000_000, 0).Add(after)
		if _, err := i.Verify(t.Context(), raw, ""); (err == nil) != ok {
			t.Errorf("%v after it was signed: got %v, want accepted %v", after, err, ok)
		}
	}
	// T-41: expired and badly signed is badly signed.
	now = time.Unix(1_800_000_000, 0).Add(time.Hour)
	_, err = i.Verify(t.Context(), raw[:len(raw)-6]+"AAAAAA", "")
	if !errors.Is(err, jwt.ErrTokenSignatureInvalid) || errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("expired and badly signed: got %v, want a bad signature alone", err)
	}
}

func TestKeysAreKeptAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := token.OpenKeys(dir, token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	again, err := token.OpenKeys(dir, token.ES256)
	if err != nil || string(again.JWKS()) != string(first.JWKS()) {
		t.Errorf("opened again: got %s, %v, want %s", again.JWKS(), err, first.JWKS())
	}
	other, err := token.OpenKeys(dir, token.EdDSA)
	if err != nil || strings.Count(string(other.JWKS()), `"kid"`) != 2 {
		t.Errorf("another algorithm: got %s, %v, want both keys published", other.JWKS(), err)
	}
	if strings.Contains(string(other.JWKS()), `"d"`) {
		t.Error("the key set shows a private key")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	for _, f := range files {
		if fi, err := os.Stat(f); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v, want 0600", f, fi.Mode())
		}
	}
	if err := os.Chmod(files[0], 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := token.OpenKeys(dir, token.ES256); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: got %v, want it refused", err)
	}
	if err := os.WriteFile(files[0], []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.OpenKeys(dir, token.ES256); err == nil {
		t.Error("a damaged key: got no error")
	}
}

func BenchmarkMint(b *testing.B) {
	keys, _ := token.NewKeys(token.ES256)
	i, _ := token.NewIssuer(token.Config{Issuer: "https://gw.test", Audience: "a", TTL: time.Minute, Keys: keys})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Mint(context.Background(), alice, ""); err != nil {
			b.Fatal(err)
		}
	}
}
