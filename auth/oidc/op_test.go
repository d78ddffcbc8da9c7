package oidc_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/internal/secret"
)

// op is a provider that says what a test makes it say. Whatever protocol a real
// one keeps is oidctest's; this one is for answers that no real one gives.
type op struct {
	t   *testing.T
	srv *httptest.Server
	log *lockedBuffer

	mu           sync.Mutex // guards the rest
	clock        time.Time
	keys         []*opKey // published
	signer       *opKey   // signs
	calls        []call
	tokens       int
	nonce        string
	meta         func(map[string]any)        // edits the metadata
	claims       func(map[string]any)        // edits the claims of ID tokens
	header       func(map[string]any)        // edits their headers
	rewrite      func(string) string         // edits signed ID tokens
	answer       func(map[string]any)        // edits the answers of the token endpoint
	handlers     map[string]http.HandlerFunc // take a path over
	cacheControl string                      // of the metadata
}

type opKey struct {
	id     string
	method jwt.SigningMethod
	signer crypto.Signer
	edit   func(map[string]any) // of the published JWK
}

// call is one request that the provider got.
type call struct {
	path          string
	form          url.Values
	authorization string
	user, pass    string
}

const (
	clientID     = "gateway"
	clientSecret = "client:secret word+%/"
	redirectURI  = "https://apps.test/.evergate/callback/corp"
)

var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	r2, _ := rsa.GenerateKey(rand.Reader, 2048)
	e, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	e3, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	e5, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, d, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"RS256": r, "second": r2, "ES256": e, "ES384": e3, "ES512": e5, "EdDSA": d}
})

func rsaKey(id string) *opKey {
	return &opKey{id: id, method: jwt.SigningMethodRS256, signer: testKeys()["RS256"]}
}

func newOP(t *testing.T) *op {
	t.Helper()
	p := &op{t: t, clock: time.Unix(1_800_000_000, 0), handlers: map[string]http.HandlerFunc{}, log: &lockedBuffer{}}
	p.signer = rsaKey("one")
	p.keys = []*opKey{p.signer}
	p.srv = httptest.NewServer(p)
	t.Cleanup(p.srv.Close)
	return p
}

// set changes the provider while it runs.
func (p *op) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *op) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock
}

func (p *op) advance(d time.Duration) { p.set(func() { p.clock = p.clock.Add(d) }) }

// handle takes a path over; nil gives it back.
func (p *op) handle(path string, h http.HandlerFunc) {
	p.set(func() {
		if h == nil {
			delete(p.handlers, path)
		} else {
			p.handlers[path] = h
		}
	})
}

// count is how many requests path had.
func (p *op) count(path string) int { return len(p.callsTo(path)) }

func (p *op) callsTo(path string) (all []call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.path == path {
			all = append(all, c)
		}
	}
	return all
}

// last is the last request to path.
func (p *op) last(path string) call {
	p.t.Helper()
	all := p.callsTo(path)
	if len(all) == 0 {
		p.t.Fatalf("no request to %s", path)
	}
	return all[len(all)-1]
}

const (
	pathMeta   = "/.well-known/openid-configuration"
	pathKeys   = "/jwks"
	pathToken  = "/token"
	pathInfo   = "/userinfo"
	pathRevoke = "/revoke"
	pathPAR    = "/par"
)

func (p *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	user, pass, _ := r.BasicAuth()
	p.mu.Lock()
	p.calls = append(p.calls, call{r.URL.Path, maps.Clone(r.Form), r.Header.Get("Authorization"), user, pass})
	h := p.handlers[r.URL.Path]
	p.mu.Unlock()
	if h != nil {
		h(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case pathMeta:
		md := map[string]any{
			"issuer": p.srv.URL, "authorization_endpoint": p.srv.URL + "/authorize", "token_endpoint": p.srv.URL + pathToken,
			"jwks_uri": p.srv.URL + pathKeys, "userinfo_endpoint": p.srv.URL + pathInfo,
			"end_session_endpoint": p.srv.URL + "/end", "revocation_endpoint": p.srv.URL + pathRevoke,
			"id_token_signing_alg_values_supported": []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "HS256", "none"},
			"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		}
		if p.meta != nil {
			p.meta(md)
		}
		if p.cacheControl != "" {
			w.Header().Set("Cache-Control", p.cacheControl)
		}
		writeJSON(w, 200, md)
	case pathKeys:
		var keys []any
		for _, k := range p.keys {
			jwk := publicJWK(k.signer.Public())
			jwk["kid"], jwk["use"], jwk["alg"] = k.id, "sig", k.method.Alg()
			if k.edit != nil {
				k.edit(jwk)
			}
			keys = append(keys, jwk)
		}
		writeJSON(w, 200, map[string]any{"keys": keys})
	case pathToken:
		p.tokens++
		access := fmt.Sprintf("access-%d", p.tokens)
		out := map[string]any{"token_type": "Bearer", "access_token": access, "refresh_token": fmt.Sprintf("refresh-%d", p.tokens),
			"expires_in": 300, "id_token": p.idToken(access)}
		if p.answer != nil {
			p.answer(out)
		}
		writeJSON(w, 200, out)
	case pathInfo:
		writeJSON(w, 200, map[string]any{"sub": "alice"})
	case pathRevoke:
		w.WriteHeader(200)
	default:
		http.NotFound(w, r)
	}
}

// idToken signs one; mu is held.
func (p *op) idToken(access string) string {
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.srv.URL, "sub": "alice", "aud": clientID, "iat": p.clock.Unix(), "exp": p.clock.Add(time.Hour).Unix(),
		"auth_time": p.clock.Unix(), "nonce": p.nonce, "at_hash": b64(sum[:16]), "sid": "sid-1", "acr": "mfa", "amr": []string{"pwd", "otp"},
		"preferred_username": "al", "name": "Alice A", "email": "alice@corp.example", "email_verified": true, "groups": []string{"staff"},
	}
	if p.claims != nil {
		p.claims(claims)
	}
	raw := p.sign(claims, p.header)
	if p.rewrite != nil {
		raw = p.rewrite(raw)
	}
	return raw
}

func (p *op) sign(claims map[string]any, header func(map[string]any)) string {
	return signWith(p.t, p.signer, claims, header)
}

func signWith(t *testing.T, k *opKey, claims map[string]any, header func(map[string]any)) string {
	tok := jwt.NewWithClaims(k.method, jwt.MapClaims(claims))
	tok.Header["kid"] = k.id
	if header != nil {
		header(tok.Header)
	}
	raw, err := tok.SignedString(k.signer)
	if err != nil {
		t.Errorf("sign: %v", err)
	}
	return raw
}

// config is what a Method for p is made of.
func (p *op) config() oidc.Config {
	return oidc.Config{
		Name: "corp", Prefix: "corp/", Issuer: p.srv.URL, ClientID: clientID, ClientSecret: secret.New(clientSecret),
		Claims: oidc.ClaimMap{User: []string{"preferred_username"}},
		Now:    p.now, Log: slog.New(slog.NewJSONHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// method makes a Method and checks at the end that its log has no secret in it.
func (p *op) method(edit ...func(*oidc.Config)) *oidc.Method {
	p.t.Helper()
	cfg := p.config()
	for _, e := range edit {
		e(&cfg)
	}
	m, err := oidc.New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			p.t.Errorf("Close: %v", err)
		}
		for _, s := range []string{clientSecret, url.QueryEscape(clientSecret), "access-", "refresh-", "eyJ", "code-word", "verifier-word"} {
			if strings.Contains(p.log.String(), s) {
				p.t.Errorf("the log shows %q:\n%s", s, p.log)
			}
		}
	})
	return m
}

func (p *op) flow() auth.Flow {
	return auth.Flow{State: "state-word", Nonce: "nonce-word", Verifier: strings.Repeat("verifier-word", 4), RedirectURI: redirectURI, Started: p.now()}
}

// complete signs in with an answer as a provider sends it.
func (p *op) complete(m *oidc.Method) (*auth.Login, error) {
	p.set(func() { p.nonce = "nonce-word" })
	return m.Complete(p.t.Context(), p.flow(), url.Values{"code": {"code-word"}, "state": {"state-word"}})
}

func (p *op) signIn(m *oidc.Method) *auth.Login {
	p.t.Helper()
	login, err := p.complete(m)
	if err != nil {
		p.t.Fatalf("sign-in: %v", err)
	}
	return login
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// says is a handler with one answer.
func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func publicJWK(key crypto.PublicKey) map[string]any {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, _ := k.Bytes()
		half := (len(point) - 1) / 2
		return map[string]any{"kty": "EC", "crv": k.Curve.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	}
	return nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func replaceIssuer(payload, issuer string) string { return strings.ReplaceAll(payload, "ISS", issuer) }

// decodeStrict reads exactly one JSON value.
func decodeStrict(text string, v any) error { return json.Unmarshal([]byte(text), v) }
