package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// Forgery is one way in which an ID token is wrong.
type Forgery struct {
	Name string
	Turn func(*idp.Knobs)
}

type m = map[string]any

func claims(f func(c m)) func(*idp.Knobs) {
	return func(k *idp.Knobs) { k.IDToken = func(_, c m) { f(c) } }
}

func header(f func(h m)) func(*idp.Knobs) {
	return func(k *idp.Knobs) { k.IDToken = func(h, _ m) { f(h) } }
}

func sign(f func(h, c m) string) func(*idp.Knobs) { return func(k *idp.Knobs) { k.Sign = f } }

func set(name string, v any) func(*idp.Knobs) { return claims(func(c m) { c[name] = v }) }
func unset(name string) func(*idp.Knobs)      { return claims(func(c m) { delete(c, name) }) }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a table that cannot be JSON
	}
	return b64(b)
}

// hmacWith signs with HS256, as if the key were a shared secret.
func hmacWith(key []byte) func(h, c m) string {
	return func(h, c m) string {
		h["alg"] = "HS256"
		input := encode(h) + "." + encode(c)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		return input + "." + b64(mac.Sum(nil))
	}
}

// Forgeries are the faults of ID tokens: each has to end a sign-in.
func Forgeries(p *Provider) []Forgery {
	der, err := x509.MarshalPKIXPublicKey(p.PublicKey())
	if err != nil {
		p.t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	now := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	return []Forgery{
		{"alg none", sign(func(h, c m) string { h["alg"] = "none"; return encode(h) + "." + encode(c) + "." })},
		{"alg NONE", sign(func(h, c m) string { h["alg"] = "NoNe"; return encode(h) + "." + encode(c) + "." })},
		{"HS256 with the public key", sign(hmacWith(der))},
		{"HS256 with the client secret", sign(hmacWith([]byte(ClientSecret)))},
		{"a stranger's key under a known kid", sign(func(h, c m) string { return idp.SignWith(stranger, h, c) })},
		{"an unknown kid", header(func(h m) { h["kid"] = "another" })},
		{"a kid that is a path", header(func(h m) { h["kid"] = "../../dev/null" })},
		{"a kid that is a number", header(func(h m) { h["kid"] = 1 })},
		{"an algorithm that the provider does not list", sign(func(h, c m) string { h["alg"] = "ES256"; return idp.SignWith(ec, h, c) })},
		{"an algorithm the key is not for", header(func(h m) { h["alg"] = "PS256" })},
		{"a key that comes along", sign(func(h, c m) string {
			h["jwk"] = m{"kty": "RSA", "n": b64(stranger.N.Bytes()), "e": b64(big.NewInt(int64(stranger.E)).Bytes())}
			return idp.SignWith(stranger, h, c)
		})},
		{"a key to be fetched", sign(func(h, c m) string { h["jku"] = "https://evil.example/jwks"; return idp.SignWith(stranger, h, c) })},
		{"crit", header(func(h m) { h["crit"] = []string{"exp"} })},
		{"b64 false", header(func(h m) { h["b64"] = false })},
		{"typ of an access token", header(func(h m) { h["typ"] = "at+jwt" })},
		{"typ of a logout token", header(func(h m) { h["typ"] = "logout+jwt" })},
		{"no signature", sign(func(h, c m) string { return encode(h) + "." + encode(c) + "." })},
		{"a signature of zeros", sign(func(h, c m) string { return encode(h) + "." + encode(c) + "." + b64(make([]byte, 256)) })},
		{"a changed payload", sign(func(h, c m) string {
			parts := strings.Split(p.Sign(h, c), ".")
			c["email"] = "admin@corp.test"
			return parts[0] + "." + encode(c) + "." + parts[2]
		})},
		{"two parts", sign(func(h, c m) string { return encode(h) + "." + encode(c) })},
		{"five parts", sign(func(h, c m) string { return p.Sign(h, c) + ".a.b" })},
		{"padding", sign(func(h, c m) string { return p.Sign(h, c) + "==" })},
		{"a line break in the signature", sign(func(h, c m) string { raw := p.Sign(h, c); return raw[:len(raw)-8] + "\n" + raw[len(raw)-8:] })},
		{"no JSON", sign(func(m, m) string { return "e30.e30x.e30" })},
		{"beyond all size", claims(func(c m) { c["x"] = strings.Repeat("x", 100<<10) })},
		{"a claim twice", sign(func(h, c m) string {
			// The first subject is the victim's, the second the attacker's own.
			c["sub"] = Subject
			body, _ := json.Marshal(c)
			return p.SignText(h, `{"sub":"victim",`+string(body[1:]))
		})},
		{"another issuer", set("iss", "https://evil.example")},
		{"the issuer with a slash more", claims(func(c m) { c["iss"] = c["iss"].(string) + "/" })},
		{"no issuer", unset("iss")},
		{"another audience", set("aud", "another")},
		{"no audience", unset("aud")},
		{"an audience that merely begins alike", set("aud", ClientID+"2")},
		{"several audiences and no azp", set("aud", []string{ClientID, "another"})},
		{"another azp", claims(func(c m) { c["aud"], c["azp"] = []string{ClientID, "another"}, "another" })},
		{"an azp that is a list", set("azp", []string{ClientID})},
		{"expired", set("exp", now(-2*time.Minute))},
		{"no exp", unset("exp")},
		{"exp as text", set("exp", "9999999999")},
		{"exp null", set("exp", nil)},
		{"not yet valid", set("nbf", now(5*time.Minute))},
		{"issued in the future", set("iat", now(5*time.Minute))},
		{"no iat", unset("iat")},
		{"no subject", unset("sub")},
		{"an empty subject", set("sub", "")},
		{"a subject that is a number", set("sub", 17)},
		{"a subject beyond all length", set("sub", strings.Repeat("s", 256))},
		{"a subject with a control character", set("sub", "a\nb")},
		{"another nonce", set("nonce", "another")},
		{"no nonce", unset("nonce")},
		{"a nonce that is a list", claims(func(c m) { c["nonce"] = []any{c["nonce"]} })},
		{"at_hash of another token", set("at_hash", idp.HalfHash("another"))},
		{"at_hash that is a number", set("at_hash", 1)},
	}
}

// LogoutForgery is one way in which a logout token is wrong.
type LogoutForgery struct {
	Name  string
	Forge func(header, claims map[string]any)
}

// LogoutForgeries have to end nothing.
func LogoutForgeries() []LogoutForgery {
	change := func(f func(c m)) func(h, c m) { return func(_, c m) { f(c) } }
	return []LogoutForgery{
		{"a nonce", change(func(c m) { c["nonce"] = "x" })},
		{"no events", change(func(c m) { delete(c, "events") })},
		{"another event", change(func(c m) { c["events"] = m{"https://example.com/other": m{}} })},
		{"an event that is no object", change(func(c m) { c["events"] = m{"http://schemas.openid.net/event/backchannel-logout": true} })},
		{"events as a list", change(func(c m) { c["events"] = []string{"http://schemas.openid.net/event/backchannel-logout"} })},
		{"neither subject nor session", change(func(c m) { delete(c, "sub"); delete(c, "sid") })},
		{"another audience", change(func(c m) { c["aud"] = "another" })},
		{"another issuer", change(func(c m) { c["iss"] = "https://evil.example" })},
		{"expired", change(func(c m) { c["exp"] = time.Now().Add(-2 * time.Minute).Unix() })},
		{"no exp", change(func(c m) { delete(c, "exp") })},
		{"old", change(func(c m) { c["iat"] = time.Now().Add(-2 * time.Hour).Unix() })},
		{"no iat", change(func(c m) { delete(c, "iat") })},
		{"no jti", change(func(c m) { delete(c, "jti") })},
		{"typ of an access token", func(h, _ m) { h["typ"] = "at+jwt" }},
		{"typ of an ID token", func(h, _ m) { h["typ"] = "JWT" }},
		{"an unknown kid", func(h, _ m) { h["kid"] = "another" }},
	}
}
