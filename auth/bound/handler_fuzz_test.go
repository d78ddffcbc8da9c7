package bound_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/bound"
	"github.com/evergate/evergate/internal/web"
)

const (
	fuzzID        = "0123456789abcdef"
	fuzzChallenge = "the-challenge_1"
)

// fuzzKey is always the same one, so that the proofs of the corpus stay what they are.
func fuzzKey(t testing.TB) (*ecdsa.PrivateKey, map[string]any) {
	t.Helper()
	seed := sha256.Sum256([]byte("a key that everybody knows"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return key, map[string]any{"kty": "EC", "crv": "P-256", "x": b64(raw[1:33]), "y": b64(raw[33:])}
}

// one is the one session that there is, bound or not.
type one struct{ key string }

func (o *one) Binding(*http.Request) (auth.Binding, error) {
	if o.key == "" {
		return auth.Binding{}, nil
	}
	return auth.Binding{ID: fuzzID, Key: o.key, Cookie: boundSID, Attributes: "Path=/; Secure; HttpOnly; SameSite=Lax"}, nil
}
func (*one) Offer(*http.Request) (string, error)     { return fuzzChallenge, nil }
func (*one) Challenge(*http.Request) (string, error) { return fuzzChallenge, nil }

func (o *one) Bind(header http.Header, _ *http.Request, key, challenge string) (auth.Binding, error) {
	if o.key != "" || challenge != fuzzChallenge {
		return auth.Binding{}, &auth.Refused{Reason: "no"}
	}
	o.key = key
	header.Add("Set-Cookie", boundSID+"=x")
	return o.Binding(nil)
}

func (o *one) Prove(header http.Header, _ *http.Request, challenge string) error {
	if o.key == "" || challenge != fuzzChallenge {
		return &auth.Refused{Reason: "no"}
	}
	header.Add("Set-Cookie", boundSID+"=x")
	return nil
}

// FuzzHandler: whatever a browser sends, there is no panic and no error of ours, and no cookie
// unless the challenge was signed by the key, which is looked at here without the package's own code.
func FuzzHandler(f *testing.F) {
	key, jwk := fuzzKey(f)
	jti := jwt.MapClaims{"jti": fuzzChallenge}
	register := sign(f, jwt.SigningMethodES256, key, map[string]any{"jwk": jwk}, jti)
	f.Add(true, "", register, "")
	f.Add(false, fuzzID, sign(f, jwt.SigningMethodES256, key, nil, jti), "")
	f.Add(false, `"`+fuzzID+`"`, `"`+sign(f, jwt.SigningMethodES256, key, nil, jwt.MapClaims{"jti": "x"})+`"`, "https://gw.test")
	f.Add(false, fuzzID, "", "https://evil.test")
	registered, _, err := bound.Registers(register)
	if err != nil {
		f.Fatal(err)
	}
	bindings, used := &one{}, map[string]bool{}
	pages, err := auth.NewHandler(auth.HandlerConfig{
		Sessions: nobody{}, Sealer: nobody{}, PublicURL: &url.URL{Scheme: "https", Host: "gw.test"}, CookiePrefix: sid,
		DeviceKeys: &bound.Handler{Bindings: bindings, Log: slog.New(slog.DiscardHandler), Once: func(_ context.Context, name string, _ time.Time) (bool, error) {
			first := !used[name]
			used[name] = true
			return first, nil
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = pages.Close() })
	serve := web.Serve(pages, web.Options{})
	f.Fuzz(func(t *testing.T, registers bool, id, proof, origin string) {
		path, known := bound.RefreshPath, registered.String()
		if registers {
			path, known = bound.RegisterPath, ""
		}
		bindings.key = known
		clear(used)
		r := httptest.NewRequest("POST", "https://gw.test"+path, nil)
		for name, value := range map[string]string{"Sec-Secure-Session-Id": id, "Secure-Session-Response": proof, "Origin": origin} {
			if value != "" {
				r.Header[name] = strings.Split(value, "\n") // net/http gives lines of their own apart
			}
		}
		w := httptest.NewRecorder()
		serve.ServeHTTP(w, r)
		if c := w.Code; c != 200 && c != 400 && c != 403 {
			t.Errorf("got %d %.200q", c, w.Body)
		}
		gave := w.Header().Get("Set-Cookie") != ""
		switch {
		case gave && w.Code != 200:
			t.Errorf("%d has a cookie", w.Code)
		case gave && len(r.Header["Secure-Session-Response"]) != 1:
			t.Errorf("a cookie for %d proofs", len(r.Header["Secure-Session-Response"]))
		case gave && !signedByHand(proof, known):
			t.Errorf("a cookie for the proof %q", proof)
		case gave && strings.Contains(origin, "evil"):
			t.Errorf("a cookie for a page of %q", origin)
		}
	})
}

// signedByHand reports whether proof signs fuzzChallenge by a key, or by the one that it brings
// where that is "".
func signedByHand(proof, key string) bool {
	part := strings.Split(strings.Trim(strings.TrimSpace(proof), `"`), ".")
	if len(part) != 3 {
		return false
	}
	var raw [3][]byte
	for i, p := range part {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return false
		}
	}
	var header struct {
		Alg string
		Jwk json.RawMessage
	}
	var claims struct{ Jti string }
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &claims) != nil || claims.Jti != fuzzChallenge {
		return false
	}
	if key == "" {
		key = string(header.Jwk)
	}
	var jwk struct{ X, Y, N, E string }
	if json.Unmarshal([]byte(key), &jwk) != nil {
		return false
	}
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	sum := sha256.Sum256([]byte(part[0] + "." + part[1]))
	switch header.Alg {
	case "ES256":
		point := append([]byte{4}, append(number(jwk.X).FillBytes(make([]byte, 32)), number(jwk.Y).FillBytes(make([]byte, 32))...)...)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return err == nil && len(raw[2]) == 64 && ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:]))
	case "RS256":
		public := &rsa.PublicKey{N: number(jwk.N), E: int(number(jwk.E).Int64())}
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], raw[2]) == nil
	}
	return false
}

// nobody is who is signed in, and seals nothing.
type nobody struct{}

func (nobody) Authenticate(*http.Request) (*auth.Login, error) {
	return nil, &auth.Absent{Reason: auth.NoCookie}
}
func (nobody) Begin(http.Header, *http.Request, *auth.Login, bool) error { return nil }
func (nobody) End(http.Header, *http.Request) (*auth.Login, error)       { return nil, nil }
func (nobody) EndAll(context.Context, string, string, string) (int, error) {
	return 0, nil
}
func (nobody) Seal(string, string, []byte, time.Duration) (string, error) { return "", nil }
func (nobody) Open(string, string, string) ([]byte, error) {
	return nil, &auth.Refused{Reason: "no"}
}
