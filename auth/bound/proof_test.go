package bound_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth/bound"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newEC(t testing.TB, curve elliptic.Curve) (*ecdsa.PrivateKey, map[string]any) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := len(raw) / 2
	return key, map[string]any{"kty": "EC", "crv": curve.Params().Name, "x": b64(raw[1 : 1+n]), "y": b64(raw[1+n:])}
}

func newRSA(t testing.TB, bits int) (*rsa.PrivateKey, map[string]any) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0") // an attacker makes any
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key, map[string]any{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

// sign makes a proof. Header fields of nil are left out.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["typ"] = "dbsc+jwt"
	for name, value := range header {
		if token.Header[name] = value; value == nil {
			delete(token.Header, name)
		}
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRegisters(t *testing.T) {
	ec, ecKey := newEC(t, elliptic.P256())
	rs, rsKey := newRSA(t, 2048)
	for _, c := range []struct {
		name   string
		method jwt.SigningMethod
		key    crypto.Signer
		jwk    map[string]any
	}{{"ES256", jwt.SigningMethodES256, ec, ecKey}, {"RS256", jwt.SigningMethodRS256, rs, rsKey}} {
		proof := sign(t, c.method, c.key, map[string]any{"jwk": c.jwk}, jwt.MapClaims{"jti": "c1"})
		for _, spelled := range []string{proof, `"` + proof + `"`, " " + proof + " "} {
			key, challenge, err := bound.Registers(spelled)
			if err != nil || challenge != "c1" {
				t.Fatalf("%s: got %q, %v, want c1", c.name, challenge, err)
			}
			if again, err := bound.ParseKey(key.String()); err != nil || again != key {
				t.Errorf("%s: read again: got %v, %v, want the same", c.name, again, err)
			}
			later := sign(t, c.method, c.key, nil, jwt.MapClaims{"jti": "c2"})
			if challenge, err := key.Signed(later); err != nil || challenge != "c2" {
				t.Errorf("%s: a later proof: got %q, %v, want c2", c.name, challenge, err)
			}
		}
	}
}

// TestRefusedProofs: DB-01, DB-02 and DB-15 of the catalogue of attacks.
func TestRefusedProofs(t *testing.T) {
	ec, ecKey := newEC(t, elliptic.P256())
	other, otherKey := newEC(t, elliptic.P256())
	p384, p384Key := newEC(t, elliptic.P384())
	rs, rsKey := newRSA(t, 2048)
	small, smallKey := newRSA(t, 1024)
	jti := jwt.MapClaims{"jti": "c1"}
	with := func(jwk any, more ...any) map[string]any {
		h := map[string]any{"jwk": jwk}
		for i := 0; i < len(more); i += 2 {
			h[more[i].(string)] = more[i+1]
		}
		return h
	}
	offCurve := map[string]any{"kty": "EC", "crv": "P-256", "x": ecKey["x"], "y": otherKey["y"]}
	registered, _, err := bound.Registers(sign(t, jwt.SigningMethodES256, ec, with(ecKey), jti))
	if err != nil {
		t.Fatal(err)
	}
	for name, proof := range map[string]string{
		"no signature":          sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with(ecKey), jti),
		"a shared secret":       sign(t, jwt.SigningMethodHS256, []byte(registered.String()), with(ecKey), jti),
		"an octet key":          sign(t, jwt.SigningMethodHS256, []byte("secret"), with(map[string]any{"kty": "oct", "k": b64([]byte("secret"))}), jti),
		"RS256 with an EC key":  sign(t, jwt.SigningMethodRS256, rs, with(ecKey), jti),
		"ES256 with an RSA key": sign(t, jwt.SigningMethodES256, ec, with(rsKey), jti),
		"PS256":                 sign(t, jwt.SigningMethodPS256, rs, with(rsKey), jti),
		"P-384":                 sign(t, jwt.SigningMethodES384, p384, with(p384Key), jti),
		"a small RSA key":       sign(t, jwt.SigningMethodRS256, small, with(smallKey), jti),
		"a point off the curve": sign(t, jwt.SigningMethodES256, ec, with(offCurve), jti),
		"no key":                sign(t, jwt.SigningMethodES256, ec, nil, jti),
		"a key that is text":    sign(t, jwt.SigningMethodES256, ec, with(registered.String()), jti),
		"another's key":         sign(t, jwt.SigningMethodES256, other, with(ecKey), jti),
		"another typ":           sign(t, jwt.SigningMethodES256, ec, with(ecKey, "typ", "JWT"), jti),
		"no typ":                sign(t, jwt.SigningMethodES256, ec, with(ecKey, "typ", nil), jti),
		"crit":                  sign(t, jwt.SigningMethodES256, ec, with(ecKey, "crit", []string{"b64"}), jti),
		"no challenge":          sign(t, jwt.SigningMethodES256, ec, with(ecKey), jwt.MapClaims{}),
		"a challenge of none":   sign(t, jwt.SigningMethodES256, ec, with(ecKey), jwt.MapClaims{"jti": ""}),
		"one of 1 MB":           sign(t, jwt.SigningMethodES256, ec, with(ecKey), jwt.MapClaims{"jti": strings.Repeat("x", 1<<20)}),
		"nothing":               "",
		"quotes":                `""`,
		"a line break":          sign(t, jwt.SigningMethodES256, ec, with(ecKey), jti) + "\n\n.",
	} {
		if _, challenge, err := bound.Registers(proof); err == nil {
			t.Errorf("%s: registered, challenge %q", name, challenge)
		}
	}
	for name, proof := range map[string]string{
		"an attacker's key, brought along": sign(t, jwt.SigningMethodES256, other, with(otherKey), jti),
		"an attacker's key":                sign(t, jwt.SigningMethodES256, other, nil, jti),
		"another algorithm":                sign(t, jwt.SigningMethodRS256, rs, nil, jti),
		"no signature":                     sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, jti),
	} {
		if challenge, err := registered.Signed(proof); err == nil {
			t.Errorf("%s: believed, challenge %q", name, challenge)
		}
	}
	if _, err := (bound.Key{}).Signed(sign(t, jwt.SigningMethodES256, ec, nil, jti)); err == nil {
		t.Error("a session without a key: believed")
	}
	if _, err := bound.ParseKey(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`); err == nil {
		t.Error("a key of one byte was read")
	}
}

// FuzzRegisters: whatever comes, there is an error or a key that reads as it was written.
func FuzzRegisters(f *testing.F) {
	ec, ecKey := newEC(f, elliptic.P256())
	f.Add(sign(f, jwt.SigningMethodES256, ec, map[string]any{"jwk": ecKey}, jwt.MapClaims{"jti": "c1"}))
	f.Add(`"a.b.c"`)
	f.Fuzz(func(t *testing.T, proof string) {
		key, challenge, err := bound.Registers(proof)
		if err != nil {
			return
		}
		if again, err := bound.ParseKey(key.String()); err != nil || again != key || challenge == "" {
			t.Errorf("%q: got %q, %v, read again %v", proof, challenge, err, again)
		}
	})
}
