package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
)

// refusedWith reports whether err is a refusal of what came, and no outage.
func refusedWith(t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*auth.Refused](err); !ok {
		t.Errorf("%s: got %T %v, want it refused", what, err, err)
	}
}

func unavailable(t *testing.T, what string, err error) *auth.Unavailable {
	t.Helper()
	u, ok := errors.AsType[*auth.Unavailable](err)
	if !ok {
		t.Errorf("%s: got %T %v, want an outage", what, err, err)
	}
	return u
}

func remake(raw string, part int, text string) string {
	parts := strings.Split(raw, ".")
	parts[part] = b64([]byte(text))
	return strings.Join(parts, ".")
}

func plainPart(raw string, part int) string {
	b, _ := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[part])
	return string(b)
}

// resign signs a payload that no map can hold.
func resign(p *op, payload string) string {
	head := b64([]byte(`{"alg":"RS256","kid":"one"}`)) + "." + b64([]byte(payload))
	sig, err := jwt.SigningMethodRS256.Sign(head, p.signer.signer)
	if err != nil {
		p.t.Error(err)
	}
	return head + "." + b64(sig)
}

// TestForgedIDTokens is the corpus of ID tokens that must not sign anybody in
// (T-01 to T-31), each at a provider that is fine but for it.
func TestForgedIDTokens(t *testing.T) {
	mine, _ := rsa.GenerateKey(rand.Reader, 2048)
	small, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	claim := func(name string, v any) func(*op) {
		return func(p *op) { p.claims = func(c map[string]any) { c[name] = v } }
	}
	without := func(name string) func(*op) {
		return func(p *op) { p.claims = func(c map[string]any) { delete(c, name) } }
	}
	header := func(name string, v any) func(*op) {
		return func(p *op) { p.header = func(h map[string]any) { h[name] = v } }
	}
	rewrite := func(f func(p *op, raw string) string) func(*op) {
		return func(p *op) { p.rewrite = func(raw string) string { return f(p, raw) } }
	}
	foreign := func(head func(map[string]any)) func(*op) {
		return rewrite(func(p *op, raw string) string {
			c := jwt.MapClaims{}
			_, _, _ = jwt.NewParser().ParseUnverified(raw, c)
			return signWith(p.t, &opKey{id: "one", method: jwt.SigningMethodRS256, signer: mine}, c, head)
		})
	}
	ec := func(p *op) {
		p.signer = &opKey{id: "ec", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]}
		p.keys = append(p.keys, p.signer)
	}
	ecSignature := func(make func(r, s *big.Int) []byte) func(*op) {
		return func(p *op) {
			ec(p)
			p.rewrite = func(raw string) string {
				parts := strings.Split(raw, ".")
				sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
				return parts[0] + "." + parts[1] + "." + b64(make(new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])))
			}
		}
	}
	publish := func(edit func(map[string]any)) func(*op) {
		return func(p *op) { p.signer.edit = edit }
	}
	at := func(d time.Duration) int64 { return time.Unix(1_800_000_000, 0).Add(d).Unix() }

	for name, forge := range map[string]func(*op){
		"T-01 alg none": rewrite(func(_ *op, raw string) string {
			parts := strings.Split(raw, ".")
			return b64([]byte(`{"alg":"none","kid":"one"}`)) + "." + parts[1] + "."
		}),
		"T-02 alg nOnE":   rewrite(func(_ *op, raw string) string { return remake(raw, 0, `{"alg":"nOnE","kid":"one"}`) }),
		"T-02 no alg":     rewrite(func(_ *op, raw string) string { return remake(raw, 0, `{"kid":"one"}`) }),
		"T-02 alg null":   rewrite(func(_ *op, raw string) string { return remake(raw, 0, `{"alg":null,"kid":"one"}`) }),
		"T-02 alg a list": rewrite(func(_ *op, raw string) string { return remake(raw, 0, `{"alg":["RS256"],"kid":"one"}`) }),
		"T-03 HS256 keyed with the public key": rewrite(func(p *op, raw string) string {
			der, _ := x509.MarshalPKIXPublicKey(testKeys()["RS256"].Public())
			head := b64([]byte(`{"alg":"HS256","kid":"one"}`)) + "." + strings.Split(raw, ".")[1]
			sig, _ := jwt.SigningMethodHS256.Sign(head, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			return head + "." + b64(sig)
		}),
		"T-03 HS256 keyed with the client secret": rewrite(func(p *op, raw string) string {
			head := b64([]byte(`{"alg":"HS256"}`)) + "." + strings.Split(raw, ".")[1]
			sig, _ := jwt.SigningMethodHS256.Sign(head, []byte(clientSecret))
			return head + "." + b64(sig)
		}),
		"T-05 no signature": rewrite(func(_ *op, raw string) string { return raw[:strings.LastIndex(raw, ".")+1] }),
		"T-06 the signature of another token": rewrite(func(p *op, raw string) string {
			other := p.sign(map[string]any{"sub": "alice"}, nil)
			return raw[:strings.LastIndex(raw, ".")] + other[strings.LastIndex(other, "."):]
		}),
		"T-06 a changed payload": rewrite(func(_ *op, raw string) string {
			return remake(raw, 1, strings.Replace(plainPart(raw, 1), `"alice"`, `"admin"`, 1))
		}),
		"a foreign key under a known kid": foreign(nil),
		"T-07 a key brought along": foreign(func(h map[string]any) {
			h["jwk"] = publicJWK(mine.Public())
		}),
		"T-08 a key to fetch":              foreign(func(h map[string]any) { h["jku"], h["x5u"] = "https://evil.example/jwks", "https://evil.example/c" }),
		"T-09 a certificate brought along": foreign(func(h map[string]any) { h["x5c"] = []string{"MIIB"} }),
		"T-10 crit":                        header("crit", []string{"x"}),
		"T-10 an empty crit":               header("crit", []string{}),
		"T-11 b64 false":                   header("b64", false),
		"T-12 a kid that is a path":        header("kid", "../../dev/null"),
		"T-12 a kid with SQL":              header("kid", "' OR 1=1"),
		"T-12 a kid of a megabyte":         header("kid", strings.Repeat("k", 200<<10)),
		"T-12 a kid that is no text":       header("kid", 7),
		"T-15 a key for encryption":        publish(func(j map[string]any) { j["use"] = "enc" }),
		"T-15 a key for another algorithm": publish(func(j map[string]any) { j["alg"] = "PS256" }),
		"T-16 an EC key under an RSA alg": publish(func(j map[string]any) {
			clear(j)
			j["kty"] = "EC"
			for k, v := range publicJWK(&small.PublicKey) {
				j[k] = v
			}
			j["kid"] = "one"
		}),
		"T-16 ES384 with a P-256 key": func(p *op) {
			ec(p)
			p.rewrite = func(raw string) string {
				head := b64([]byte(`{"alg":"ES384","kid":"ec"}`)) + "." + strings.Split(raw, ".")[1]
				digest := sha512.Sum384([]byte(head))
				r, s, _ := ecdsa.Sign(rand.Reader, testKeys()["ES256"].(*ecdsa.PrivateKey), digest[:])
				sig := make([]byte, 96)
				r.FillBytes(sig[:48])
				s.FillBytes(sig[48:])
				return head + "." + b64(sig)
			}
		},
		"T-17 an ES256 signature in DER": ecSignature(func(r, s *big.Int) []byte {
			b, _ := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			return b
		}),
		"T-17 r and s zero":          ecSignature(func(_, _ *big.Int) []byte { return make([]byte, 64) }),
		"T-18 a small RSA key":       publish(func(j map[string]any) { j["n"] = b64(new(big.Int).Lsh(big.NewInt(3), 1022).Bytes()) }),
		"T-18 an RSA key with e = 1": publish(func(j map[string]any) { j["e"] = "AQ" }),
		"T-18 a huge RSA key":        publish(func(j map[string]any) { j["n"] = b64([]byte(strings.Repeat("\xff", 2048))) }),
		"T-18 a symmetric key":       publish(func(j map[string]any) { clear(j); j["kty"], j["k"], j["kid"] = "oct", "c2VjcmV0", "one" }),
		"T-19 another issuer":        claim("iss", "https://evil.example"),
		"T-19 no issuer":             without("iss"),
		"T-19 a list of issuers":     func(p *op) { p.claims = func(c map[string]any) { c["iss"] = []any{c["iss"]} } },
		"T-19 the issuer with a /":   func(p *op) { p.claims = func(c map[string]any) { c["iss"] = c["iss"].(string) + "/" } },
		"T-20 another audience":      claim("aud", "other"),
		"T-20 no audience":           without("aud"),
		"T-20 an empty audience":     claim("aud", []string{}),
		"T-20 a number as audience":  claim("aud", 7),
		"T-20 one more, without azp": claim("aud", []string{clientID, "other"}),
		"T-20 one more, for the other": func(p *op) {
			p.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "other"}, "other" }
		},
		"T-22 azp of another client": claim("azp", "other"),
		"T-22 azp that is no text":   claim("azp", []string{clientID}),
		"T-24 expired":               claim("exp", at(-61*time.Second)),
		"T-24 no exp":                without("exp"),
		"T-24 exp as text":           claim("exp", "1800003600"),
		"T-24 exp negative":          claim("exp", -1),
		"T-24 exp null":              claim("exp", nil),
		"T-24 exp 1e300": rewrite(func(p *op, raw string) string {
			return resign(p, strings.Replace(plainPart(raw, 1), "1800003600", "1e300", 1))
		}),
		"T-25 no iat":                   without("iat"),
		"T-25 iat as text":              claim("iat", "1800000000"),
		"T-25 issued in a day":          claim("iat", at(24*time.Hour)),
		"T-25 issued a year ago":        claim("iat", at(-365*24*time.Hour)),
		"T-26 not before tomorrow":      claim("nbf", at(24*time.Hour)),
		"T-28 an access token":          header("typ", "at+jwt"),
		"T-28 an access token, long":    header("typ", "application/at+jwt"),
		"T-28 a logout token":           header("typ", "logout+jwt"),
		"T-28 a logout token, untyped":  claim("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}),
		"T-29 at_hash of another token": claim("at_hash", b64(make([]byte, 16))),
		"T-29 at_hash that is no text":  claim("at_hash", 7),
		"T-31 sub twice": rewrite(func(p *op, raw string) string {
			return resign(p, strings.Replace(plainPart(raw, 1), `"sub":`, `"sub":"admin","sub":`, 1))
		}),
		"T-31 a role twice, inside": rewrite(func(p *op, raw string) string {
			return resign(p, strings.Replace(plainPart(raw, 1), `"sub":`, `"x":{"a":1,"a":2},"sub":`, 1))
		}),
		"another nonce":           claim("nonce", "other"),
		"no nonce":                without("nonce"),
		"a nonce that is no text": claim("nonce", []string{"nonce-word"}),
		"no subject":              without("sub"),
		"an empty subject":        claim("sub", ""),
		"a number as subject":     claim("sub", 7),
		"a long subject":          claim("sub", strings.Repeat("s", 256)),
		"T-20 an audience of two, one of them a number":  claim("aud", []any{clientID, 7}),
		"T-20 an audience of two, one of them an object": claim("aud", []any{clientID, map[string]any{}}),
		"T-20 an audience of two, one of them a list":    claim("aud", []any{clientID, []any{"other"}}),
		"T-20 an audience of two, one without a name":    claim("aud", []any{clientID, ""}),
		"T-25 iat before all time":                       claim("iat", -1e300),
		"T-26 nbf beyond all time":                       claim("nbf", 1e300),
		"T-26 nbf null":                                  claim("nbf", nil),
		"T-28 a typ that is a list":                      header("typ", []any{"at+jwt"}),
		"T-28 a typ that is a number":                    header("typ", 7),
		"T-28 a typ that is null":                        header("typ", nil),
		"a subject with a line":                          claim("sub", "alice\nadmin"),
		"a subject beyond ASCII":                         claim("sub", "аlice"),
		"no ID token":                                    rewrite(func(*op, string) string { return "" }),
		"an encrypted one":                               rewrite(func(_ *op, raw string) string { return raw + ".x.y" }),
		"words":                                          rewrite(func(*op, string) string { return "no token" }),
		"a payload that is no object":                    rewrite(func(p *op, _ string) string { return resign(p, `["sub"]`) }),
		"an endless token":                               claim("pad", strings.Repeat("p", 200<<10)),
		"after the payload, more":                        rewrite(func(p *op, raw string) string { return resign(p, plainPart(raw, 1)+`{}`) }),
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			m := p.method()
			p.set(func() { forge(p) })
			login, err := p.complete(m)
			if login != nil {
				t.Errorf("got a Login for %q", login.Identity.Subject)
			}
			if _, out := errors.AsType[*auth.Unavailable](err); out && strings.HasPrefix(name, "T-18") {
				return // not one key that can be used: nobody can tell
			}
			if _, out := errors.AsType[*auth.Unavailable](err); out && (strings.HasPrefix(name, "T-15 a key for enc")) {
				return
			}
			refusedWith(t, name, err)
		})
	}
}

// TestGoodIDTokens are unusual and right.
func TestGoodIDTokens(t *testing.T) {
	at := func(d time.Duration) int64 { return time.Unix(1_800_000_000, 0).Add(d).Unix() }
	with := func(alg string, method jwt.SigningMethod) func(*op) {
		return func(p *op) {
			p.signer = &opKey{id: alg, method: method, signer: testKeys()[alg]}
			p.keys = append(p.keys, p.signer)
			p.claims = func(c map[string]any) { delete(c, "at_hash") }
		}
	}
	for name, change := range map[string]func(*op){
		"plain":                  func(*op) {},
		"a list of one audience": func(p *op) { p.claims = func(c map[string]any) { c["aud"] = []string{clientID} } },
		"another audience, azp is ours": func(p *op) {
			p.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{"api", clientID}, clientID }
		},
		"no at_hash":          func(p *op) { p.claims = func(c map[string]any) { delete(c, "at_hash") } },
		"T-38 issued in 59 s": func(p *op) { p.claims = func(c map[string]any) { c["iat"] = at(59 * time.Second) } },
		"T-38 expired 59 s ago": func(p *op) {
			p.claims = func(c map[string]any) { c["iat"], c["exp"] = at(-time.Hour), at(-59*time.Second) }
		},
		"times with fractions": func(p *op) { p.claims = func(c map[string]any) { c["exp"] = float64(at(time.Hour)) + 0.5 } },
		"typ JWT":              func(p *op) { p.header = func(h map[string]any) { h["typ"] = "JWT" } },
		"no typ":               func(p *op) { p.header = func(h map[string]any) { delete(h, "typ") } },
		"no kid and one key":   func(p *op) { p.header = func(h map[string]any) { delete(h, "kid") } },
		"no kid, one key that fits": func(p *op) {
			p.keys = append(p.keys, &opKey{id: "ec", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]})
			p.header = func(h map[string]any) { delete(h, "kid") }
		},
		"a key without use and alg": func(p *op) { p.signer.edit = func(j map[string]any) { delete(j, "use"); delete(j, "alg") } },
		"next to keys nobody understands": func(p *op) {
			p.keys = append(p.keys, &opKey{id: "x", method: jwt.SigningMethodRS256, signer: testKeys()["second"], edit: func(j map[string]any) { j["kty"] = "XYZ" }})
		},
		"ES256": with("ES256", jwt.SigningMethodES256),
		"ES384": with("ES384", jwt.SigningMethodES384),
		"ES512": with("ES512", jwt.SigningMethodES512),
		"EdDSA": with("EdDSA", jwt.SigningMethodEdDSA),
		"PS256": with("second", jwt.SigningMethodPS256),
		"RS512": with("second", jwt.SigningMethodRS512),
		"many groups": func(p *op) {
			p.claims = func(c map[string]any) {
				c["groups"] = strings.Split(strings.Repeat("a-group-of-some-length,", 800), ",")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.set(func() { change(p) })
			if login, err := p.complete(p.method()); err != nil || login == nil || login.Identity.Subject != "alice" {
				t.Errorf("got %v, %v, want alice signed in", login, err)
			}
		})
	}
}

func TestHashOfTheAccessTokenFollowsTheAlgorithm(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.set(func() {
		p.signer = &opKey{id: "ES384", method: jwt.SigningMethodES384, signer: testKeys()["ES384"]}
		p.keys = append(p.keys, p.signer)
	})
	_, err := p.complete(m) // its at_hash is by SHA-256
	refusedWith(t, "at_hash by another hash", err)
	p.set(func() {
		p.claims = func(c map[string]any) {
			sum := sha512.Sum384([]byte("access-2"))
			c["at_hash"] = b64(sum[:24])
		}
	})
	if _, err := p.complete(m); err != nil {
		t.Errorf("at_hash by SHA-384: got %v, want it taken", err)
	}
}

// TestAlgorithmOfTheMetadata: what a provider does not list, it does not use.
func TestAlgorithmOfTheMetadata(t *testing.T) {
	for name, row := range map[string]struct {
		algs any
		ok   bool
	}{
		"listed":           {[]string{"RS256"}, true},
		"not listed":       {[]string{"ES256"}, false},
		"none listed":      {nil, true}, // RS256 is what that means
		"only HS256":       {[]string{"HS256"}, false},
		"nothing but none": {[]string{"none"}, false},
	} {
		p := newOP(t)
		p.set(func() {
			p.meta = func(md map[string]any) {
				md["id_token_signing_alg_values_supported"] = row.algs
				if row.algs == nil {
					delete(md, "id_token_signing_alg_values_supported")
				}
			}
		})
		if _, err := p.complete(p.method()); (err == nil) != row.ok {
			t.Errorf("%s: got %v, want accepted %v", name, err, row.ok)
		}
	}
}

// TestKidAbsentSeveralKeys: the conformance suite wants it refused or found.
func TestKidAbsentSeveralKeys(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.keys = append(p.keys, &opKey{id: "two", method: jwt.SigningMethodRS256, signer: testKeys()["second"]})
		p.header = func(h map[string]any) { delete(h, "kid") }
	})
	_, err := p.complete(p.method())
	refusedWith(t, "no kid and two keys that fit", err)
}

// T-41: golang-jwt joins errors, and expired must not hide badly signed.
func TestExpiredAndForgedIsForged(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.claims = func(c map[string]any) { c["exp"] = int64(1_700_000_000) }
		p.rewrite = func(raw string) string { return raw[:len(raw)-8] + "AAAAAAAA" }
	})
	_, err := p.complete(p.method())
	if !strings.Contains(err.Error(), "signature") || strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v, want a bad signature alone", err)
	}
}

func TestMaxAge(t *testing.T) {
	age := 10 * time.Minute
	for name, row := range map[string]struct {
		claims func(map[string]any)
		ok     bool
	}{
		"just signed in":          {func(map[string]any) {}, true},
		"ten and a half ago":      {func(c map[string]any) { c["auth_time"] = 1_800_000_000 - 630 }, true},
		"twelve minutes ago":      {func(c map[string]any) { c["auth_time"] = 1_800_000_000 - 720 }, false},
		"does not say":            {func(c map[string]any) { delete(c, "auth_time") }, false},
		"says it in words":        {func(c map[string]any) { c["auth_time"] = "now" }, false},
		"in an hour, if you like": {func(c map[string]any) { c["auth_time"] = 1_800_000_000 + 3600 }, false},
	} {
		p := newOP(t)
		p.set(func() { p.claims = row.claims })
		m := p.method(func(c *oidc.Config) { c.MaxAge = &age })
		to, err := m.Begin(t.Context(), p.flow())
		if err != nil {
			t.Fatal(err)
		}
		if u, _ := url.Parse(to); u.Query().Get("max_age") != "600" {
			t.Errorf("max_age: got %q, want 600 (seconds)", u.Query().Get("max_age"))
		}
		if _, err := p.complete(m); (err == nil) != row.ok {
			t.Errorf("%s: got %v, want accepted %v", name, err, row.ok)
		}
	}
}
